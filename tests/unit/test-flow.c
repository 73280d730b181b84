/*
 * How much bulk may be in flight: a simulated link, whose sender sleeps and
 * wakes late as told.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "policy/flow.h"

#define PAGE 4096ull

/* A link with a queue in front: delivers @rate bytes/s, acks after @rtt_us */
typedef struct Link {
    double rate;
    int64_t rtt_us;
    unsigned late_us;           /* a sleep takes up to this much longer */
    int64_t now_us;
    double sent, crossed;
    double acked;
    double history[100000];     /* crossed at each us, modulo */
    double idle_us;
    double worst_queue;         /* the most that waited in front */
} Link;

static void link_run(Link *l, int64_t us)
{
    while (us-- > 0) {
        double can = l->rate / 1e6;

        l->now_us++;
        if (l->crossed + can > l->sent) {
            l->idle_us += 1 - (l->sent - l->crossed) / can;
            l->crossed = l->sent;
        } else {
            l->crossed += can;
        }
        l->history[l->now_us % 100000] = l->crossed;
        l->acked = l->now_us > l->rtt_us
                   ? l->history[(l->now_us - l->rtt_us) % 100000] : 0;
    }
}

/* Push for @us; whole pages, none of which takes the sender any time */
static void push(Link *l, HybridFlow *f, int64_t us)
{
    int64_t end_us = l->now_us + us;

    while (l->now_us < end_us) {
        uint64_t queued = l->sent - l->acked, budget;

        hybrid_flow_sample(f, l->now_us, l->acked, queued, l->rtt_us);
        budget = hybrid_flow_budget(f, queued);
        if (budget) {
            l->sent += (budget + PAGE - 1) / PAGE * PAGE;
            l->worst_queue = MAX(l->worst_queue, l->sent - l->crossed);
            link_run(l, 1);
        } else {
            int64_t wait_us = hybrid_flow_wait_us(f, queued);

            g_assert_cmpint(wait_us, >, 0);
            g_assert_cmpint(wait_us, <=, 10000);
            link_run(l, wait_us + (l->late_us
                                   ? g_test_rand_int_range(0, l->late_us) : 0));
        }
    }
}

/*
 * After two seconds to learn: does a second lose less than @loss_percent of
 * the link, with at most @queue_us of its time queued in front of it?
 */
static void check(double mbit, int64_t rtt_us, unsigned late_us, double seed,
                  double loss_percent, double queue_us)
{
    g_autofree Link *l = g_new0(Link, 1);
    HybridFlow f;

    l->rate = mbit * 1e6 / 8;
    l->rtt_us = rtt_us;
    l->late_us = late_us;
    hybrid_flow_init(&f, PAGE, seed * l->rate);
    push(l, &f, 2000000);
    l->idle_us = l->worst_queue = 0;
    push(l, &f, 1000000);
    g_test_message("%.0f Mbit/s, rtt %" PRId64 " us, late %u us, seed %.2f: "
                   "idle %.2f %%, queue %.0f us, cushion %" PRIu64, mbit,
                   rtt_us, late_us, seed, l->idle_us / 1e4,
                   l->worst_queue * 1e6 / l->rate, f.cushion);
    g_assert_cmpfloat(l->idle_us / 1e6 * 100, <, loss_percent);
    g_assert_cmpfloat(l->worst_queue * 1e6 / l->rate, <, queue_us);
}

static void test_lan(void)
{
    check(1000, 100, 0, 1, 0.5, 1000);
    check(1000, 100, 100, 1, 1, 1500);
    check(1000, 100, 1000, 1, 2, 3000);
    check(10000, 50, 100, 1, 1.5, 1000);
    check(100, 500, 100, 1, 0.5, 10000);
}

static void test_wan(void)
{
    check(200, 40000, 0, 1, 0.5, 6000);
    check(200, 40000, 1000, 1, 1.5, 9000);
    check(1000, 10000, 200, 1, 1, 3000);
}

/* What was told at first is corrected by what is measured */
static void test_seed(void)
{
    check(1000, 100, 100, 0, 1, 1500);
    check(1000, 100, 100, 0.1, 1, 1500);
    check(1000, 100, 100, 10, 1, 1500);
    check(200, 40000, 100, 0.5, 1, 9000);
    check(200, 40000, 100, 3, 1, 9000);
}

/* The link becomes slower: the limit follows */
static void test_slower(void)
{
    g_autofree Link *l = g_new0(Link, 1);
    HybridFlow f;

    l->rate = 125e6;
    l->rtt_us = 5000;
    hybrid_flow_init(&f, PAGE, l->rate);
    push(l, &f, 1000000);
    l->rate /= 5;
    push(l, &f, 1000000);
    g_assert_cmpfloat(f.bandwidth, <, l->rate * 1.05);
    l->worst_queue = 0;
    push(l, &f, 100000);
    g_assert_cmpfloat(l->worst_queue * 1e6 / l->rate, <, 6000);
    l->rate *= 5;
    push(l, &f, 2000000);
    l->idle_us = 0;
    push(l, &f, 1000000);
    g_assert_cmpfloat(l->idle_us, <, 10000);
}

