/*
 * How long vCPUs wait for missing pages.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "policy/blocktime.h"

#define PAGE 4096ull

G_DEFINE_AUTOPTR_CLEANUP_FUNC(HybridBlocktime, hybrid_blocktime_free)

static void test_one(void)
{
    g_autoptr(HybridBlocktime) bt = hybrid_blocktime_new(2);

    g_assert_cmpuint(hybrid_blocktime_vcpus(bt), ==, 2);
    g_assert_cmpuint(hybrid_blocktime_placed(bt, PAGE, PAGE, 50), ==, 0);
    g_assert_true(hybrid_blocktime_begin(bt, 1, PAGE, 100, false));
    g_assert_cmpuint(hybrid_blocktime_vcpu_us(bt, 1), ==, 0);
    g_assert_cmpuint(hybrid_blocktime_placed(bt, 2 * PAGE, PAGE, 150), ==, 0);
    g_assert_cmpuint(hybrid_blocktime_placed(bt, PAGE, PAGE, 700), ==, 1);
    g_assert_cmpuint(hybrid_blocktime_placed(bt, PAGE, PAGE, 800), ==, 0);
    g_assert_cmpuint(hybrid_blocktime_vcpu_us(bt, 1), ==, 600);
    g_assert_cmpuint(hybrid_blocktime_vcpu_us(bt, 0), ==, 0);
}

static void test_same_page(void)
{
    g_autoptr(HybridBlocktime) bt = hybrid_blocktime_new(3);

    g_assert_true(hybrid_blocktime_begin(bt, 0, PAGE, 100, false));
    g_assert_true(hybrid_blocktime_begin(bt, 2, PAGE, 300, false));
    g_assert_true(hybrid_blocktime_begin(bt, 1, 2 * PAGE, 300, false));
    g_assert_cmpuint(hybrid_blocktime_placed(bt, PAGE, PAGE, 500), ==, 2);
    g_assert_cmpuint(hybrid_blocktime_vcpu_us(bt, 0), ==, 400);
    g_assert_cmpuint(hybrid_blocktime_vcpu_us(bt, 1), ==, 0);
    g_assert_cmpuint(hybrid_blocktime_vcpu_us(bt, 2), ==, 200);
}

/* A run of pages ends the waits for each of them, and for no other */
static void test_run(void)
{
    g_autoptr(HybridBlocktime) bt = hybrid_blocktime_new(4);

    g_assert_true(hybrid_blocktime_begin(bt, 0, 4 * PAGE, 100, false));
    g_assert_true(hybrid_blocktime_begin(bt, 1, 7 * PAGE, 100, false));
    g_assert_true(hybrid_blocktime_begin(bt, 2, 8 * PAGE, 100, false));
    g_assert_true(hybrid_blocktime_begin(bt, 3, 3 * PAGE, 100, false));
    g_assert_cmpuint(hybrid_blocktime_placed(bt, 4 * PAGE, 4 * PAGE, 300),
                     ==, 2);
    g_assert_cmpuint(hybrid_blocktime_vcpu_us(bt, 1), ==, 200);
    g_assert_cmpuint(hybrid_blocktime_vcpu_us(bt, 2), ==, 0);
    g_assert_cmpuint(hybrid_blocktime_vcpu_us(bt, 3), ==, 0);
}

static void test_repeated(void)
{
    g_autoptr(HybridBlocktime) bt = hybrid_blocktime_new(1);

    g_assert_true(hybrid_blocktime_begin(bt, 0, PAGE, 100, false));
    g_assert_false(hybrid_blocktime_begin(bt, 0, PAGE, 300, false));
    /* The page has come, its placed() has not run yet */
    g_assert_false(hybrid_blocktime_begin(bt, 0, PAGE, 450, true));
    g_assert_cmpuint(hybrid_blocktime_placed(bt, PAGE, PAGE, 500), ==, 1);
    g_assert_cmpuint(hybrid_blocktime_vcpu_us(bt, 0), ==, 400);
}

static void test_already_received(void)
{
    g_autoptr(HybridBlocktime) bt = hybrid_blocktime_new(1);

    g_assert_false(hybrid_blocktime_begin(bt, 0, PAGE, 100, true));
    g_assert_cmpuint(hybrid_blocktime_placed(bt, PAGE, PAGE, 900), ==, 0);
    g_assert_cmpuint(hybrid_blocktime_vcpu_us(bt, 0), ==, 0);
}

