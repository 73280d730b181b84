/*
 * The policy of the rounds: each rule by itself.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "rounds-sim.h"

#define PAGE SIM_PAGE_SIZE

static void check(HybridRounds *r, HybridRoundRecord rec, HybridAction action,
                  HybridReason reason)
{
    hybrid_rounds_end(r, &rec);
    g_assert_cmpstr(hybrid_action_str(rec.action), ==,
                    hybrid_action_str(action));
    g_assert_cmpstr(hybrid_reason_str(rec.reason), ==,
                    hybrid_reason_str(reason));
}

static void test_tick(void)
{
    HybridRoundsConfig cfg = sim_config();
    HybridRounds r;

    hybrid_rounds_init(&r, &cfg, 1000);
    g_assert_cmpint(hybrid_rounds_tick(&r, UINT64_MAX, UINT64_MAX, false), ==,
                    HYBRID_REASON_NONE);
    g_assert_cmpint(hybrid_rounds_tick(&r, 0, 0, true), ==,
                    HYBRID_REASON_REQUESTED);

    cfg.max_time_us = 1000;
    cfg.max_bytes = 5000;
    hybrid_rounds_init(&r, &cfg, 1000);
    g_assert_cmpint(hybrid_rounds_tick(&r, 999, 4999, false), ==,
                    HYBRID_REASON_NONE);
    g_assert_cmpint(hybrid_rounds_tick(&r, 1000, 0, false), ==,
                    HYBRID_REASON_TIME_LIMIT);
    g_assert_cmpint(hybrid_rounds_tick(&r, 999, 5000, false), ==,
                    HYBRID_REASON_BYTE_LIMIT);
    g_assert_cmpint(hybrid_rounds_tick(&r, 1000, 5000, true), ==,
                    HYBRID_REASON_REQUESTED);
}

/*
 * A round of next to nothing but zero pages does not measure the link, but
 * shows what it carries at least.
 */
static void test_fits_without_measurement(void)
{
    HybridRoundsConfig cfg = sim_config();
    HybridRoundRecord rec = {
        .pages = 16384, .zero_pages = 16200, .bytes = 900000,
        .time_us = 20000, .remaining_pages = 185,
    };
    HybridRounds r;

    cfg.max_rounds = 1;
    cfg.downtime_limit_us = 300000;     /* 13.5 MB at 45 MB/s */
    hybrid_rounds_init(&r, &cfg, 16384);
    check(&r, rec, HYBRID_ACTION_COMPLETE, HYBRID_REASON_ROUND_LIMIT);

    cfg.downtime_limit_us = 10000;      /* 450 KB, and 758 are left */
    hybrid_rounds_init(&r, &cfg, 16384);
    check(&r, rec, HYBRID_ACTION_HANDOFF, HYBRID_REASON_ROUND_LIMIT);
}

static void test_min_gain(void)
{
    HybridRoundsConfig cfg = sim_config();
    HybridRounds r;

    /* After one round: each page sent dirties left / pages new ones */
    hybrid_rounds_init(&r, &cfg, 100000);
    check(&r, sim_full_round(100000, 75000), HYBRID_ACTION_CONTINUE,
          HYBRID_REASON_NONE);
    hybrid_rounds_init(&r, &cfg, 100000);
    check(&r, sim_full_round(100000, 75001), HYBRID_ACTION_HANDOFF,
          HYBRID_REASON_NO_GAIN);

    /* None at all, round after round; but not when the rest fits */
    cfg.min_gain = 0;
    hybrid_rounds_init(&r, &cfg, 100000);
    for (unsigned i = 1; i < cfg.max_rounds; i++) {
        HybridRoundRecord rec = sim_full_round(100000, 100000);

        hybrid_rounds_end(&r, &rec);
        g_assert_cmpint(rec.reason, ==, HYBRID_REASON_NONE);
        g_assert_true(rec.all);
    }
    check(&r, sim_full_round(100000, 100000), HYBRID_ACTION_HANDOFF,
          HYBRID_REASON_ROUND_LIMIT);
    cfg.downtime_limit_us = 1000 * 1000 * 1000;
    hybrid_rounds_init(&r, &cfg, 100000);
    check(&r, sim_full_round(100000, 99500), HYBRID_ACTION_COMPLETE,
          HYBRID_REASON_FITS);

    /* Out of range: never all */
    cfg = sim_config();
    cfg.min_gain = 1000;
    hybrid_rounds_init(&r, &cfg, 100000);
    check(&r, sim_full_round(100000, 1000), HYBRID_ACTION_CONTINUE,
          HYBRID_REASON_NONE);

    cfg.min_gain = 60;
    hybrid_rounds_init(&r, &cfg, 100000);
    check(&r, sim_full_round(100000, 40000), HYBRID_ACTION_CONTINUE,
          HYBRID_REASON_NONE);
    hybrid_rounds_init(&r, &cfg, 100000);
    check(&r, sim_full_round(100000, 40001), HYBRID_ACTION_HANDOFF,
          HYBRID_REASON_NO_GAIN);
}

