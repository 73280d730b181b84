/*
 * Rounds before a handoff over a long way: what they take off what the guest
 * waits for, what they cost, and where the decision is as it was.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "far-sim.h"

#define GUEST .pages = 65536, .link = FAR_LINK, .rtt_us = FAR_RTT_US
#define RESEND 10

static FarResult before, now;

static void run(const FarGuest *g)
{
    far_run(g, false, RESEND, &before);
    far_run(g, true, RESEND, &now);
}

static void assert_bounds(const FarGuest *g)
{
    uint64_t resends = g->pages * RESEND / 100;
    double more;

    /* What rounds without it have sent again is not its doing */
    g_assert_cmpuint(now.again, <=, MAX(before.again, resends));
    /* What is left after the last one was only foretold */
    if (!g->dip_to && !g->begin) {
        more = resends * 1.5;
        g_assert_cmpfloat(now.resends, <=, MAX(before.resends, more));
        g_assert_cmpfloat(now.seconds, <=, before.seconds + more / g->link);
    }
}

static void assert_same(const FarGuest *g)
{
    run(g);
    g_assert_cmpuint(now.eased, ==, 0);
    g_assert_cmpint(now.last.action, ==, before.last.action);
    g_assert_cmpuint(now.last.round, ==, before.last.round);
    g_assert_cmpuint(now.resends, ==, before.resends);
    g_assert_cmpfloat(now.wait, ==, before.wait);
}

/*
 * A set that is written nearly as fast as the link carries it, at random: it
 * does not converge, and each page that is touched costs a round trip.
 */