/* A signal calls the vCPU away from its page, and it touches another */
static void test_called_away(void)
{
    g_autoptr(HybridBlocktime) bt = hybrid_blocktime_new(1);

    g_assert_true(hybrid_blocktime_begin(bt, 0, PAGE, 100, false));
    g_assert_false(hybrid_blocktime_begin(bt, 0, 2 * PAGE, 300, false));
    g_assert_cmpuint(hybrid_blocktime_vcpu_us(bt, 0), ==, 200);
    g_assert_cmpuint(hybrid_blocktime_placed(bt, PAGE, PAGE, 400), ==, 0);
    g_assert_cmpuint(hybrid_blocktime_placed(bt, 2 * PAGE, PAGE, 600), ==, 1);
    g_assert_cmpuint(hybrid_blocktime_vcpu_us(bt, 0), ==, 500);

    /* And the other one is there: it runs, though the first is still due */
    g_assert_true(hybrid_blocktime_begin(bt, 0, PAGE, 1000, false));
    g_assert_false(hybrid_blocktime_begin(bt, 0, 2 * PAGE, 1100, true));
    g_assert_cmpuint(hybrid_blocktime_vcpu_us(bt, 0), ==, 600);
    g_assert_cmpuint(hybrid_blocktime_placed(bt, PAGE, PAGE, 9000), ==, 1);
    g_assert_cmpuint(hybrid_blocktime_vcpu_us(bt, 0), ==, 600);

    /* Or it comes back to the first */
    g_assert_true(hybrid_blocktime_begin(bt, 0, PAGE, 10000, false));
    g_assert_false(hybrid_blocktime_begin(bt, 0, 2 * PAGE, 10100, true));
    g_assert_false(hybrid_blocktime_begin(bt, 0, PAGE, 10500, false));
    g_assert_cmpuint(hybrid_blocktime_placed(bt, PAGE, PAGE, 10600), ==, 1);
    g_assert_cmpuint(hybrid_blocktime_vcpu_us(bt, 0), ==, 800);
}

static void test_no_such_vcpu(void)
{
    g_autoptr(HybridBlocktime) bt = hybrid_blocktime_new(1);
    g_autoptr(HybridBlocktime) none = hybrid_blocktime_new(0);

    g_assert_false(hybrid_blocktime_begin(bt, -1, PAGE, 100, false));
    g_assert_false(hybrid_blocktime_begin(bt, 1, PAGE, 100, false));
    g_assert_false(hybrid_blocktime_begin(none, 0, PAGE, 100, false));
    g_assert_cmpuint(hybrid_blocktime_placed(bt, PAGE, PAGE, 900), ==, 0);
    g_assert_cmpuint(hybrid_blocktime_vcpu_us(bt, 7), ==, 0);
    hybrid_blocktime_free(NULL);
}

/* However long it takes, also by a clock that goes backwards */
static void test_lengths(void)
{
    static const int64_t cases[] = { 0, 1, 1024, INT64_MAX, -50 };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(HybridBlocktime) bt = hybrid_blocktime_new(1);

        hybrid_blocktime_begin(bt, 0, 0, 0, false);
        g_assert_cmpuint(hybrid_blocktime_placed(bt, 0, PAGE, cases[i]), ==, 1);
        g_assert_cmpuint(hybrid_blocktime_vcpu_us(bt, 0), ==,
                         MAX(cases[i], 0));
    }
}

/*
 * The caller keeps a counter from the answers, as a fast check without the
 * lock: in the end nobody waits.  No vCPU waits longer than time passes.
 */
static void test_random(void)
{
    g_autoptr(HybridBlocktime) bt = hybrid_blocktime_new(8);
    unsigned waiting = 0;
    uint64_t sum = 0;
    int64_t now = 0;

    for (unsigned i = 0; i < 200000; i++) {
        uint64_t addr = g_test_rand_int_range(0, 6) * PAGE;

        now += g_test_rand_int_range(0, 100);
        if (g_test_rand_int_range(0, 3)) {
            waiting += hybrid_blocktime_begin(bt,
                                              g_test_rand_int_range(-1, 9),
                                              addr, now,
                                              g_test_rand_bit());
        } else {
            waiting -= hybrid_blocktime_placed(bt, addr, PAGE, now);
        }
            g_assert_cmpuint(waiting, <=, 8);
    }
    for (unsigned i = 0; i < 6; i++) {
        waiting -= hybrid_blocktime_placed(bt, i * PAGE, PAGE, now);
    }
    g_assert_cmpuint(waiting, ==, 0);
    for (unsigned i = 0; i < 8; i++) {
        uint64_t us = hybrid_blocktime_vcpu_us(bt, i);

        g_assert_cmpuint(us, <=, now);
        sum += us;
    }
    g_assert_cmpuint(sum, >, now);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hybrid/blocktime/one", test_one);
    g_test_add_func("/hybrid/blocktime/same-page", test_same_page);
    g_test_add_func("/hybrid/blocktime/run", test_run);
    g_test_add_func("/hybrid/blocktime/repeated", test_repeated);
    g_test_add_func("/hybrid/blocktime/already-received",
                    test_already_received);
    g_test_add_func("/hybrid/blocktime/called-away", test_called_away);
    g_test_add_func("/hybrid/blocktime/no-such-vcpu", test_no_such_vcpu);
    g_test_add_func("/hybrid/blocktime/lengths", test_lengths);
    g_test_add_func("/hybrid/blocktime/random", test_random);
    return g_test_run();
}
