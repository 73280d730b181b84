/*
 * The write working set as a function of the window.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "policy/wset.h"

static uint64_t at(const HybridWset *w, uint64_t us)
{
    uint64_t pages = 0;

    g_assert_true(hybrid_wset_get(w, us, &pages));
    return pages;
}

static void test_empty(void)
{
    HybridWset w = {};
    uint64_t pages = 7;

    g_assert_false(hybrid_wset_get(&w, 1000, &pages));
    hybrid_wset_add(&w, 0, 100);        /* a window of no length is none */
    g_assert_false(hybrid_wset_get(&w, 1000, &pages));
}

static void test_straight(void)
{
    HybridWset w = {};

    hybrid_wset_add(&w, 100000, 1000);
    hybrid_wset_add(&w, 1000000, 2800);
    g_assert_cmpuint(at(&w, 0), ==, 0);
    g_assert_cmpuint(at(&w, 50000), ==, 500);
    g_assert_cmpuint(at(&w, 100000), ==, 1000);
    g_assert_cmpuint(at(&w, 550000), ==, 1900);
    g_assert_cmpuint(at(&w, 1000000), ==, 2800);
    g_assert_cmpuint(at(&w, UINT64_MAX), ==, 2800);
}

/* What was measured at a short window holds for a longer one at least */
static void test_grows(void)
{
    HybridWset w = {};

    hybrid_wset_add(&w, 100000, 5000);
    hybrid_wset_add(&w, 1000000, 40);
    g_assert_cmpuint(at(&w, 1000000), ==, 5000);
}

static void test_forgets(void)
{
    HybridWset w = {};

    hybrid_wset_add(&w, 100000, 1000000);
    for (unsigned n = 0; n < 30; n++) {
        hybrid_wset_add(&w, 100000, 10);
    }
    g_assert_cmpuint(at(&w, 100000), <=, 11);
}

/* Never less for a longer window, never more than was ever seen */
static void test_random(void)
{
    for (unsigned n = 0; n < 2000; n++) {
        HybridWset w = {};
        uint64_t most = 0, last = 0;

        for (int i = g_test_rand_int_range(1, 20); i; i--) {
            uint64_t pages = g_test_rand_int_range(0, 1000000);

            hybrid_wset_add(&w, g_test_rand_int_range(1, 30000000), pages);
            most = MAX(most, pages);
        }
        for (uint64_t us = 1; us < 60000000; us += us / 3 + 1) {
            uint64_t pages = at(&w, us);

            g_assert_cmpuint(pages, >=, last);
            g_assert_cmpuint(pages, <=, most);
            last = pages;
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hybrid/wset/empty", test_empty);
    g_test_add_func("/hybrid/wset/straight", test_straight);
    g_test_add_func("/hybrid/wset/grows", test_grows);
    g_test_add_func("/hybrid/wset/forgets", test_forgets);
    g_test_add_func("/hybrid/wset/random", test_random);
    return g_test_run();
}
