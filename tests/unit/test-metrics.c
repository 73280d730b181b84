/*
 * The six metrics: times, pages, degradation.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "policy/metrics.h"

static void test_rtt(void)
{
    HybridRtt rtt;

    hybrid_rtt_init(&rtt);
    g_assert_cmpint(hybrid_rtt_one_way(&rtt), ==, -1);
    hybrid_rtt_sample(&rtt, -5);
    g_assert_cmpint(hybrid_rtt_one_way(&rtt), ==, -1);
    hybrid_rtt_sample(&rtt, 900);
    g_assert_cmpint(hybrid_rtt_one_way(&rtt), ==, 450);
    hybrid_rtt_sample(&rtt, 500);
    hybrid_rtt_sample(&rtt, 70000);
    g_assert_cmpint(hybrid_rtt_one_way(&rtt), ==, 250);
    hybrid_rtt_sample(&rtt, 0);
    g_assert_cmpint(hybrid_rtt_one_way(&rtt), ==, 0);
    g_assert_cmpuint(rtt.samples, ==, 4);
}

static HybridTimes usual_times(void)
{
    HybridTimes t;

    hybrid_times_init(&t);
    t.start_us = 1000000;
    t.stop_us = 9000000;
    t.package_us = 9002000;
    t.loaded_us = 9010000;
    t.grant_us = 9010100;
    t.running_us = 9012000;
    t.running_seen = true;
    t.done_us = 12500000;
    return t;
}

static void test_times(void)
{
    HybridTimes t = usual_times();
    HybridRtt rtt;
    bool estimated = true;

    hybrid_rtt_init(&rtt);
    hybrid_rtt_sample(&rtt, 1000);
    g_assert_cmpint(hybrid_times_preparation(&t), ==, 8000000);
    g_assert_cmpint(hybrid_times_downtime(&t, &rtt, &estimated), ==, 11500);
    g_assert_false(estimated);
    g_assert_cmpint(hybrid_times_resume(&t, &rtt), ==, 3488500);
    g_assert_cmpint(hybrid_times_total(&t), ==, 11500000);

    /* Without a round trip the delay stays in, and this is said */
    hybrid_rtt_init(&rtt);
    g_assert_cmpint(hybrid_times_downtime(&t, &rtt, &estimated), ==, 12000);
    g_assert_true(estimated);
    g_assert_cmpint(hybrid_times_downtime(&t, &rtt, NULL), ==, 12000);
}

static void test_times_estimated(void)
{
    HybridTimes t = usual_times();
    HybridRtt rtt;
    bool estimated = false;

    hybrid_rtt_init(&rtt);
    hybrid_rtt_sample(&rtt, 1000);

    /* An unpatched peer: PONG 3 */
    t.running_seen = false;
    g_assert_cmpint(hybrid_times_downtime(&t, &rtt, &estimated), ==, 11500);
    g_assert_true(estimated);

    /* RUNNING is on its way: GRANT's arrival */
    t.running_us = -1;
    estimated = false;
    g_assert_cmpint(hybrid_times_downtime(&t, &rtt, &estimated), ==, 10600);
    g_assert_true(estimated);

    /* Nothing granted: the guest is not there, nor is a downtime */
    t.grant_us = -1;
    g_assert_cmpint(hybrid_times_downtime(&t, &rtt, &estimated), ==, -1);
    g_assert_cmpint(hybrid_times_resume(&t, &rtt), ==, -1);

    /* A wrong delay does not make time run backwards */
    t = usual_times();
    hybrid_rtt_init(&rtt);
    hybrid_rtt_sample(&rtt, 1000000);
    g_assert_cmpint(hybrid_times_downtime(&t, &rtt, NULL), ==, 0);
}

/* When RUNNING says that the guest started, and when it is taken to have */
static void check_started(int64_t ago, int64_t after_loaded,
                          int64_t after_grant, int64_t now, int64_t downtime)
{
    HybridStarted started = { ago, after_loaded, after_grant };
    HybridTimes t = usual_times();
    HybridRtt rtt;
    bool estimated = true;

    t.running_us = -1;
    t.running_seen = false;
    hybrid_rtt_init(&rtt);
    hybrid_rtt_sample(&rtt, 1000);
    hybrid_times_started(&t, &rtt, &started, now);
    g_assert_cmpint(hybrid_times_downtime(&t, &rtt, &estimated), ==, downtime);
    g_assert_false(estimated);
}

