/*
 * The policy of the rounds against simulated guests: what an operator may
 * expect for each kind of guest, and properties that hold for all.
 *
 * With HYBRID_ROUNDS_WRITE=DIR in the environment the simulated runs are
 * written to DIR as traces; see test-rounds-replay.c for the format.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "rounds-sim.h"

#define ALWAYS_GIB .pages = 262144, .bandwidth = SIM_GBIT, .overhead = 0.002

static SimResult res;

static void run_with(const SimGuest *g, const HybridRoundsConfig *cfg)
{
    const char *dir = g_getenv("HYBRID_ROUNDS_WRITE");

    sim_run(g, cfg, &res);
    if (g->name) {
        g_autofree char *note = g_strdup_printf("Simulated guest: %s",
                                                g->name);

        for (unsigned i = 0; i < res.rounds; i++) {
            g_test_message("%s: round %u leaves %.1f MiB after %.3f s, %s %s",
                           g->name, i + 1,
                           res.record[i].remaining_pages / 256.0,
                           res.record[i].time_us / 1e6,
                           hybrid_action_str(res.record[i].action),
                           hybrid_reason_str(res.record[i].reason));
        }
        if (dir) {
            g_autofree char *file = g_strdup_printf("%s/%s.rounds", dir,
                                                    g->name);
            sim_write(&res, file, note);
        }
    }
}

static void run(const SimGuest *g)
{
    HybridRoundsConfig cfg = sim_config();

    run_with(g, &cfg);
}

static void assert_end(HybridAction action, HybridReason reason)
{
    g_assert_cmpstr(hybrid_action_str(res.last->action), ==,
                    hybrid_action_str(action));
    g_assert_cmpstr(hybrid_reason_str(res.last->reason), ==,
                    hybrid_reason_str(reason));
}

static void test_converging(void)
{
    SimGuest g = { .name = "converging", ALWAYS_GIB,
                   .sets = { { .pages = 262144, .rate = 6000 } } };

    run(&g);
    assert_end(HYBRID_ACTION_COMPLETE, HYBRID_REASON_FITS);
    /* It fitted after two rounds, but went on to next to nothing */
    g_assert_cmpuint(res.record[1].remaining_pages, >, 1000);
    g_assert_cmpuint(res.last->remaining_pages, <, 40);
    g_assert_cmpuint(res.rounds, <=, 9);
    g_assert_cmpuint(res.sent, <, g.pages * 1.3);
}

static void test_diverging(void)
{
    SimGuest g = { .name = "diverging", ALWAYS_GIB,
                   .sets = { { .pages = 262144, .rate = 80000 } } };

    run(&g);
    assert_end(HYBRID_ACTION_HANDOFF, HYBRID_REASON_NO_GAIN);
    g_assert_cmpuint(res.rounds, ==, 1);
}

/* A working set that is written over and over: one round finds out */
static void test_saturating(void)
{
    SimGuest g = { .name = "saturating", ALWAYS_GIB,
                   .sets = { { .pages = SIM_MIB(50), .rate = 80000 } } };

    run(&g);
    assert_end(HYBRID_ACTION_HANDOFF, HYBRID_REASON_NO_GAIN);
    g_assert_cmpuint(res.rounds, ==, 2);
    g_assert_cmpuint(res.last->remaining_pages, <=, SIM_MIB(50));

    /* And one that fits the downtime completes, with the same rounds */
    g.name = "saturating-small";
    g.sets[0].pages = SIM_MIB(20);
    run(&g);
    assert_end(HYBRID_ACTION_COMPLETE, HYBRID_REASON_FITS);
    g_assert_cmpuint(res.rounds, <=, 3);
}

/* Hot, warm and cool pages: ends when the hot ones are what is left */
static void test_layers(void)
{
    SimGuest g = { .name = "layers", ALWAYS_GIB,
                   .sets = { { .pages = SIM_MIB(40), .rate = 100000 },
                             { .pages = SIM_MIB(150), .rate = 10000 },
                             { .pages = SIM_MIB(500), .rate = 2000 } } };

    run(&g);
    assert_end(HYBRID_ACTION_HANDOFF, HYBRID_REASON_NO_GAIN);
    g_assert_cmpuint(res.rounds, >=, 3);
    g_assert_cmpuint(res.last->remaining_pages, <, SIM_MIB(90));
    g_assert_cmpfloat(res.next_remaining, >,
                      res.last->remaining_pages * 0.75);
    g_assert_cmpuint(res.sent, <, g.pages * 1.5);
}