/* Raised while the rounds go on: what did not fit does; and the other way */
static void test_limit(void)
{
    HybridRoundsConfig cfg = sim_config();
    HybridRounds r;

    cfg.min_gain = 0;
    cfg.downtime_limit_us = 1000;
    hybrid_rounds_init(&r, &cfg, 100000);
    check(&r, sim_full_round(100000, 50000), HYBRID_ACTION_CONTINUE,
          HYBRID_REASON_NONE);
    check(&r, sim_full_round(50000, 50000), HYBRID_ACTION_CONTINUE,
          HYBRID_REASON_NONE);
    hybrid_rounds_limit(&r, 1000 * 1000 * 1000);
    check(&r, sim_full_round(50000, 50000), HYBRID_ACTION_COMPLETE,
          HYBRID_REASON_FITS);
    hybrid_rounds_limit(&r, 1000);
    check(&r, sim_full_round(50000, 50000), HYBRID_ACTION_CONTINUE,
          HYBRID_REASON_NONE);
}

/* 100 MB/s and 300 ms are 30,000,000 bytes: 7324 pages and a bit */
static void test_fits(void)
{
    HybridRoundsConfig cfg = sim_config();
    HybridRoundRecord rec;
    HybridRounds r;

    hybrid_rounds_init(&r, &cfg, 9000);
    check(&r, sim_full_round(9000, 7324), HYBRID_ACTION_COMPLETE,
          HYBRID_REASON_FITS);
    hybrid_rounds_init(&r, &cfg, 9000);
    check(&r, sim_full_round(9000, 7325), HYBRID_ACTION_HANDOFF,
          HYBRID_REASON_NO_GAIN);

    /* A bandwidth that the caller knows better wins */
    rec = sim_full_round(9000, 7325);
    rec.bandwidth = 200000000;
    hybrid_rounds_init(&r, &cfg, 9000);
    check(&r, rec, HYBRID_ACTION_COMPLETE, HYBRID_REASON_FITS);
    g_assert_cmpfloat(hybrid_rounds_bandwidth(&r), ==, 200000000);

    /* It fits, and yet the rounds go on as long as they gain */
    hybrid_rounds_init(&r, &cfg, 100000);
    check(&r, sim_full_round(100000, 7000), HYBRID_ACTION_CONTINUE,
          HYBRID_REASON_NONE);
    check(&r, sim_full_round(7000, 6000), HYBRID_ACTION_COMPLETE,
          HYBRID_REASON_FITS);

    /* What fits exactly, fits */
    cfg.page_size = 1000;
    rec = (HybridRoundRecord) {
        .pages = 30000, .bytes = 30000000, .time_us = 300000,
        .remaining_pages = 30000,
    };
    hybrid_rounds_init(&r, &cfg, 30000);
    check(&r, rec, HYBRID_ACTION_COMPLETE, HYBRID_REASON_FITS);

    cfg = sim_config();
    cfg.downtime_limit_us = 0;
    hybrid_rounds_init(&r, &cfg, 100);
    check(&r, sim_full_round(100, 90), HYBRID_ACTION_HANDOFF,
          HYBRID_REASON_NO_GAIN);
}