static void test_times_started(void)
{
    /* At once, 1.4 ms after GRANT was sent */
    check_started(0, 2000, 900, 9012000, 11500);
    /* Some time before it was said */
    check_started(700, 2000, 900, 9012700, 11500);
    /* RUNNING was late: LOADED knows better */
    check_started(0, 2000, 900, 9020000, 11500);
    /* LOADED was late, or is not known: RUNNING is as good */
    check_started(0, 5000, 900, 9012000, 11500);
    check_started(0, -1, -1, 9012000, 11500);
    /* GRANT was read late: it says nothing more than "not before" */
    check_started(0, 2000, 200, 9012000, 11500);
    /* Both bounds say that it was sooner or later: the middle */
    check_started(0, 2000, 1900, 9012000, 12000);
    /* Nonsense does not put it before GRANT */
    check_started(1000000, 0, -1, 9012000, 9600);
    check_started(-5, 2000, 900, 9012000, 11500);
    /* Nor far behind RUNNING's arrival, however large a number */
    check_started(0, INT64_MAX, INT64_MAX, 9012000, 12000);
    check_started(INT64_MAX, INT64_MAX, INT64_MAX, 9012000, 9600);
}

static void test_times_unknown(void)
{
    HybridTimes t;
    HybridRtt rtt;

    hybrid_times_init(&t);
    hybrid_rtt_init(&rtt);
    g_assert_cmpint(hybrid_times_preparation(&t), ==, -1);
    g_assert_cmpint(hybrid_times_downtime(&t, &rtt, NULL), ==, -1);
    g_assert_cmpint(hybrid_times_resume(&t, &rtt), ==, -1);
    g_assert_cmpint(hybrid_times_total(&t), ==, -1);
    t.start_us = 5;
    g_assert_cmpint(hybrid_times_total(&t), ==, -1);
    t.stop_us = 7;
    g_assert_cmpint(hybrid_times_preparation(&t), ==, 2);
    t.stop_us = 3;
    g_assert_cmpint(hybrid_times_preparation(&t), ==, 0);
    /* The clock starts anywhere, also at 0 */
    t.start_us = 0;
    t.done_us = 20;
    g_assert_cmpint(hybrid_times_total(&t), ==, 20);
}

/* Whatever the stamps: the parts are never negative and make up the whole */
static void test_times_partition(void)
{
    for (unsigned i = 0; i < 10000; i++) {
        HybridTimes t;
        HybridRtt rtt;

        hybrid_times_init(&t);
        hybrid_rtt_init(&rtt);
        if (i % 4) {
            hybrid_rtt_sample(&rtt, g_test_rand_int_range(0, 100000));
        }
        t.start_us = g_test_rand_int_range(0, 1000000);
        t.stop_us = t.start_us + g_test_rand_int_range(0, 1000000);
        t.grant_us = t.stop_us + g_test_rand_int_range(0, 50000);
        if (i % 3) {
            t.running_us = t.grant_us + g_test_rand_int_range(0, 50000);
        }
        /* The end comes after the first instruction, which is an estimate */
        t.done_us = t.grant_us + 100000 + g_test_rand_int_range(0, 1000000);
        g_assert_cmpint(hybrid_times_downtime(&t, &rtt, NULL), >=, 0);
        g_assert_cmpint(hybrid_times_resume(&t, &rtt), >=, 0);
        g_assert_cmpint(hybrid_times_preparation(&t) +
                        hybrid_times_downtime(&t, &rtt, NULL) +
                        hybrid_times_resume(&t, &rtt), ==,
                        hybrid_times_total(&t));
    }
}

static void test_degradation(void)
{
    uint64_t blocked[] = { 100000, 300000, 0, 0 };
    uint64_t huge[] = { UINT64_MAX, UINT64_MAX };

    g_assert_cmpfloat(hybrid_degradation(blocked, 4, 0, 1000000), ==, 10.0);
    g_assert_cmpfloat(hybrid_degradation(blocked, 2, 0, 1000000), ==, 20.0);
    g_assert_cmpfloat(hybrid_degradation(blocked, 4, 400000, 1000000), ==,
                      20.0);
    g_assert_cmpfloat(hybrid_degradation(NULL, 0, 400000, 1000000), ==, 0.0);
    g_assert_cmpfloat(hybrid_degradation(blocked, 4, 400000, 0), ==, 0.0);
    g_assert_cmpfloat(hybrid_degradation(blocked, 4, 1ull << 40, 1000), ==,
                      100.0);
    g_assert_cmpfloat(hybrid_degradation(huge, 2, UINT64_MAX, UINT64_MAX), ==,
                      100.0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hybrid/metrics/rtt", test_rtt);
    g_test_add_func("/hybrid/metrics/times", test_times);
    g_test_add_func("/hybrid/metrics/times-estimated", test_times_estimated);
    g_test_add_func("/hybrid/metrics/times-started", test_times_started);
    g_test_add_func("/hybrid/metrics/times-unknown", test_times_unknown);
    g_test_add_func("/hybrid/metrics/times-partition", test_times_partition);
    g_test_add_func("/hybrid/metrics/degradation", test_degradation);
    return g_test_run();
}