/* A burst in the second round: the rounds wait for its end */
static void test_burst(void)
{
    SimGuest g = { .name = "burst", ALWAYS_GIB,
                   .sets = { { .pages = SIM_MIB(800), .rate = 1000 },
                             { .pages = SIM_MIB(200), .rate = 400000,
                               .begin = 8.7, .end = 10 } } };

    run(&g);
    assert_end(HYBRID_ACTION_COMPLETE, HYBRID_REASON_FITS);
    g_assert_cmpuint(res.record[0].remaining_pages, <, SIM_MIB(40));
    g_assert_cmpuint(res.record[1].remaining_pages, >, SIM_MIB(90));
    g_assert_cmpint(res.record[1].action, ==, HYBRID_ACTION_CONTINUE);
    g_assert_cmpuint(res.last->remaining_pages, <, SIM_MIB(1));

    /* A burst that does not end: patience does */
    g.name = "burst-forever";
    g.sets[1].end = 1e6;
    run(&g);
    assert_end(HYBRID_ACTION_HANDOFF, HYBRID_REASON_NO_GAIN);
    g_assert_cmpuint(res.rounds, <=, 2 + HYBRID_ROUNDS_PATIENCE);
}

/* Phases: never a handoff on the crest while patience lasts */
static void test_sawtooth(void)
{
    unsigned completed = 0;

    for (unsigned shift = 0; shift < 20; shift++) {
        SimGuest g = { ALWAYS_GIB,
                       .name = shift ? NULL : "sawtooth",
                       .sets = { { .pages = SIM_MIB(160), .rate = 300000,
                                   .period = 3 + shift / 10.0, .duty = 1 },
                                 { .pages = SIM_MIB(800), .rate = 500 } } };
        uint64_t least;

        run(&g);
        least = res.policy.min_remaining;
        g_assert_cmpuint(res.rounds, <, 32);
        g_assert_true(res.last->remaining_pages * 0.75 < least ||
                      res.policy.stalled > HYBRID_ROUNDS_PATIENCE);
        completed += res.last->action == HYBRID_ACTION_COMPLETE;
        g_assert_cmpuint(res.sent, <, g.pages * 2.5);
    }
    g_test_message("%u of 20 met a quiet phase and completed", completed);
    g_assert_cmpuint(completed, >=, 4);
}

static void test_idle(void)
{
    SimGuest g = { .name = "idle", ALWAYS_GIB };

    run(&g);
    assert_end(HYBRID_ACTION_COMPLETE, HYBRID_REASON_CLEAN);
    g_assert_cmpuint(res.rounds, ==, 1);

    /* A kernel that ticks: a few pages for ever, not a few rounds for ever */
    g.name = "nearly-idle";
    g.sets[0] = (SimSet) { .pages = 30, .rate = 3000 };
    g.sets[1] = (SimSet) { .pages = SIM_MIB(300), .rate = 20 };
    g.noise = 0.3;
    run(&g);
    assert_end(HYBRID_ACTION_COMPLETE, HYBRID_REASON_FITS);
    g_assert_cmpuint(res.rounds, <=, 8);
}

static void test_slow_link(void)
{
    SimGuest g = { .name = "slow-link", .pages = 65536,
                   .bandwidth = 1.25e6, .overhead = 0.001,
                   .sets = { { .pages = SIM_MIB(20), .rate = 2000 } } };
    HybridRoundsConfig cfg = sim_config();

    run(&g);
    assert_end(HYBRID_ACTION_HANDOFF, HYBRID_REASON_NO_GAIN);
    g_assert_cmpuint(res.rounds, ==, 2);

    /* Three minutes for one round: the bounds cut it in the middle */
    cfg.max_time_us = 60 * 1000000;
    run_with(&g, &cfg);
    assert_end(HYBRID_ACTION_HANDOFF, HYBRID_REASON_TIME_LIMIT);
    g_assert_true(res.last->cut);
    g_assert_cmpfloat_with_epsilon(res.seconds, 60, 0.5);

    g.name = "slow-link-bytes";
    cfg.max_bytes = 50 * 1000000;
    run_with(&g, &cfg);
    assert_end(HYBRID_ACTION_HANDOFF, HYBRID_REASON_BYTE_LIMIT);
    g_assert_cmpfloat_with_epsilon(res.policy.bytes, 50e6, 0.5e6);
}