static void test_bounds(void)
{
    HybridRoundsConfig cfg = sim_config();
    HybridRounds r;

    cfg.max_rounds = 2;
    hybrid_rounds_init(&r, &cfg, 1000000);
    check(&r, sim_full_round(1000000, 100000), HYBRID_ACTION_CONTINUE,
          HYBRID_REASON_NONE);
    check(&r, sim_full_round(100000, 10000), HYBRID_ACTION_HANDOFF,
          HYBRID_REASON_ROUND_LIMIT);
    cfg.max_rounds = 0;
    hybrid_rounds_init(&r, &cfg, 100000);
    check(&r, sim_full_round(100000, 1000), HYBRID_ACTION_COMPLETE,
          HYBRID_REASON_ROUND_LIMIT);

    /* Time and bytes of all rounds; a round that ends right at a bound */
    cfg = sim_config();
    cfg.max_time_us = 4096000 + 409600;
    hybrid_rounds_init(&r, &cfg, 100000);
    check(&r, sim_full_round(100000, 10000), HYBRID_ACTION_CONTINUE,
          HYBRID_REASON_NONE);
    check(&r, sim_full_round(10000, 1000), HYBRID_ACTION_COMPLETE,
          HYBRID_REASON_TIME_LIMIT);
    cfg = sim_config();
    cfg.max_bytes = 110000ull * PAGE + 1;
    hybrid_rounds_init(&r, &cfg, 100000);
    check(&r, sim_full_round(100000, 10000), HYBRID_ACTION_CONTINUE,
          HYBRID_REASON_NONE);
    check(&r, sim_full_round(10000, 8000), HYBRID_ACTION_HANDOFF,
          HYBRID_REASON_NO_GAIN);
    cfg.max_bytes--;
    hybrid_rounds_init(&r, &cfg, 100000);
    check(&r, sim_full_round(100000, 10000), HYBRID_ACTION_CONTINUE,
          HYBRID_REASON_NONE);
    check(&r, sim_full_round(10000, 8000), HYBRID_ACTION_HANDOFF,
          HYBRID_REASON_BYTE_LIMIT);
}

static void test_cut(void)
{
    HybridRoundsConfig cfg = sim_config();
    HybridRoundRecord rec = sim_full_round(50000, 50000);
    HybridRounds r;

    rec.cut = true;
    rec.cut_reason = HYBRID_REASON_TIME_LIMIT;
    hybrid_rounds_init(&r, &cfg, 100000);
    check(&r, rec, HYBRID_ACTION_HANDOFF, HYBRID_REASON_TIME_LIMIT);
    rec.remaining_pages = 7000;
    hybrid_rounds_init(&r, &cfg, 100000);
    check(&r, rec, HYBRID_ACTION_COMPLETE, HYBRID_REASON_TIME_LIMIT);
    rec.cut_reason = HYBRID_REASON_BYTE_LIMIT;
    hybrid_rounds_init(&r, &cfg, 100000);
    check(&r, rec, HYBRID_ACTION_COMPLETE, HYBRID_REASON_BYTE_LIMIT);

    /* "Hand off now" means it, also when nothing is left */
    rec.cut_reason = HYBRID_REASON_REQUESTED;
    hybrid_rounds_init(&r, &cfg, 100000);
    check(&r, rec, HYBRID_ACTION_HANDOFF, HYBRID_REASON_REQUESTED);
    rec.remaining_pages = 0;
    hybrid_rounds_init(&r, &cfg, 100000);
    check(&r, rec, HYBRID_ACTION_HANDOFF, HYBRID_REASON_REQUESTED);
    rec.cut_reason = HYBRID_REASON_BYTE_LIMIT;
    hybrid_rounds_init(&r, &cfg, 100000);
    check(&r, rec, HYBRID_ACTION_COMPLETE, HYBRID_REASON_CLEAN);
}

