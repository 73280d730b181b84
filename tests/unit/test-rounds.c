/*
 * The policy of the rounds, case by case: what is configured, what each round
 * did, and what has to be decided after it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "rounds-sim.h"

/* CONFIG() says what differs from the defaults */
#pragma GCC diagnostic ignored "-Woverride-init"

#define PAGE ((uint64_t)SIM_PAGE_SIZE)
#define STEPS 8

typedef struct Decision {
    HybridAction action;
    HybridReason reason;
} Decision;

/* A round, and what has to be decided after it. */
typedef struct Step {
    HybridRoundRecord rec;
    Decision then;
    /* Also, where not 0: */
    double predicted, within;   /* pages; by how many it may differ, 0: 1 */
    double bandwidth;           /* bytes/s, known afterwards; to one in 10^4 */
    unsigned times;             /* the same so often */
    uint64_t limit;             /* new downtime limit before it, us */
    bool all;                   /* the next round takes hot pages, too */
    bool untold;                /* the record does not say a bandwidth */
} Step;

typedef struct Case {
    const char *name;
    HybridRoundsConfig cfg;
    uint64_t total;             /* pages */
    Step step[STEPS];
} Case;

#define CONFIG(...) {                                                   \
        .max_rounds = 32, .min_gain = 25, .downtime_limit_us = 300000,  \
        .page_size = PAGE, __VA_ARGS__                                  \
    }

/*
 * All the pages, at 100 MB/s: 300 ms are 30,000,000 bytes, 7324 pages and a
 * bit. What differs from that stands behind.
 */
#define FULL(n, left, ...) {                                            \
        .pages = (n), .bytes = (n) * PAGE, .time_us = (n) * PAGE / 100, \
        .remaining_pages = (left), .dirtied_pages = (left), __VA_ARGS__ \
    }

#define GOES_ON { HYBRID_ACTION_CONTINUE, HYBRID_REASON_NONE }
#define COMPLETE(why) { HYBRID_ACTION_COMPLETE, HYBRID_REASON_##why }
#define HANDOFF(why) { HYBRID_ACTION_HANDOFF, HYBRID_REASON_##why }