/* The link becomes slow: what fitted before does not fit now */
static void test_slower_link(void)
{
    SimGuest g = { .name = "slower-link", ALWAYS_GIB,
                   .slow_from = 8.5, .slow_bandwidth = SIM_GBIT * 0.4,
                   .sets = { { .pages = SIM_MIB(20), .rate = 80000 } } };

    run(&g);
    assert_end(HYBRID_ACTION_HANDOFF, HYBRID_REASON_NO_GAIN);
    g.slow_from = 0;
    g.slow_bandwidth = 0;
    g.name = NULL;
    run(&g);
    assert_end(HYBRID_ACTION_COMPLETE, HYBRID_REASON_FITS);
}

/*
 * Just booted, all but empty, on a fast link: the first round measures how
 * fast memory can be looked at, and must not be taken for the link's speed.
 */
static void test_zero_guest(void)
{
    SimGuest g = { .name = "zero-pages", .pages = 1048576,
                   .zero_pages = 1040000, .bandwidth = 10 * SIM_GBIT,
                   .overhead = 0.002,
                   .sets = { { .pages = SIM_MIB(1500), .rate = 80000 } } };

    run(&g);
    assert_end(HYBRID_ACTION_COMPLETE, HYBRID_REASON_FITS);
    g_assert_cmpuint(res.last->remaining_pages, <, SIM_MIB(30));

    /* Half of it empty: the link is measured right all the same */
    g.zero_pages = 524288;
    g.name = NULL;
    run(&g);
    assert_end(HYBRID_ACTION_COMPLETE, HYBRID_REASON_FITS);
    g_assert_cmpfloat_with_epsilon(hybrid_rounds_link(&res.record[0], 0),
                                   10 * SIM_GBIT, 1 * SIM_GBIT);
}

static void test_huge_guest(void)
{
    SimGuest g = { .name = "huge", .pages = 1ull << 34,
                   .bandwidth = 100 * SIM_GBIT, .overhead = 1.5,
                   .sets = { { .pages = 1e10, .rate = 500000 } } };

    run(&g);
    g_assert_cmpint(res.last->action, ==, HYBRID_ACTION_HANDOFF);
    g_assert_cmpuint(res.rounds, <=, 10);
    g_assert_cmpuint(res.last->remaining_pages, <, 2000000);
    g_assert_cmpuint(res.sent, <, g.pages * 1.3);
}

/*
 * Whatever the guest does, as long as it keeps doing it: when the policy says
 * "no gain", another round would indeed have left more than half of the rest
 * (the prediction is the middle of two bounds, and misses by half their
 * distance at most), and the rounds cost a bounded multiple of the guest.
 */
static void test_steady_guests(void)
{
    unsigned gains[] = { 10, 25, 40 };
    unsigned rounds = 0, vain = 0, missed = 0;

    for (unsigned i = 0; i < 3000; i++) {
        HybridRoundsConfig cfg = sim_config();
        SimGuest g = { ALWAYS_GIB };
        double left, worst, keep;

        cfg.min_gain = gains[i % 3];
        keep = 1 - cfg.min_gain / 100.0;
        worst = 1 - 2 * cfg.min_gain / 100.0;
        for (unsigned n = 0; n < G_N_ELEMENTS(g.sets); n++) {
            double share = g_test_rand_double();

            g.sets[n].pages = 1 + 65000 * share * share;
            g.sets[n].rate = 30000 * g_test_rand_double() *
                             g_test_rand_double();
        }
        run_with(&g, &cfg);
        left = res.last->remaining_pages;
        g_assert_cmpuint(res.rounds, <, 32);
        g_assert_cmpfloat(res.sent, <, g.pages * (1 + 100.0 / cfg.min_gain));
        if (left > 200) {
            g_assert_cmpfloat(res.next_remaining, >=, left * worst * 0.98 - 2);
            missed += res.next_remaining < left * keep;
        }
        for (unsigned n = 1; n < res.rounds; n++) {
            vain += res.record[n].remaining_pages >
                    res.record[n - 1].remaining_pages * keep;
        }
        rounds += res.rounds;
    }
    g_test_message("of %u rounds %u were in vain; %u of 3000 guests would "
                   "have gained by another one", rounds, vain, missed);
    g_assert_cmpuint(vain, <, 1800);
    g_assert_cmpuint(missed, <, 400);
}