/* Two stalled rounds are forgiven, the third is not; a gain clears the slate */
static void test_patience(void)
{
    HybridRoundsConfig cfg = sim_config();
    HybridRounds r;

    hybrid_rounds_init(&r, &cfg, 100000);
    check(&r, sim_full_round(100000, 10000), HYBRID_ACTION_CONTINUE, 0);
    check(&r, sim_full_round(10000, 40000), HYBRID_ACTION_CONTINUE, 0);
    check(&r, sim_full_round(40000, 60000), HYBRID_ACTION_CONTINUE, 0);
    check(&r, sim_full_round(60000, 7000), HYBRID_ACTION_CONTINUE, 0);
    check(&r, sim_full_round(7000, 40000), HYBRID_ACTION_CONTINUE, 0);
    check(&r, sim_full_round(40000, 40000), HYBRID_ACTION_CONTINUE, 0);
    check(&r, sim_full_round(40000, 40000), HYBRID_ACTION_HANDOFF,
          HYBRID_REASON_NO_GAIN);
}

static void test_no_clock(void)
{
    HybridRoundsConfig cfg = sim_config();
    HybridRoundRecord rec = { .pages = 16, .remaining_pages = 16 };
    HybridRounds r;

    /* 16 pages in no time, all dirtied again: as fast as it gets */
    hybrid_rounds_init(&r, &cfg, 16);
    check(&r, rec, HYBRID_ACTION_COMPLETE, HYBRID_REASON_FITS);
    /* More left than was sent, and nothing known: the safe end */
    rec.remaining_pages = 17;
    hybrid_rounds_init(&r, &cfg, 32);
    check(&r, rec, HYBRID_ACTION_HANDOFF, HYBRID_REASON_NO_GAIN);
    rec.remaining_pages = 4;
    hybrid_rounds_init(&r, &cfg, 16);
    check(&r, rec, HYBRID_ACTION_CONTINUE, HYBRID_REASON_NONE);
    /* Time, but no bytes: as many pages as are left took too long */
    rec = (HybridRoundRecord) { .pages = 16, .remaining_pages = 16,
                                .time_us = 300001 };
    hybrid_rounds_init(&r, &cfg, 16);
    check(&r, rec, HYBRID_ACTION_HANDOFF, HYBRID_REASON_NO_GAIN);
    rec.time_us--;
    hybrid_rounds_init(&r, &cfg, 16);
    check(&r, rec, HYBRID_ACTION_COMPLETE, HYBRID_REASON_FITS);
    /* A round that found nothing to send */
    rec = (HybridRoundRecord) { .remaining_pages = 1 };
    check(&r, rec, HYBRID_ACTION_HANDOFF, HYBRID_REASON_NO_GAIN);
    rec.remaining_pages = 0;
    check(&r, rec, HYBRID_ACTION_COMPLETE, HYBRID_REASON_CLEAN);
}

static void test_zero_pages(void)
{
    HybridRoundsConfig cfg = sim_config();
    HybridRoundRecord rec = {
        .pages = 100200, .zero_pages = 100000, .time_us = 150000,
        .bytes = 100000 * 9 + 200 * PAGE, .remaining_pages = 5000,
    };
    HybridRounds r;

    /* 11 MB/s, says the round, and 136 MB/s dirtied: not to be believed */
    hybrid_rounds_init(&r, &cfg, 100200);
    hybrid_rounds_end(&r, &rec);
    g_assert_cmpint(rec.action, ==, HYBRID_ACTION_CONTINUE);
    g_assert_cmpuint(rec.bandwidth, ==, 0);

    /* Half a second of data beside 0.1 s of zero pages: 80 MB/s */
    rec.pages = 110000;
    rec.bytes = 40000000;
    rec.time_us = 600000;
    hybrid_rounds_init(&r, &cfg, 110000);
    hybrid_rounds_end(&r, &rec);
    g_assert_cmpuint(rec.bandwidth, ==, 0);
    g_assert_cmpuint(hybrid_rounds_link(&rec, 0), ==, 80000000);
    g_assert_cmpfloat(hybrid_rounds_bandwidth(&r), ==, 80000000);

    /* Zero pages are looked at once: the next round does not take as long */
    rec = (HybridRoundRecord) {
        .pages = 41000, .zero_pages = 40000, .time_us = 80000,
        .bytes = 1000 * PAGE, .remaining_pages = 500,
    };
    hybrid_rounds_init(&r, &cfg, 41000);
    hybrid_rounds_end(&r, &rec);
    g_assert_cmpfloat_with_epsilon(r.predicted, 125, 0.01);
}

