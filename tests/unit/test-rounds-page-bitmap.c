/*
 * The policy of the rounds with the page bitmap.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "rounds-sim.h"

#define TOTAL 131072

/* A link of 25600 pages a second: sim_full_round() */
static HybridRoundRecord first_round(uint64_t left, uint64_t hot)
{
    HybridRoundRecord rec = sim_full_round(TOTAL - left, left);

    rec.hot_pages = hot;
    return rec;
}

/* A later one, of what is not hot */
static HybridRoundRecord cold_round(uint64_t pages, uint64_t left,
                                    uint64_t hot)
{
    HybridRoundRecord rec = sim_full_round(pages, left);

    rec.deferred_pages = rec.hot_pages = hot;
    return rec;
}

/* @in_50ms pages are dirtied in each 50 ms, @most in the end */
static void begin(HybridRounds *r, uint64_t in_50ms, uint64_t most)
{
    HybridRoundsConfig cfg = sim_config();

    cfg.max_resend = 10;
    cfg.downtime_limit_us = 30000;
    hybrid_rounds_init(r, &cfg, TOTAL);
    for (uint64_t ms = 50; ms <= 1600; ms *= 2) {
        hybrid_rounds_sample(r, ms * 1000, MIN(most, in_50ms * ms / 50), 0);
    }
}

static void end(HybridRounds *r, HybridRoundRecord *rec, HybridAction action,
                HybridReason reason, bool all)
{
    hybrid_rounds_end(r, rec);
    g_assert_cmpstr(hybrid_action_str(rec->action), ==,
                    hybrid_action_str(action));
    g_assert_cmpstr(hybrid_reason_str(rec->reason), ==,
                    hybrid_reason_str(reason));
    g_assert_true(rec->all == all);
}

/* Nothing but hot pages is left, and they are dirtied faster than sent */
static void test_only_hot(void)
{
    HybridRoundRecord rec = first_round(30000, 30000);
    HybridRounds r;

    begin(&r, 15000, 30000);
    end(&r, &rec, HYBRID_ACTION_HANDOFF, HYBRID_REASON_NO_GAIN, false);
}

/* First what is not hot; then only hot pages are left */
static void test_cold_first(void)
{
    HybridRoundRecord rec = first_round(60000, 20000);
    HybridRounds r;

    begin(&r, 15000, 20000);
    end(&r, &rec, HYBRID_ACTION_CONTINUE, HYBRID_REASON_NONE, false);
    rec = cold_round(40000, 21000, 20000);
    end(&r, &rec, HYBRID_ACTION_HANDOFF, HYBRID_REASON_NO_GAIN, false);
}

/*
 * A few pages that are not hot, left out for their neighbours' sake: no clear
 * gain, but they go before the switch.  Once: what is dirtied meanwhile does
 * not bring another round, nor do pages of which a good part would be.
 */
static void test_rest_of_first(void)
{
    HybridRoundRecord rec = first_round(22000, 20000);
    HybridRounds r;

    begin(&r, 20000, 20000);
    end(&r, &rec, HYBRID_ACTION_CONTINUE, HYBRID_REASON_NONE, false);
    rec = cold_round(2000, 20100, 20000);
    end(&r, &rec, HYBRID_ACTION_HANDOFF, HYBRID_REASON_NO_GAIN, false);

    begin(&r, 22000, 22000);    /* all in the 82 ms that they take */
    rec = first_round(22000, 20000);
    end(&r, &rec, HYBRID_ACTION_HANDOFF, HYBRID_REASON_NO_GAIN, false);

    begin(&r, 20000, 20000);
    rec = first_round(20020, 20000);
    end(&r, &rec, HYBRID_ACTION_HANDOFF, HYBRID_REASON_NO_GAIN, false);
}

/*
 * A first round so short that nothing is known to be hot has left out what
 * was being written: that goes in a second one.
 */
static void test_rest_of_short_first(void)
{
    HybridRoundRecord rec = first_round(60000, 0);
    HybridRounds r;

    rec.deferred_pages = 60000;
    rec.dirtied_pages = 4000;
    begin(&r, 1000, 4000);
    end(&r, &rec, HYBRID_ACTION_CONTINUE, HYBRID_REASON_NONE, false);
}

/* A set that is hot but written slowly: the rounds converge with it */
static void test_slow_hot(void)
{
    HybridRoundRecord rec = first_round(4000, 4000);
    HybridRounds r;

    begin(&r, 200, 4000);
    end(&r, &rec, HYBRID_ACTION_CONTINUE, HYBRID_REASON_NONE, true);
    rec = sim_full_round(4000, 620);
    rec.hot_pages = 620;
    end(&r, &rec, HYBRID_ACTION_CONTINUE, HYBRID_REASON_NONE, true);
    rec = sim_full_round(620, 100);
    rec.hot_pages = 100;
    end(&r, &rec, HYBRID_ACTION_CONTINUE, HYBRID_REASON_NONE, true);
    rec = sim_full_round(100, 90);
    rec.hot_pages = 90;
    hybrid_rounds_end(&r, &rec);
    while (rec.action == HYBRID_ACTION_CONTINUE) {
        rec = sim_full_round(90, 90);
        rec.hot_pages = 90;
        hybrid_rounds_end(&r, &rec);
    }
    g_assert_cmpint(rec.action, ==, HYBRID_ACTION_COMPLETE);
}