/* No guest makes the rounds go on for ever, even without any bound */
static void test_always_ends(void)
{
    HybridRoundsConfig cfg = sim_config();

    cfg.max_rounds = UINT32_MAX;
    for (unsigned i = 0; i < 2000; i++) {
        SimGuest g = { ALWAYS_GIB, .noise = g_test_rand_double(),
                       .seed = g_test_rand_int() };
        unsigned limit;

        cfg.min_gain = g_test_rand_int_range(5, 100);
        for (unsigned n = 0; n < G_N_ELEMENTS(g.sets); n++) {
            g.sets[n].pages = g_test_rand_double_range(1, 250000);
            g.sets[n].rate = g_test_rand_double_range(0, 100000);
            g.sets[n].period = g_test_rand_double_range(0.1, 10);
            g.sets[n].duty = g.sets[n].period * g_test_rand_double();
        }
        run_with(&g, &cfg);
        /* Each clear gain is min_gain percent; 262144 * 0.95^250 < 1 */
        limit = 250 * (HYBRID_ROUNDS_PATIENCE + 1);
        g_assert_cmpuint(res.rounds, <, limit);
        g_assert_cmpint(res.last->action, !=, HYBRID_ACTION_CONTINUE);
    }
}

/*
 * A guest a thousand times as large, on a link as much faster: the same, but
 * for a few that are so near a limit that whole pages make the difference.
 */
static void test_scale(void)
{
    unsigned different = 0;

    for (unsigned i = 0; i < 300; i++) {
        HybridRoundsConfig cfg = sim_config();
        SimGuest g = { .pages = 262144, .bandwidth = SIM_GBIT };
        unsigned rounds;
        HybridAction action;

        for (unsigned n = 0; n < 2; n++) {
            g.sets[n].pages = g_test_rand_double_range(20000, 120000);
            g.sets[n].rate = g_test_rand_double_range(0, 50000);
        }
        run_with(&g, &cfg);
        rounds = res.rounds;
        action = res.last->action;
        if (res.last->remaining_pages < 5000) {
            continue;           /* rounding to whole pages matters */
        }

        g.pages *= 1024;
        g.bandwidth *= 1024;
        for (unsigned n = 0; n < 2; n++) {
            g.sets[n].pages *= 1024;
            g.sets[n].rate *= 1024;
        }
        run_with(&g, &cfg);
        different += res.last->action != action || res.rounds != rounds;
    }
    g_test_message("%u of 300 guests differ", different);
    g_assert_cmpuint(different, <=, 5);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hybrid/rounds/guest/converging", test_converging);
    g_test_add_func("/hybrid/rounds/guest/diverging", test_diverging);
    g_test_add_func("/hybrid/rounds/guest/saturating", test_saturating);
    g_test_add_func("/hybrid/rounds/guest/layers", test_layers);
    g_test_add_func("/hybrid/rounds/guest/burst", test_burst);
    g_test_add_func("/hybrid/rounds/guest/sawtooth", test_sawtooth);
    g_test_add_func("/hybrid/rounds/guest/idle", test_idle);
    g_test_add_func("/hybrid/rounds/guest/slow-link", test_slow_link);
    g_test_add_func("/hybrid/rounds/guest/slower-link", test_slower_link);
    g_test_add_func("/hybrid/rounds/guest/zero-pages", test_zero_guest);
    g_test_add_func("/hybrid/rounds/guest/huge", test_huge_guest);
    g_test_add_func("/hybrid/rounds/guest/steady", test_steady_guests);
    g_test_add_func("/hybrid/rounds/guest/always-ends", test_always_ends);
    g_test_add_func("/hybrid/rounds/guest/scale", test_scale);
    return g_test_run();
}