/* What a round says of the link: by what has left, if that is enough */
static void test_link(void)
{
    HybridRoundRecord rec = {
        .pages = 2560, .bytes = 10 << 20, .time_us = 100000,
    };

    g_assert_cmpuint(hybrid_rounds_link(&rec, 0), ==, 104857600);
    g_assert_cmpuint(hybrid_rounds_link(&rec, 5 << 20), ==, 52428800);
    g_assert_cmpuint(hybrid_rounds_link(&rec, -(10 << 20)), ==, 209715200);
    /* All of it is still in the socket */
    g_assert_cmpuint(hybrid_rounds_link(&rec, 10 << 20), ==, 0);
    g_assert_cmpuint(hybrid_rounds_link(&rec, INT64_MAX), ==, 0);
    g_assert_cmpuint(hybrid_rounds_link(&rec, INT64_MIN), >, 0);
    rec.time_us = 138;
    g_assert_cmpuint(hybrid_rounds_link(&rec, 0), ==, 0);
    rec.time_us = 500000;
    rec.bytes = 100000;
    g_assert_cmpuint(hybrid_rounds_link(&rec, 0), ==, 0);
}

/* Rounds at 42 MB/s as they were before, or in part at 1.25 MB/s */
static HybridAction link_round(HybridRounds *r, HybridReason *reason,
                               uint64_t pages, uint64_t time_us,
                               uint64_t left)
{
    HybridRoundRecord rec = {
        .pages = pages, .bytes = pages * PAGE, .time_us = time_us,
        .remaining_pages = left, .dirtied_pages = left,
    };

    hybrid_rounds_end(r, &rec);
    *reason = rec.reason;
    return rec.action;
}

static void test_dip(void)
{
    HybridRoundsConfig cfg = sim_config();
    HybridRounds start, r;
    HybridReason reason;

    hybrid_rounds_init(&start, &cfg, 30000);
    g_assert_cmpint(link_round(&start, &reason, 30000, 2900000, 4600), ==,
                    HYBRID_ACTION_CONTINUE);

    /* Three seconds in the second round, then all is as before */
    r = start;
    g_assert_cmpint(link_round(&r, &reason, 4600, 3400000, 4400), ==,
                    HYBRID_ACTION_CONTINUE);
    g_assert_cmpint(link_round(&r, &reason, 4400, 425000, 700), ==,
                    HYBRID_ACTION_CONTINUE);
    g_assert_cmpint(link_round(&r, &reason, 700, 68000, 120), !=,
                    HYBRID_ACTION_HANDOFF);

    /* Slow for good: one more round, then it is known */
    r = start;
    g_assert_cmpint(link_round(&r, &reason, 4600, 15000000, 4500), ==,
                    HYBRID_ACTION_CONTINUE);
    g_assert_cmpint(link_round(&r, &reason, 4500, 14700000, 4500), ==,
                    HYBRID_ACTION_HANDOFF);
    g_assert_cmpint(reason, ==, HYBRID_REASON_NO_GAIN);
    g_assert_cmpfloat(hybrid_rounds_bandwidth(&r), <, 2e6);

    /* What fits but for the dip does not end the rounds: neither way */
    r = start;
    g_assert_cmpint(link_round(&r, &reason, 4600, 450000, 600), ==,
                    HYBRID_ACTION_CONTINUE);
    g_assert_cmpint(link_round(&r, &reason, 600, 1900000, 590), ==,
                    HYBRID_ACTION_CONTINUE);
    g_assert_cmpint(link_round(&r, &reason, 590, 58000, 580), ==,
                    HYBRID_ACTION_COMPLETE);

    /* A guest that does not converge is handed over, dip or not */
    r = start;
    g_assert_cmpint(link_round(&r, &reason, 4600, 450000, 4500), ==,
                    HYBRID_ACTION_HANDOFF);
}