/* It would converge, but at the price of too many pages sent again */
static void test_resends(void)
{
    HybridRoundsConfig cfg = sim_config();
    HybridRoundRecord rec = first_round(40000, 40000);
    HybridRounds r;

    /*
     * All that is left was never sent.  16800 are dirtied meanwhile, 0.42:
     * 28400 resends until 767 are left, which fit: 22 % of memory.
     */
    begin(&r, 537, 40000);
    end(&r, &rec, HYBRID_ACTION_HANDOFF, HYBRID_REASON_NO_GAIN, false);

    cfg = r.cfg;
    for (unsigned percent = 0; percent <= 25; percent += 25) {
        rec = first_round(40000, 40000);
        begin(&r, 537, 40000);
        cfg.max_resend = percent;       /* 0: no bound */
        r.cfg = cfg;
        end(&r, &rec, HYBRID_ACTION_CONTINUE, HYBRID_REASON_NONE, true);
    }
}

/* What was sent again counts, and what will be because it is dirty */
static void test_resends_so_far(void)
{
    HybridRoundRecord rec;
    HybridRounds r;

    /* 10 %, and 1300 to come */
    for (unsigned percent = 10; percent <= 12; percent += 2) {
        begin(&r, 75, 13000);
        r.cfg.max_resend = percent;
        rec = sim_full_round(TOTAL, 13000);
        rec.hot_pages = 13000;
        if (percent == 10) {
            end(&r, &rec, HYBRID_ACTION_HANDOFF, HYBRID_REASON_NO_GAIN, false);
        } else {
            end(&r, &rec, HYBRID_ACTION_CONTINUE, HYBRID_REASON_NONE, true);
        }
    }
}

/* The bound is a part of the pages with data */
static void test_resends_of_data(void)
{
    HybridRoundRecord rec;
    HybridRounds r;

    begin(&r, 75, 13000);
    r.cfg.max_resend = 12;
    rec = sim_full_round(TOTAL, 13000);
    rec.hot_pages = 13000;
    rec.zero_pages = TOTAL / 4;
    end(&r, &rec, HYBRID_ACTION_HANDOFF, HYBRID_REASON_NO_GAIN, false);
}

/*
 * Whether a round of what is not hot is worth it depends on how well hot
 * pages foretell what is written: the round before has shown it.
 */
static void test_foretold(void)
{
    static const struct {
        uint64_t left;          /* by the second round; 8000 were dirtied */
        bool again;
    } cases[] = {
        { 10000, true },        /* all of them were hot */
        { 17500, false },       /* hardly any */
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        HybridRoundRecord rec = first_round(40000, 10000);
        HybridRounds r;

        begin(&r, 800, 8000);
        r.cfg.max_resend = 0;
        end(&r, &rec, HYBRID_ACTION_CONTINUE, HYBRID_REASON_NONE, false);
        rec = cold_round(30000, cases[i].left, 0);
        rec.dirtied_pages = 8000;
        /* 5000 that are not hot: 3000 or so are dirtied while they are sent */
        rec.hot_pages = cases[i].left - 5000;
        hybrid_rounds_end(&r, &rec);
        g_assert_cmpint(rec.action == HYBRID_ACTION_CONTINUE && !rec.all, ==,
                        cases[i].again);
    }
}

/* What is left fits: the end, unless a round would clearly shrink it */
static void test_fits(void)
{
    HybridRoundRecord rec = first_round(700, 700);
    HybridRounds r;

    begin(&r, 700, 700);
    hybrid_rounds_sample(&r, 17000, 700, 0);
    end(&r, &rec, HYBRID_ACTION_COMPLETE, HYBRID_REASON_FITS, false);
}

/* Deferred pages count: they have to fit, too */
static void test_hot_must_fit(void)
{
    HybridRoundRecord rec = first_round(900, 899);
    HybridRounds r;

    begin(&r, 899, 899);
    hybrid_rounds_sample(&r, 17000, 899, 0);
    end(&r, &rec, HYBRID_ACTION_HANDOFF, HYBRID_REASON_NO_GAIN, false);
}

static void test_bounds(void)
{
    HybridRoundRecord rec = first_round(60000, 0);
    HybridRounds r;

    begin(&r, 1, 60000);
    r.cfg.max_rounds = 1;
    end(&r, &rec, HYBRID_ACTION_HANDOFF, HYBRID_REASON_ROUND_LIMIT, false);
}