static void test_random(void)
{
    static const FarGuest guests[] = {
        { "random", FAR_RANDOM, GUEST, .set = 4096, .rate = 5000 },
        { "random, smaller", FAR_RANDOM, GUEST, .set = 3072, .rate = 4873 },
        { "random, farther", FAR_RANDOM, .pages = 65536, .link = FAR_LINK,
          .rtt_us = 150000, .set = 4096, .rate = 5000 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(guests); i++) {
        run(&guests[i]);
        g_assert_cmpint(before.last.action, ==, HYBRID_ACTION_HANDOFF);
        g_assert_cmpfloat(before.wait, >, 0.4);
        g_assert_cmpuint(now.eased, >=, 1);
        g_assert_cmpuint(now.last.round, <=, before.last.round + 4);
        g_assert_cmpfloat(now.wait, <, before.wait / 2);
        g_assert_cmpuint(now.faults, <=, before.faults / 2);
        assert_bounds(&guests[i]);
    }
}

/* The bound is what the operator says, and none of it is left: as before */
static void test_bound(void)
{
    static const FarGuest g = { "random", FAR_RANDOM, GUEST, .set = 4096,
                                .rate = 5000 };
    FarResult some, none;

    far_run(&g, false, 1, &none);
    far_run(&g, true, 1, &now);
    g_assert_cmpuint(now.eased, ==, 0);
    g_assert_cmpfloat(now.wait, ==, none.wait);
    far_run(&g, true, 5, &some);
    g_assert_cmpuint(some.eased, ==, 1);
    g_assert_cmpuint(some.resends, <=, g.pages / 20);
    far_run(&g, true, 0, &now);
    g_assert_cmpfloat(now.wait, <, some.wait);
    g_assert_cmpfloat(some.wait, <, none.wait);
}

/* Where it is right, the decision is as it was */
static void test_same(void)
{
    static const FarGuest guests[] = {
        { "idle", FAR_RANDOM, GUEST },
        { "in order", FAR_IN_ORDER, GUEST, .set = 12288, .rate = 3000 },
        { "in order, full speed", FAR_IN_ORDER, GUEST, .set = 12288,
          .rate = 50000 },
        { "random, full speed", FAR_RANDOM, GUEST, .set = 8192,
          .rate = 50000 },
        { "zipf, converges", FAR_ZIPF, GUEST, .set = 49152, .rate = 3000 },
        { "zipf, full speed", FAR_ZIPF, GUEST, .set = 49152, .rate = 50000 },
        { "1 Gbit/s", FAR_RANDOM, .pages = 131072, .link = 30000,
          .rtt_us = 200, .set = 8192, .rate = 24000 },
        { "1 Gbit/s, in order, full speed", FAR_IN_ORDER, .pages = 131072,
          .link = 30000, .rtt_us = 200, .set = 16384, .rate = 500000 },
        { "differences are small", FAR_RANDOM, GUEST, .set = 4096,
          .rate = 5000, .differs = 0.05 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(guests); i++) {
        assert_same(&guests[i]);
    }
}

/* Half of it as differences leaves something to win */
static void test_half_differs(void)
{
    static const FarGuest g = { "half differs", FAR_RANDOM, GUEST, .set = 4096,
                                .rate = 5000, .differs = 0.5 };

    run(&g);
    g_assert_cmpuint(now.eased, >=, 1);
    assert_bounds(&g);
}

/* Whoever starts to write in the end, and whatever the link does meanwhile */
static void test_late(void)
{
    for (unsigned n = 0; n < 40; n++) {
        FarGuest late = { "late", FAR_RANDOM, GUEST, .set = 4096, .rate = 5000,
                          .begin = 8 + n * 0.1 };
        FarGuest dip = { "dip", FAR_RANDOM, GUEST, .set = 4096, .rate = 5000,
                         .dip_from = 9 + n * 0.1,
                         .dip_to = 9 + n * 0.1 + 1.5 };

        run(&late);
        assert_bounds(&late);
        g_assert_cmpfloat(now.wait, <=, before.wait + 0.1);
        run(&dip);
        assert_bounds(&dip);
        g_assert_cmpfloat(now.wait, <=, before.wait + 0.1);
    }
}

/*
 * Any guest: within the bounds, and the guest waits no longer than before,
 * all together clearly less.
 */
static void test_any(void)
{
    double waits_before = 0, waits_now = 0;
    unsigned eased = 0, longer = 0;

    for (unsigned n = 0; n < 300; n++) {
        FarGuest g = { "any", FAR_RANDOM, .pages = 32768,
                       .link = g_test_rand_double_range(2000, 20000),
                       .rtt_us = g_test_rand_int_range(1000, 150000) };

        g.writer = g_test_rand_int_range(0, 3);
        g.set = g_test_rand_int_range(16, 16384);
        g.rate = g.link * g_test_rand_double_range(0.05, 2);
        g.begin = g_test_rand_bit() ? 0 : g_test_rand_double_range(0, 6);
        run(&g);
        assert_bounds(&g);
        waits_before += before.wait;
        waits_now += now.wait;
        eased += !!now.eased;
        if (now.wait > before.wait + 2 * g.rtt_us / 1e6 + 0.05) {
            longer++;
            g_test_message("longer: writer %d, set %zu, rate %.0f, link %.0f, "
                           "rtt %" PRIu64 ", begin %.2f", g.writer, g.set,
                           g.rate, g.link, g.rtt_us, g.begin);
        }
    }
    g_test_message("of 300 guests %u had a round for it, and waited %.1f s, "
                   "before %.1f s; %u longer", eased, waits_now, waits_before,
                   longer);
    g_assert_cmpuint(eased, >=, 3);
    g_assert_cmpuint(longer, <=, 3);
    g_assert_cmpfloat(waits_now, <, waits_before);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hybrid/rounds/far/random", test_random);
    g_test_add_func("/hybrid/rounds/far/bound", test_bound);
    g_test_add_func("/hybrid/rounds/far/same", test_same);
    g_test_add_func("/hybrid/rounds/far/half-differs", test_half_differs);
    g_test_add_func("/hybrid/rounds/far/late", test_late);
    g_test_add_func("/hybrid/rounds/far/any", test_any);
    return g_test_run();
}
