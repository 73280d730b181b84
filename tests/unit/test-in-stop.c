/*
 * Do all differences fit the stop?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include <float.h>
#include <math.h>
#include "policy/in-stop.h"

#define PAGE   4096
#define GBIT   125e6
/* A difference of a few bytes, with all that stands before it */
#define LITTLE 40

/* A set of 7000 pages, small changes, 1 Gbit/s, 10 us to make a difference */
static HybridInStopAsk usual = {
    .page_size = PAGE,
    .based = 7000,
    .bandwidth = GBIT,
    .one_way_us = 100,
    .limit_us = 300000,
};

static void slower(HybridInStopAsk *ask, unsigned first, uint64_t ns)
{
    for (unsigned i = first; i < ask->sampled; i++) {
        ask->sampled_ns[i] = ns;
    }
}

static HybridInStopVerdict judge(HybridInStopAsk ask)
{
    HybridInStopVerdict v;

    hybrid_in_stop_judge(&ask, &v);
    return v;
}

#define WITH(...) ({ HybridInStopAsk a = usual; __VA_ARGS__; judge(a); })

static void test_usual(void)
{
    HybridInStopVerdict v = judge(usual);

    g_assert_true(v.fits);
    g_assert_cmpint(v.bytes, ==, 7000 * LITTLE);
    /* 2240 of the link, 140000 of two CPUs, 300 of round trips */
    g_assert_cmpint(v.us, >=, 142530);
    g_assert_cmpint(v.us, <=, 142550);
}

/* One guest, or link, after the other */
static void test_cases(void)
{
    /* Whole pages are overwritten: no bases, the rounds have said no */
    g_assert_false(WITH(a.whole = 7000; a.based = a.sampled = 0).fits);
    /* It looked as if little changed, and then all did */
    g_assert_false(WITH(a.sampled_bytes = 100 * (PAGE + 8);
                        a.bandwidth /= 2).fits);
    /* Differences add up: from 40 bytes to half of a page */
    g_assert_false(WITH(a.sampled_bytes = 100 * 2048; a.bandwidth /= 2).fits);
    /* Few without a base, and too many: each is a whole page */
    g_assert_true(WITH(a.whole = 1000).fits);
    g_assert_false(WITH(a.whole = 5000).fits);
    /* A link on which even little takes long */
    g_assert_false(WITH(a.bandwidth = 1e6).fits);
    /* A link of many round trips' length */
    g_assert_false(WITH(a.one_way_us = 60000).fits);
    /* One that is not known takes no time */
    g_assert_cmpint(WITH(a.one_way_us = -1).us, <, judge(usual).us);
    /* A CPU that is slow or busy */
    g_assert_false(WITH(slower(&a, 0, 20000)).fits);
    /* The guest takes the CPU now and then: not in the stop */
    g_assert_true(WITH(slower(&a, 90, 8000000)).fits);
    /* A set that is too large for it */
    g_assert_false(WITH(a.based *= 2).fits);
    g_assert_false(WITH(a.limit_us = 5000).fits);
    g_assert_false(WITH(a.limit_us = 0).fits);
}

/* A quarter is left the first time, nothing the second one */
static void test_twice(void)
{
    uint64_t us = judge(usual).us + 1;

    g_assert_true(WITH(a.limit_us = us * 4 / 3 + 1).fits);
    g_assert_false(WITH(a.limit_us = us * 4 / 3 - 2).fits);
    g_assert_true(WITH(a.limit_us = us * 4 / 3 - 2; a.stopped = true).fits);
    g_assert_true(WITH(a.limit_us = us; a.stopped = true).fits);
    g_assert_false(WITH(a.limit_us = us - 2; a.stopped = true).fits);
    /* What of the downtime is gone is gone */
    g_assert_true(WITH(a.limit_us = us + 500; a.stopped = true;
                       a.gone_us = 500).fits);
    g_assert_false(WITH(a.limit_us = us + 500; a.stopped = true;
                        a.gone_us = 502).fits);
    /* It has become more: twice what the first answer allowed is too much */
    g_assert_false(WITH(a.limit_us = us * 4 / 3 + 1; a.stopped = true;
                        a.based *= 2).fits);
}

/* What is not known does not fit, however large the limit; no overflow */
static void test_unknown(void)
{
    g_assert_false(WITH(a.limit_us = UINT64_MAX; a.sampled = 0).fits);
    g_assert_false(WITH(a.limit_us = UINT64_MAX; a.bandwidth = 0).fits);
    g_assert_false(WITH(a.limit_us = UINT64_MAX; a.bandwidth = -1).fits);
    g_assert_false(WITH(a.limit_us = UINT64_MAX; a.bandwidth = NAN).fits);
    g_assert_false(WITH(a.limit_us = UINT64_MAX; a.based = 0).fits);
    g_assert_cmpuint(WITH(a.bandwidth = 0).us, ==, UINT64_MAX);
    g_assert_false(WITH(a.based = a.whole = UINT64_MAX).fits);
    g_assert_cmpuint(WITH(a.based = a.whole = UINT64_MAX).bytes, >,
                     UINT64_MAX / 2);
    g_assert_false(WITH(a.bandwidth = DBL_MIN).fits);
    g_assert_false(WITH(slower(&a, 0, UINT64_MAX)).fits);
    g_assert_true(WITH(a.sampled = 1; a.sampled_bytes = LITTLE).fits);
    g_assert_false(WITH(a.one_way_us = INT64_MAX).fits);
}

static void test_sample(void)
{
    HybridInStopAsk ask = { 0 };

    for (unsigned i = 0; i < HYBRID_IN_STOP_SAMPLE; i++) {
        hybrid_in_stop_add(&ask, 10, i);
    }
    hybrid_in_stop_add(&ask, 10, 1);
    g_assert_cmpint(ask.sampled, ==, HYBRID_IN_STOP_SAMPLE);
    g_assert_cmpint(ask.sampled_bytes, ==, 10 * HYBRID_IN_STOP_SAMPLE);
}

int main(int argc, char **argv)
{
    for (unsigned i = 0; i < 100; i++) {
        hybrid_in_stop_add(&usual, LITTLE, 10000);
    }
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hybrid/in-stop/usual", test_usual);
    g_test_add_func("/hybrid/in-stop/cases", test_cases);
    g_test_add_func("/hybrid/in-stop/twice", test_twice);
    g_test_add_func("/hybrid/in-stop/unknown", test_unknown);
    g_test_add_func("/hybrid/in-stop/sample", test_sample);
    return g_test_run();
}