/*
 * Huge pages.  Rounds that converge would send more again than the bound
 * allows, but the handoff would send still more: a few target pages of nearly
 * each host page are dirty, and all of a host page has to come.
 */
static void test_whole_converges(void)
{
    static const struct {
        uint64_t whole;
        bool go_on;
    } cases[] = {
        { 0, false }, { 30000, false }, { TOTAL, true },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        HybridRoundRecord rec = sim_full_round(TOTAL, 30000);
        HybridRounds r;

        begin(&r, 600, 30000);
        rec.whole.remaining = cases[i].whole;
        hybrid_rounds_end(&r, &rec);
        g_assert_cmpint(rec.action == HYBRID_ACTION_CONTINUE, ==,
                        cases[i].go_on);
    }
}

/*
 * Huge pages.  A round of what is not hot sends few pages, but the guest
 * dirties one in each host page meanwhile, and so the handoff has no less to
 * send after it.
 */
static void test_whole_cold(void)
{
    for (unsigned huge = 0; huge < 2; huge++) {
        HybridRoundRecord rec = sim_full_round(TOTAL, 60000);
        HybridRoundsConfig cfg = sim_config();
        HybridRounds r;

        cfg.max_resend = 0;
        cfg.downtime_limit_us = 30000;
        hybrid_rounds_init(&r, &cfg, TOTAL);
        for (uint64_t ms = 50; ms <= 1600; ms *= 2) {
            hybrid_rounds_sample(&r, ms * 1000, 30000, huge ? TOTAL : 30000);
        }
        rec.hot_pages = 30000;
        rec.whole.remaining = huge ? TOTAL : 0;
        rec.whole.hot = huge ? 40000 : 0;
        rec.dirtied_pages = 30000;
        rec.whole.dirtied = huge ? TOTAL : 0;
        hybrid_rounds_end(&r, &rec);
        g_assert_cmpint(rec.action == HYBRID_ACTION_CONTINUE && !rec.all, ==,
                        !huge);
    }
}

/* Whatever is thrown at it: it ends, and hot pages never get lost */
static void test_random(void)
{
    for (unsigned n = 0; n < 3000; n++) {
        HybridRounds r;
        HybridRoundRecord rec = { 0 };
        unsigned rounds = 0;

        begin(&r, g_test_rand_int_range(0, 100000),
              g_test_rand_int_range(0, TOTAL));
        do {
            rec = sim_full_round(g_test_rand_int_range(0, TOTAL),
                                 g_test_rand_int_range(0, TOTAL));
            rec.hot_pages = g_test_rand_int_range(0, TOTAL);
            rec.time_us = g_test_rand_int_range(0, 10) * 100000;
            hybrid_rounds_sample(&r, g_test_rand_int_range(0, 3000000),
                                 g_test_rand_int_range(0, TOTAL),
                                 g_test_rand_int_range(0, TOTAL));
            rec.whole.remaining = g_test_rand_int_range(0, TOTAL);
            rec.whole.dirtied = g_test_rand_int_range(0, TOTAL);
            rec.whole.hot = g_test_rand_int_range(0, TOTAL);
            hybrid_rounds_end(&r, &rec);
            g_assert_false(rec.all && rec.action != HYBRID_ACTION_CONTINUE);
            g_assert_cmpuint(++rounds, <=, r.cfg.max_rounds);
        } while (rec.action == HYBRID_ACTION_CONTINUE);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hybrid/rounds/page-bitmap/only-hot", test_only_hot);
    g_test_add_func("/hybrid/rounds/page-bitmap/cold-first", test_cold_first);
    g_test_add_func("/hybrid/rounds/page-bitmap/rest-of-first",
                    test_rest_of_first);
    g_test_add_func("/hybrid/rounds/page-bitmap/rest-of-short-first",
                    test_rest_of_short_first);
    g_test_add_func("/hybrid/rounds/page-bitmap/slow-hot", test_slow_hot);
    g_test_add_func("/hybrid/rounds/page-bitmap/resends", test_resends);
    g_test_add_func("/hybrid/rounds/page-bitmap/resends-so-far",
                    test_resends_so_far);
    g_test_add_func("/hybrid/rounds/page-bitmap/resends-of-data",
                    test_resends_of_data);
    g_test_add_func("/hybrid/rounds/page-bitmap/foretold", test_foretold);
    g_test_add_func("/hybrid/rounds/page-bitmap/fits", test_fits);
    g_test_add_func("/hybrid/rounds/page-bitmap/hot-must-fit",
                    test_hot_must_fit);
    g_test_add_func("/hybrid/rounds/page-bitmap/bounds", test_bounds);
    g_test_add_func("/hybrid/rounds/page-bitmap/whole-converges",
                    test_whole_converges);
    g_test_add_func("/hybrid/rounds/page-bitmap/whole-cold", test_whole_cold);
    g_test_add_func("/hybrid/rounds/page-bitmap/random", test_random);
    return g_test_run();
}
