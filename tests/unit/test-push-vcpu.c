/*
 * The order in which pages are pushed, where it is known which vCPU waits.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "policy/push.h"
#include "push-memory.h"

static void random_faults(Memory *m, unsigned vcpu, int n)
{
    while (n--) {
        m->now_us += 400;
        fault_of(m, vcpu, 0, g_test_rand_int_range(500000, 1000000));
    }
}

/* Pages pushed around a fault far from all others */
static unsigned bubble_of(Memory *m, unsigned vcpu, uint64_t at)
{
    unsigned block, found = 0;
    uint64_t page;

    fault_of(m, vcpu, 0, at);
    for (int i = 0; i < 200; i++) {
        if (push_one(m, &block, &page) == HYBRID_PUSH_BUBBLE) {
            found += ABS((int64_t)(page - at)) < 1000;
        }
    }
    return found;
}

/* One vCPU's random access does not narrow what another's order promises */
static void test_vcpu_windows(void)
{
    Memory m = { .vcpus = 2 };

    add_block(&m, 1000000, 1);
    fill(&m, 0, 0, 1000000);
    start(&m);
    random_faults(&m, 1, 500);
    g_assert_cmpuint(bubble_of(&m, 1, 400000), <=, 2);
    g_assert_cmpuint(bubble_of(&m, 0, 200000), ==, 2 * HYBRID_PUSH_NEW_WINDOW);
    end(&m);

    /* As it is where they are not told apart */
    m = (Memory) {};
    add_block(&m, 1000000, 1);
    fill(&m, 0, 0, 1000000);
    start(&m);
    random_faults(&m, 1, 500);
    g_assert_cmpuint(bubble_of(&m, 0, 200000), <=, 2);
    end(&m);
}

/* Which of the bubbles at 10000, 20000, ... a fault nearby still hits */
static unsigned bubbles_left(Memory *m, unsigned vcpu, unsigned n)
{
    unsigned left = 0;

    for (unsigned i = 1; i <= n; i++) {
        uint64_t hits = stats(m).hits;

        fault_of(m, vcpu, 0, i * 10000 + 1);
        left += stats(m).hits - hits;
    }
    return left;
}

/* Nor does it take the other's pivots, beyond what is more than its share */
static void test_vcpu_pivots(void)
{
    unsigned share = HYBRID_PUSH_PIVOTS / 2;
    Memory m = { .vcpus = 2 };

    add_block(&m, 1000000, 1);
    fill(&m, 0, 0, 1000000);
    start(&m);
    for (unsigned i = 1; i <= HYBRID_PUSH_PIVOTS; i++) {
        m.now_us++;
        fault_of(&m, 0, 0, i * 10000);
    }
    random_faults(&m, 1, 1000);
    /* The stalest have made room */
    for (unsigned i = 1; i <= share; i++) {
        uint64_t hits = stats(&m).hits;
        unsigned at = HYBRID_PUSH_PIVOTS - share + i;

        fault_of(&m, 0, 0, at * 10000 + 1);
        g_assert_cmpuint(stats(&m).hits, ==, hits + 1);
    }
    g_assert_cmpuint(bubbles_left(&m, 0, 1), ==, 0);
    end(&m);

    /* A bubble is that of the vCPU that hit it last */
    m = (Memory) { .vcpus = 2 };
    add_block(&m, 1000000, 1);
    fill(&m, 0, 0, 1000000);
    start(&m);
    for (unsigned i = 1; i <= share; i++) {
        fault_of(&m, 0, 0, i * 10000);
    }
    g_assert_cmpuint(bubbles_left(&m, 1, share), ==, share);
    random_faults(&m, 0, 1000);
    g_assert_cmpuint(bubbles_left(&m, 1, share), ==, share);
    end(&m);
}

/* More vCPUs than there are pivots, also such that nobody knows */
static void test_vcpu_many(void)
{
    Memory m = { .vcpus = 200 };
    HybridPushStats s;

    add_block(&m, 1000000, 1);
    fill(&m, 0, 0, 1000000);
    start(&m);
    for (unsigned i = 0; i < 5000; i++) {
        random_faults(&m, i % 210, 1);
    }
    s = stats(&m);
    g_assert_cmpuint(s.live, ==, HYBRID_PUSH_MAX_PIVOTS);
    g_assert_cmpuint(s.begun, ==, s.live + s.merged + s.retired);
    end(&m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/push/vcpu-windows", test_vcpu_windows);
    g_test_add_func("/push/vcpu-pivots", test_vcpu_pivots);
    g_test_add_func("/push/vcpu-many", test_vcpu_many);
    return g_test_run();
}
