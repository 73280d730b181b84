/*
 * How long a guest waits for pages after a handoff: what is known, and where
 * nobody waits.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "policy/wait.h"

#define FAR_US 40000

static void test_wait(void)
{
    static const struct {
        uint64_t rtt_us, over_us, pages, runs;  /* over_us: of the sample */
        double link_us, touched;
        double wait_us;
    } cases[] = {
        /* Each page that is touched, and no longer than until all is there */
        { FAR_US, 50000, 250, 240, 500000, 5, 200000 },
        { FAR_US, 50000, 250, 240, 500000, 12, 480000 },
        { FAR_US, 50000, 250, 240, 500000, 13, 500000 },
        { FAR_US, 50000, 250, 240, 500000, 1000, 500000 },
        { FAR_US, 50000, 250, 240, 500000, 0, 0 },
        /* It is there before a request would be answered */
        { FAR_US, 50000, 250, 240, FAR_US, 1000, 0 },
        { FAR_US, 50000, 250, 240, FAR_US + 1, 1000, FAR_US + 1 },
        /* The way is short, or not known */
        { 0, 50000, 250, 240, 500000, 1000, 0 },
        { HYBRID_WAIT_LEAST_US - 1, 50000, 250, 240, 500000, 1000, 0 },
        { HYBRID_WAIT_LEAST_US, 50000, 250, 240, 500000, 1000, 500000 },
        /* Half of the pages have a neighbour before them */
        { FAR_US, 50000, 250, 125, 500000, 1000, 500000 },
        { FAR_US, 50000, 250, 124, 500000, 1000, 0 },
        /* More runs than pages there are not */
        { FAR_US, 50000, 250, 9999, 500000, 1000, 500000 },
        /* A set fills up in a long sample, which says nothing */
        { FAR_US, 100000, 250, 240, 500000, 1000, 500000 },
        { FAR_US, 100001, 250, 240, 500000, 1000, 0 },
        { FAR_US, 50000, 0, 0, 500000, 1000, 0 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        HybridWait w = { .rtt_us = cases[i].rtt_us };

        hybrid_wait_sample(&w, cases[i].over_us, cases[i].pages,
                           cases[i].runs);
        g_assert_cmpfloat(hybrid_wait_us(&w, cases[i].link_us,
                                         cases[i].touched), ==,
                          cases[i].wait_us);
        g_assert_true(hybrid_wait_matters(&w) ==
                      (cases[i].rtt_us >= HYBRID_WAIT_LEAST_US));
    }
}

/* What the guest does now counts, not what it did; one sample decides little */
static void test_changes(void)
{
    HybridWait w = { .rtt_us = FAR_US };
    unsigned n = 0;

    for (unsigned i = 0; i < 20; i++) {
        hybrid_wait_sample(&w, 50000, 250, 20);
    }
    do {
        g_assert_cmpfloat(hybrid_wait_us(&w, 500000, 1000), ==, 0);
        hybrid_wait_sample(&w, 50000, 250, 240);
        n++;
    } while (!hybrid_wait_us(&w, 500000, 1000));
    g_assert_cmpuint(n, ==, 3);
    /* Nor does one that found next to nothing */
    hybrid_wait_sample(&w, 50000, 2, 1);
    hybrid_wait_sample(&w, 50000, 2, 1);
    g_assert_cmpfloat(hybrid_wait_us(&w, 500000, 1000), >, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hybrid/wait/wait", test_wait);
    g_test_add_func("/hybrid/wait/changes", test_changes);
    return g_test_run();
}