static const Case cases[] = {
    /* Rule 3: each page sent dirties left / pages new ones */
    { "min-gain/just-enough", CONFIG(), 100000, {
        { FULL(100000, 75000), GOES_ON } } },
    { "min-gain/one-page-short", CONFIG(), 100000, {
        { FULL(100000, 75001), HANDOFF(NO_GAIN) } } },
    { "min-gain/60-just-enough", CONFIG(.min_gain = 60), 100000, {
        { FULL(100000, 40000), GOES_ON } } },
    { "min-gain/60-one-page-short", CONFIG(.min_gain = 60), 100000, {
        { FULL(100000, 40001), HANDOFF(NO_GAIN) } } },
    { "min-gain/out-of-range", CONFIG(.min_gain = 1000), 100000, {
        { FULL(100000, 1000), GOES_ON } } },

    /* Rule 6: no gain at all, round after round; but not when the rest fits */
    { "min-gain/0-until-a-bound", CONFIG(.min_gain = 0), 100000, {
        { FULL(100000, 100000), GOES_ON, .times = 31, .all = true },
        { FULL(100000, 100000), HANDOFF(ROUND_LIMIT) } } },
    { "min-gain/0-until-it-fits",
      CONFIG(.min_gain = 0, .downtime_limit_us = 1000000000), 100000, {
        { FULL(100000, 99500), COMPLETE(FITS) } } },

    /* Raised while the rounds go on: what did not fit does; and back */
    { "limit/raised-and-lowered",
      CONFIG(.min_gain = 0, .downtime_limit_us = 1000), 100000, {
        { FULL(100000, 50000), GOES_ON },
        { FULL(50000, 50000), GOES_ON, .all = true },
        { FULL(50000, 50000), COMPLETE(FITS), .limit = 1000000000 },
        { FULL(50000, 50000), GOES_ON, .limit = 1000, .all = true } } },

    /* Whether the rest fits the downtime */
    { "fits/just", CONFIG(), 9000, {
        { FULL(9000, 7324), COMPLETE(FITS) } } },
    { "fits/one-page-more", CONFIG(), 9000, {
        { FULL(9000, 7325), HANDOFF(NO_GAIN) } } },
    { "fits/exactly", CONFIG(.page_size = 1000), 30000, {
        { { .pages = 30000, .bytes = 30000000, .time_us = 300000,
            .remaining_pages = 30000 }, COMPLETE(FITS) } } },
    { "fits/known-bandwidth-wins", CONFIG(), 9000, {
        { FULL(9000, 7325, .bandwidth = 200000000), COMPLETE(FITS),
          .bandwidth = 200e6 } } },
    { "fits/and-yet-a-gain", CONFIG(), 100000, {
        { FULL(100000, 7000), GOES_ON },
        { FULL(7000, 6000), COMPLETE(FITS) } } },
    { "fits/no-downtime", CONFIG(.downtime_limit_us = 0), 100, {
        { FULL(100, 90), HANDOFF(NO_GAIN) } } },

    /*
     * A round of next to nothing but zero pages does not measure the link, but
     * shows what it carries at least: 45 MB/s, and 185 pages are left.
     */
    { "fits/unmeasured", CONFIG(.max_rounds = 1), 16384, {
        { { .pages = 16384, .zero_pages = 16200, .bytes = 900000,
            .time_us = 20000, .remaining_pages = 185 },
          COMPLETE(ROUND_LIMIT) } } },
    { "fits/unmeasured-not",
      CONFIG(.max_rounds = 1, .downtime_limit_us = 10000), 16384, {
        { { .pages = 16384, .zero_pages = 16200, .bytes = 900000,
            .time_us = 20000, .remaining_pages = 185 },
          HANDOFF(ROUND_LIMIT) } } },

    /* Rule 2: a round that ends right at a bound */
    { "bounds/rounds", CONFIG(.max_rounds = 2), 1000000, {
        { FULL(1000000, 100000), GOES_ON },
        { FULL(100000, 10000), HANDOFF(ROUND_LIMIT) } } },
    { "bounds/no-round-is-one", CONFIG(.max_rounds = 0), 100000, {
        { FULL(100000, 1000), COMPLETE(ROUND_LIMIT) } } },
    { "bounds/time", CONFIG(.max_time_us = 4096000 + 409600), 100000, {
        { FULL(100000, 10000), GOES_ON },
        { FULL(10000, 1000), COMPLETE(TIME_LIMIT) } } },
    { "bounds/one-byte-left", CONFIG(.max_bytes = 110000ull * PAGE + 1),
      100000, {
        { FULL(100000, 10000), GOES_ON },
        { FULL(10000, 8000), HANDOFF(NO_GAIN) } } },
    { "bounds/bytes", CONFIG(.max_bytes = 110000ull * PAGE), 100000, {
        { FULL(100000, 10000), GOES_ON },
        { FULL(10000, 8000), HANDOFF(BYTE_LIMIT) } } },

    /* In the middle of a round; "hand off now" means it, also if all is sent */
    { "cut/time", CONFIG(), 100000, {
        { FULL(50000, 50000, .cut = true,
               .cut_reason = HYBRID_REASON_TIME_LIMIT),
          HANDOFF(TIME_LIMIT) } } },
    { "cut/time-fits", CONFIG(), 100000, {
        { FULL(50000, 7000, .cut = true,
               .cut_reason = HYBRID_REASON_TIME_LIMIT),
          COMPLETE(TIME_LIMIT) } } },
    { "cut/bytes-fits", CONFIG(), 100000, {
        { FULL(50000, 7000, .cut = true,
               .cut_reason = HYBRID_REASON_BYTE_LIMIT),
          COMPLETE(BYTE_LIMIT) } } },
    { "cut/requested-fits", CONFIG(), 100000, {
        { FULL(50000, 7000, .cut = true,
               .cut_reason = HYBRID_REASON_REQUESTED),
          HANDOFF(REQUESTED) } } },
    { "cut/requested-clean", CONFIG(), 100000, {
        { FULL(50000, 0, .cut = true, .cut_reason = HYBRID_REASON_REQUESTED),
          HANDOFF(REQUESTED) } } },
    { "cut/bytes-clean", CONFIG(), 100000, {
        { FULL(50000, 0, .cut = true, .cut_reason = HYBRID_REASON_BYTE_LIMIT),
          COMPLETE(CLEAN) } } },

    /* Rule 4: two in a row are forgiven, a third is not; a gain clears them */
    { "patience", CONFIG(), 100000, {
        { FULL(100000, 10000), GOES_ON },
        { FULL(10000, 40000), GOES_ON },
        { FULL(40000, 60000), GOES_ON },
        { FULL(60000, 7000), GOES_ON },
        { FULL(7000, 40000), GOES_ON },
        { FULL(40000, 40000), GOES_ON },
        { FULL(40000, 40000), HANDOFF(NO_GAIN) } } },

    /* 16 pages in no time, all dirtied again: as fast as it gets */
    { "no-clock/all-again", CONFIG(), 16, {
        { { .pages = 16, .remaining_pages = 16 }, COMPLETE(FITS) } } },
    /* More left than was sent, and nothing known: the safe end */
    { "no-clock/more-left", CONFIG(), 32, {
        { { .pages = 16, .remaining_pages = 17 }, HANDOFF(NO_GAIN) } } },
    { "no-clock/a-gain", CONFIG(), 16, {
        { { .pages = 16, .remaining_pages = 4 }, GOES_ON } } },
    /* Time, but no bytes: as many pages as are left took too long */
    { "no-clock/no-bytes-too-long", CONFIG(), 16, {
        { { .pages = 16, .remaining_pages = 16, .time_us = 300001 },
          HANDOFF(NO_GAIN) } } },
    { "no-clock/no-bytes", CONFIG(), 16, {
        { { .pages = 16, .remaining_pages = 16, .time_us = 300000 },
          COMPLETE(FITS) } } },
    /* After it, rounds that found nothing to send */
    { "no-clock/nothing-sent", CONFIG(), 16, {
        { { .pages = 16, .remaining_pages = 16, .time_us = 300000 },
          COMPLETE(FITS) },
        { { .remaining_pages = 1 }, HANDOFF(NO_GAIN) },
        { { .remaining_pages = 0 }, COMPLETE(CLEAN) } } },

    /* 11 MB/s, says the round, and 136 MB/s dirtied: not to be believed */
    { "zero-pages/few-data", CONFIG(), 100200, {
        { { .pages = 100200, .zero_pages = 100000, .time_us = 150000,
            .bytes = 100000 * 9 + 200 * PAGE, .remaining_pages = 5000 },
          GOES_ON, .untold = true } } },
    /* Half a second of data beside 0.1 s of zero pages: 80 MB/s */
    { "zero-pages/half-a-second-of-data", CONFIG(), 110000, {
        { { .pages = 110000, .zero_pages = 100000, .time_us = 600000,
            .bytes = 40000000, .remaining_pages = 5000 },
          GOES_ON, .bandwidth = 80e6, .untold = true } } },
    /* They are looked at once: the next round does not take as long */
    { "zero-pages/next-is-shorter", CONFIG(), 41000, {
        { { .pages = 41000, .zero_pages = 40000, .time_us = 80000,
            .bytes = 1000 * PAGE, .remaining_pages = 500 },
          GOES_ON, .predicted = 125, .within = 0.01 } } },

    /* Rounds at 42 MB/s, then three seconds in the second one at 1.25 MB/s */
#define BEFORE_DIP { FULL(30000, 4600, .time_us = 2900000), GOES_ON }
    { "dip/once", CONFIG(), 30000, {
        BEFORE_DIP,
        { FULL(4600, 4400, .time_us = 3400000), GOES_ON },
        { FULL(4400, 700, .time_us = 425000), GOES_ON },
        { FULL(700, 120, .time_us = 68000), GOES_ON } } },
    { "dip/two-rounds", CONFIG(), 30000, {
        BEFORE_DIP,
        { FULL(4600, 4400, .time_us = 2400000), GOES_ON },
        { FULL(4400, 4300, .time_us = 2400000), GOES_ON } } },
    /* Slower than half of what was, and not so */
    { "dip/half-and-less", CONFIG(), 30000, {
        BEFORE_DIP,
        { FULL(4600, 4400, .time_us = 988000), GOES_ON } } },
    { "dip/half-and-more", CONFIG(), 30000, {
        BEFORE_DIP,
        { FULL(4600, 4400, .time_us = 741000), HANDOFF(NO_GAIN) } } },
    /* Slow for good: one more round, then it is known */
    { "dip/for-good", CONFIG(), 30000, {
        BEFORE_DIP,
        { FULL(4600, 4500, .time_us = 15000000), GOES_ON },
        { FULL(4500, 4500, .time_us = 14700000), HANDOFF(NO_GAIN),
          .bandwidth = 4500. * PAGE / 14.7 } } },
    /* What fits but for the dip does not end the rounds: neither way */
    { "dip/fits-without", CONFIG(), 30000, {
        BEFORE_DIP,
        { FULL(4600, 600, .time_us = 450000), GOES_ON },
        { FULL(600, 590, .time_us = 1900000), GOES_ON },
        { FULL(590, 580, .time_us = 58000), COMPLETE(FITS) } } },
    /* A guest that does not converge is handed over, dip or not */
    { "dip/no-convergence", CONFIG(), 30000, {
        BEFORE_DIP,
        { FULL(4600, 4500, .time_us = 450000), HANDOFF(NO_GAIN) } } },

    /*
     * Between two lines; see the head of policy/rounds.h. A sync in the middle
     * of the first round had 5 pages counted as dirtied. Then from the origin
     * 10000, through the last two points 13333. In the end the guest has
     * become quiet: the upper line would be below 0.
     */
    { "prediction/two-lines", CONFIG(), 100000, {
        { FULL(100000, 40000, .dirtied_pages = 5), GOES_ON,
          .predicted = 16000 },
        { FULL(40000, 20000), GOES_ON,
          .predicted = (10000 + 40000 / 3.) / 2 },
        { FULL(20000, 100), GOES_ON, .predicted = 0.5, .within = 0.01 } } },
    { "prediction/mean-of-equal-rounds", CONFIG(), 100000, {
        { FULL(100000, 100000), HANDOFF(NO_GAIN) },
        { FULL(100000, 50000), GOES_ON, .predicted = 37500 } } },
    /* Pages that compress to a quarter dirty less while they are sent */
    { "prediction/compressed", CONFIG(), 100000, {
        { FULL(100000, 30000, .bytes = 100000 * PAGE / 4), GOES_ON,
          .predicted = 9000 } } },

    /* The newer round counts twice; one of a few pages says little */
    { "smoothing", CONFIG(), 100000, {
        { FULL(100000, 1000, .bandwidth = 100000000), GOES_ON,
          .bandwidth = 100e6 },
        { FULL(100000, 1000, .bandwidth = 200000000), GOES_ON,
          .bandwidth = 166.67e6 },
        { FULL(3, 1000, .bandwidth = 1000000), COMPLETE(FITS),
          .bandwidth = 166.53e6 } } },
};