/* A link that stands still is not written to for ever */
static void test_stuck(void)
{
    g_autofree Link *l = g_new0(Link, 1);
    HybridFlow f;
    double before;

    l->rate = 125e6;
    l->rtt_us = 200;
    hybrid_flow_init(&f, PAGE, l->rate);
    push(l, &f, 500000);
    l->rate = 0;
    before = l->sent;
    push(l, &f, 500000);
    g_assert_cmpfloat(l->sent - before, <=, hybrid_flow_limit(&f) + PAGE);
    l->rate = 125e6;
    push(l, &f, 1000000);
    g_assert_cmpfloat(l->sent - before, >, 0.9 * l->rate);
}

/* Whatever comes in: no budget above the limit, no wait out of range */
static void test_random(void)
{
    for (int run = 0; run < 200; run++) {
        HybridFlow f;
        int64_t now_us = 0;
        uint64_t delivered = 0;

        hybrid_flow_init(&f, PAGE, g_test_rand_bit() ? 0 :
                         g_test_rand_int_range(1, INT32_MAX) * 100ull);
        for (int i = 0; i < 1000; i++) {
            uint64_t queued = g_test_rand_int_range(0, 1 << 24);
            uint64_t budget;
            int64_t wait_us;

            now_us += g_test_rand_int_range(0, 20000);
            /* A new connection counts from nothing */
            delivered = g_test_rand_int_range(0, 100) ?
                        delivered + g_test_rand_int_range(0, 1 << 22) : 0;
            hybrid_flow_sample(&f, now_us, delivered, queued,
                               g_test_rand_int_range(0, 100000));
            budget = hybrid_flow_budget(&f, queued);
            g_assert_cmpuint(budget, <=, hybrid_flow_limit(&f));
            g_assert_cmpuint(hybrid_flow_limit(&f), >=,
                             HYBRID_FLOW_MIN_PAGES * PAGE);
            wait_us = hybrid_flow_wait_us(&f, queued);
            g_assert_cmpint(wait_us, >, 0);
            g_assert_cmpint(wait_us, <=, 10000);
            /* Nothing in flight: always room, else nobody would wake it */
            g_assert_cmpuint(hybrid_flow_budget(&f, 0), >, 0);
        }
    }
}

/* The receive window of a destination that reads @mbit */
static uint32_t window_after(HybridWindow *w, double mbit, uint64_t rtt_us,
                             int64_t *now_us)
{
    static uint64_t bytes;
    uint32_t window = 0;

    for (int i = 0; i < 1000; i++) {
        uint32_t set;

        /* No faster than the window lets it */
        *now_us += 1000;
        bytes += MIN(mbit * 1e3 / 8, window ? window * 1e3 / rtt_us : 1e9);
        set = hybrid_window_update(w, *now_us, bytes, rtt_us);
        window = set ? set : window;
    }
    return window;
}

static void test_window(void)
{
    HybridWindow w = {};
    int64_t now_us = 1000000;

    g_assert_true(hybrid_window_due(&w, now_us));
    g_assert_cmpuint(hybrid_window_update(&w, now_us, 0, 100), ==, 0);
    g_assert_false(hybrid_window_due(&w, now_us));
    g_assert_false(hybrid_window_due(&w, now_us + 19999));
    g_assert_true(hybrid_window_due(&w, now_us + 20000));
    /* Two round trips and 4 ms: a destination that keeps up is not slowed */
    g_assert_cmpuint(window_after(&w, 1000, 100, &now_us), <, 600000);
    g_assert_cmpuint(window_after(&w, 1000, 100, &now_us), >, 500000);
    g_assert_cmpuint(window_after(&w, 100, 100, &now_us), ==, 128 * 1024);
    /* Faster again, also far away: it follows */
    g_assert_cmpuint(window_after(&w, 1000, 40000, &now_us), >, 10000000);
    g_assert_cmpuint(window_after(&w, 1000, 40000, &now_us), <, 11500000);
    /* After a pause it begins anew */
    now_us += 5000000;
    g_assert_cmpuint(hybrid_window_update(&w, now_us, 1, 100), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/flow/lan", test_lan);
    g_test_add_func("/flow/wan", test_wan);
    g_test_add_func("/flow/seed", test_seed);
    g_test_add_func("/flow/slower", test_slower);
    g_test_add_func("/flow/stuck", test_stuck);
    g_test_add_func("/flow/random", test_random);
    g_test_add_func("/flow/window", test_window);
    return g_test_run();
}