/* Between two lines; see the head of policy/rounds.h */
static void test_prediction(void)
{
    HybridRoundsConfig cfg = sim_config();
    HybridRoundRecord rec = sim_full_round(100000, 40000);
    HybridRounds r;

    hybrid_rounds_init(&r, &cfg, 100000);
    /* A sync in the middle of the round had these counted as unsent */
    rec.dirtied_pages = 5;
    hybrid_rounds_end(&r, &rec);
    g_assert_cmpfloat_with_epsilon(r.predicted, 16000, 1);
    /* From the origin 10000, through the last two points 13333 */
    rec = sim_full_round(40000, 20000);
    hybrid_rounds_end(&r, &rec);
    g_assert_cmpfloat_with_epsilon(r.predicted, (10000 + 40000 / 3.) / 2, 1);

    /* The guest has become quiet: the upper line would be below 0 */
    rec = sim_full_round(20000, 100);
    hybrid_rounds_end(&r, &rec);
    g_assert_cmpfloat_with_epsilon(r.predicted, 0.5, 0.01);

    /* Two rounds of the same length: the mean of both */
    hybrid_rounds_init(&r, &cfg, 100000);
    rec = sim_full_round(100000, 100000);
    hybrid_rounds_end(&r, &rec);
    rec = sim_full_round(100000, 50000);
    hybrid_rounds_end(&r, &rec);
    g_assert_cmpfloat_with_epsilon(r.predicted, 37500, 1);
}

static void test_smoothing(void)
{
    HybridRoundsConfig cfg = sim_config();
    HybridRoundRecord rec = sim_full_round(100000, 1000);
    HybridRounds r;

    hybrid_rounds_init(&r, &cfg, 100000);
    g_assert_cmpfloat(hybrid_rounds_bandwidth(&r), ==, 0);
    rec.bandwidth = 100000000;
    hybrid_rounds_end(&r, &rec);
    g_assert_cmpfloat_with_epsilon(hybrid_rounds_bandwidth(&r), 100e6, 1);
    rec.bandwidth = 200000000;
    hybrid_rounds_end(&r, &rec);
    g_assert_cmpfloat_with_epsilon(hybrid_rounds_bandwidth(&r), 166.67e6, 1e4);

    /* A round of a few pages says little */
    rec = sim_full_round(3, 1000);
    rec.bandwidth = 1000000;
    hybrid_rounds_end(&r, &rec);
    g_assert_cmpfloat_with_epsilon(hybrid_rounds_bandwidth(&r), 166.67e6, 1e6);
}

/* Pages that compress to a quarter dirty less while they are sent */
static void test_compression(void)
{
    HybridRoundsConfig cfg = sim_config();
    HybridRoundRecord rec = sim_full_round(100000, 30000);
    HybridRounds r;

    rec.bytes /= 4;
    hybrid_rounds_init(&r, &cfg, 100000);
    check(&r, rec, HYBRID_ACTION_CONTINUE, HYBRID_REASON_NONE);
    g_assert_cmpfloat_with_epsilon(r.predicted, 9000, 1);
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
    g_test_add_func("/hybrid/rounds/tick", test_tick);
    g_test_add_func("/hybrid/rounds/fits-without-measurement",
                    test_fits_without_measurement);
    g_test_add_func("/hybrid/rounds/min-gain", test_min_gain);
    g_test_add_func("/hybrid/rounds/limit", test_limit);
    g_test_add_func("/hybrid/rounds/fits", test_fits);
    g_test_add_func("/hybrid/rounds/bounds", test_bounds);
    g_test_add_func("/hybrid/rounds/cut", test_cut);
    g_test_add_func("/hybrid/rounds/patience", test_patience);
    g_test_add_func("/hybrid/rounds/no-clock", test_no_clock);
    g_test_add_func("/hybrid/rounds/zero-pages", test_zero_pages);
    g_test_add_func("/hybrid/rounds/link", test_link);
    g_test_add_func("/hybrid/rounds/dip", test_dip);
    g_test_add_func("/hybrid/rounds/prediction", test_prediction);
    g_test_add_func("/hybrid/rounds/smoothing", test_smoothing);
    g_test_add_func("/hybrid/rounds/compression", test_compression);
    g_test_add_func("/hybrid/rounds/names", test_names);
    return g_test_run();
}