/* Whether a figure is as it is said, where one is */
static bool near(double got, double wanted, double within)
{
    return !wanted || (got >= wanted - within && got <= wanted + within);
}

static void one_step(HybridRounds *r, const Step *step)
{
    HybridRoundRecord rec = step->rec;
    double bandwidth;

    if (step->limit) {
        hybrid_rounds_limit(r, step->limit);
    }
    hybrid_rounds_end(r, &rec);
    bandwidth = hybrid_rounds_bandwidth(r);
    if (rec.action != step->then.action || rec.reason != step->then.reason ||
        rec.all != step->all || (step->untold && rec.bandwidth) ||
        !near(r->predicted, step->predicted, step->within ?: 1) ||
        !near(bandwidth, step->bandwidth, step->bandwidth / 10000)) {
        g_test_message("round %u: expected %s, %s, all %d, predicted %g, "
                       "bandwidth %.0f", rec.round,
                       hybrid_action_str(step->then.action),
                       hybrid_reason_str(step->then.reason), step->all,
                       step->predicted, step->bandwidth);
        g_test_message("is %s, %s, all %d, predicted %g, bandwidth %.0f, "
                       "in the record %" PRIu64,
                       hybrid_action_str(rec.action),
                       hybrid_reason_str(rec.reason), rec.all, r->predicted,
                       bandwidth, rec.bandwidth);
        g_test_fail();
    }
}

static bool is_step(const Step *step)
{
    return step->rec.pages || step->rec.remaining_pages ||
           step->then.action != HYBRID_ACTION_CONTINUE;
}

static void test_case(const void *opaque)
{
    const Case *c = opaque;
    HybridRounds r;

    hybrid_rounds_init(&r, &c->cfg, c->total);
    g_assert_cmpfloat(hybrid_rounds_bandwidth(&r), ==, 0);
    for (unsigned i = 0; i < STEPS && is_step(&c->step[i]); i++) {
        for (unsigned n = 0; n < MAX(c->step[i].times, 1); n++) {
            one_step(&r, &c->step[i]);
        }
    }
}

/* Which bound, if any, cuts a round at that moment */
static void test_tick(void)
{
    static const struct {
        uint64_t max_time_us, max_bytes;    /* 0: no bound */
        uint64_t elapsed_us, bytes;
        bool requested;
        HybridReason reason;
    } ticks[] = {
        { 0, 0, UINT64_MAX, UINT64_MAX, false, HYBRID_REASON_NONE },
        { 0, 0, 0, 0, true, HYBRID_REASON_REQUESTED },
        { 1000, 5000, 999, 4999, false, HYBRID_REASON_NONE },
        { 1000, 5000, 1000, 0, false, HYBRID_REASON_TIME_LIMIT },
        { 1000, 5000, 999, 5000, false, HYBRID_REASON_BYTE_LIMIT },
        { 1000, 5000, 1000, 5000, true, HYBRID_REASON_REQUESTED },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(ticks); i++) {
        HybridRoundsConfig cfg = sim_config();
        HybridRounds r;

        cfg.max_time_us = ticks[i].max_time_us;
        cfg.max_bytes = ticks[i].max_bytes;
        hybrid_rounds_init(&r, &cfg, 1000);
        g_assert_cmpint(hybrid_rounds_tick(&r, ticks[i].elapsed_us,
                                           ticks[i].bytes,
                                           ticks[i].requested), ==,
                        ticks[i].reason);
    }
}

/* What a round says of the link: by what has left, if that is enough */
static void test_link(void)
{
    static const struct {
        uint64_t bytes, time_us, zero_pages;
        int64_t grown;          /* of what waits to be sent */
        uint64_t bandwidth;     /* bytes/s, 0: it does not say */
    } links[] = {
        { 10 << 20, 100000, 0, 0, 104857600 },
        { 10 << 20, 100000, 0, 5 << 20, 52428800 },
        { 10 << 20, 100000, 0, -(10 << 20), 209715200 },
        /* All of it is still in the socket */
        { 10 << 20, 100000, 0, 10 << 20, 0 },
        { 10 << 20, 100000, 0, INT64_MAX, 0 },
        /* Too short, or too little */
        { 10 << 20, 138, 0, 0, 0 },
        { 10 << 20, 19999, 0, 0, 0 },
        { 10 << 20, 20000, 0, 0, 524288000 },
        { 100000, 500000, 0, 0, 0 },
        { (256 << 10) - 1, 500000, 0, 0, 0 },
        { 256 << 10, 500000, 0, 0, 524288 },
        /* Next to nothing but zero pages; and half a second of data */
        { 100000 * 9 + 200 * PAGE, 150000, 100000, 0, 0 },
        { 40000000, 600000, 100000, 0, 80000000 },
    };
    HybridRoundRecord rec;

    for (unsigned i = 0; i < G_N_ELEMENTS(links); i++) {
        rec = (HybridRoundRecord) {
            .pages = links[i].zero_pages + 10000,
            .zero_pages = links[i].zero_pages,
            .bytes = links[i].bytes, .time_us = links[i].time_us,
        };
        g_assert_cmpuint(hybrid_rounds_link(&rec, links[i].grown), ==,
                         links[i].bandwidth);
    }
    rec = (HybridRoundRecord) { .bytes = 10 << 20, .time_us = 100000 };
    g_assert_cmpuint(hybrid_rounds_link(&rec, INT64_MIN), >, 0);
}

static void test_names(void)
{
    g_assert_cmpstr(hybrid_action_str(HYBRID_ACTION_COMPLETE), ==, "complete");
    g_assert_cmpstr(hybrid_reason_str(HYBRID_REASON_CLEAN), ==, "clean");
    g_assert_cmpstr(hybrid_action_str(-1), ==, "?");
    g_assert_cmpstr(hybrid_reason_str(HYBRID_REASON_CLEAN + 1), ==, "?");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strdup_printf("/hybrid/rounds/%s",
                                                cases[i].name);

        g_test_add_data_func(path, &cases[i], test_case);
    }
    g_test_add_func("/hybrid/rounds/tick", test_tick);
    g_test_add_func("/hybrid/rounds/link", test_link);
    g_test_add_func("/hybrid/rounds/names", test_names);
    return g_test_run();
}
