/*
 * The order in which pages are pushed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "policy/push.h"
#include "push-memory.h"

static void test_empty(void)
{
    Memory m = {};
    unsigned block;
    uint64_t page;

    start(&m);
    g_assert_cmpint(pick(&m, &block, &page), ==, HYBRID_PUSH_NONE);
    end(&m);

    m = (Memory) {};
    add_block(&m, 1000, 1);
    add_block(&m, 0, 1);
    start(&m);
    fault(&m, 0, 999);
    fault(&m, 0, 0);
    g_assert_cmpint(pick(&m, &block, &page), ==, HYBRID_PUSH_NONE);
    g_assert_cmpuint(stats(&m).late, ==, 2);
    end(&m);
}

/* Around the fault, on both sides in turn */
static void test_both_sides(void)
{
    Memory m = {};
    unsigned block;
    uint64_t page, low = 500, high = 500;

    add_block(&m, 1000, 1);
    fill(&m, 0, 0, 1000);
    start(&m);
    fault(&m, 0, 500);
    for (int i = 0; i < 8; i++) {
        g_assert_cmpint(push_one(&m, &block, &page), ==, HYBRID_PUSH_BUBBLE);
        g_assert_true(page == low - 1 || page == high + 1);
        low = MIN(low, page);
        high = MAX(high, page);
    }
    g_assert_cmpuint(low, ==, 496);
    g_assert_cmpuint(high, ==, 504);
    end(&m);
}

/* A guest that writes upward, faster than the link: little else is sent */
static void sequential(int step)
{
    Memory m = {};
    unsigned block;
    uint64_t page, at = step > 0 ? 1000 : 39000, faults = 0;

    add_block(&m, 40000, 1);
    fill(&m, 0, 0, 40000);
    start(&m);
    for (int i = 0, waits = 0; i < 30000; i++) {
        /* It writes twice what the link carries, a page each time */
        for (int n = 0; n < 2 && !waits && !dirty(&m, 0, at); n++) {
            at += step;
        }
        if (!waits && dirty(&m, 0, at)) {
            fault(&m, 0, at);
            faults++;
            waits = 10;
        } else {
            push_one(&m, &block, &page);
            waits -= waits > 0;
        }
        m.now_us += 33;
    }
    g_test_message("step %d: %" PRIu64 " faults, at %" PRIu64 ", window %u",
                   step, faults, at, stats(&m).window);
    /* It can get no further than 30000 pages */
    g_assert_cmpuint(faults, <, 1600);
    g_assert_cmpuint(ABS((int64_t)at - (step > 0 ? 1000 : 39000)), >, 27000);
    g_assert_cmpuint(stats(&m).begun, ==, 1);
    end(&m);
}

static void test_sequential(void)
{
    sequential(1);
    sequential(-1);
}

/* Faults anywhere: bubbles stop to be begun with a window */
static void test_random_access(void)
{
    Memory m = {};
    unsigned block;
    uint64_t page;
    HybridPushStats s, before;

    add_block(&m, 1000000, 1);
    fill(&m, 0, 0, 1000000);
    start(&m);
    for (int i = 0; i < 2000; i++) {
        if (i == 1000) {
            before = stats(&m);
        }
        fault(&m, 0, g_test_rand_int_range(0, 1000000));
        for (int n = 0; n < 10; n++) {
            g_assert_cmpint(push_one(&m, &block, &page), !=,
                            HYBRID_PUSH_NONE);
        }
        m.now_us += 400;
    }
    s = stats(&m);
    g_assert_cmpuint(s.hit_percent, <, 10);
    g_assert_cmpuint(s.picked[HYBRID_PUSH_BUBBLE] -
                     before.picked[HYBRID_PUSH_BUBBLE], <, 400);
    g_assert_cmpuint(s.live, <=, HYBRID_PUSH_PIVOTS);
    g_assert_cmpuint(s.begun, ==, s.live + s.merged + s.retired);
    end(&m);
}

/* Several places at once: each gets its share, the stalest makes room */
static void test_pivots(void)
{
    Memory m = {};
    unsigned block, count[HYBRID_PUSH_PIVOTS + 1] = {};
    uint64_t page;

    add_block(&m, 100000, 1);
    fill(&m, 0, 0, 100000);
    start(&m);
    for (int i = 0; i < HYBRID_PUSH_PIVOTS; i++) {
        fault(&m, 0, 5000 + i * 10000);
        m.now_us++;
    }
    for (int i = 0; i < HYBRID_PUSH_PIVOTS * 8; i++) {
        push_one(&m, &block, &page);
        count[page / 10000]++;
    }
    for (int i = 0; i < HYBRID_PUSH_PIVOTS; i++) {
        g_assert_cmpuint(count[i], >=, 6);
    }
    /* The first one had no hit for the longest time */
    fault(&m, 0, 95000);
    g_assert_cmpuint(stats(&m).retired, ==, 1);
    g_assert_cmpuint(stats(&m).live, ==, HYBRID_PUSH_PIVOTS);
    g_assert_cmpint(push_one(&m, &block, &page), ==, HYBRID_PUSH_BUBBLE);
    g_assert_cmpuint(page / 10000, ==, 9);
    end(&m);
}

static void test_merge(void)
{
    Memory m = {};
    unsigned block;
    uint64_t page;

    add_block(&m, 10000, 1);
    fill(&m, 0, 0, 10000);
    start(&m);
    fault(&m, 0, 5000);
    fault(&m, 0, 5020);
    g_assert_cmpuint(stats(&m).live, ==, 1);    /* near: the same bubble */
    fault(&m, 0, 5100);
    g_assert_cmpuint(stats(&m).live, ==, 2);
    for (int i = 0; i < 40; i++) {
        fault(&m, 0, 5021 + i * 2);             /* it grows */
        for (int n = 0; n < 4; n++) {
            push_one(&m, &block, &page);
        }
    }
    g_assert_cmpuint(stats(&m).live, ==, 1);
    g_assert_cmpuint(stats(&m).merged, ==, 1);
    end(&m);
}

/* Where nothing happens any more, a bubble ends */
static void test_retire(void)
{
    Memory m = {};
    unsigned block;
    uint64_t page;

    add_block(&m, 10000, 1);
    fill(&m, 0, 0, 10000);
    start(&m);
    fault(&m, 0, 5000);
    for (int i = 0; i < 2 * HYBRID_PUSH_NEW_WINDOW; i++) {
        g_assert_cmpint(push_one(&m, &block, &page), ==, HYBRID_PUSH_BUBBLE);
    }
    g_assert_cmpint(push_one(&m, &block, &page), ==, HYBRID_PUSH_REST);
    g_assert_cmpuint(stats(&m).live, ==, 1);
    m.now_us += 1000000;
    g_assert_cmpint(push_one(&m, &block, &page), ==, HYBRID_PUSH_REST);
    g_assert_cmpuint(stats(&m).live, ==, 0);
    g_assert_cmpuint(stats(&m).retired, ==, 1);
    end(&m);
}

static void test_heat(void)
{
    Memory m = {};
    unsigned block;
    uint64_t page;

    add_block(&m, 8 * CHUNK, 1);
    add_block(&m, 8 * CHUNK, 1);
    fill(&m, 0, 0, 8 * CHUNK);
    fill(&m, 1, 0, 8 * CHUNK);
    m.heat[0][5] = 3;
    m.heat[1][2] = 9;
    m.heat[1][4] = 3;
    start(&m);
    for (int i = 0; i < 3 * CHUNK; i++) {
        static const struct { unsigned block, chunk; } order[] = {
            { 1, 2 }, { 0, 5 }, { 1, 4 },
        };

        g_assert_cmpint(push_one(&m, &block, &page), ==, HYBRID_PUSH_HEAT);
        g_assert_cmpuint(block, ==, order[i / CHUNK].block);
        g_assert_cmpuint(page, ==, order[i / CHUNK].chunk * CHUNK + i % CHUNK);
    }
    g_assert_cmpint(push_one(&m, &block, &page), ==, HYBRID_PUSH_REST);
    g_assert_cmpuint(block, ==, 0);
    g_assert_cmpuint(page, ==, 0);
    end(&m);
}

static void set_recent(Memory *m, unsigned block, uint64_t page)
{
    m->recent[block][page / WORD] |= 1ul << page % WORD;
}

/* They go first, before heat and bubbles; a clean one does not go at all */
static void test_recent(void)
{
    static const struct { unsigned block; uint64_t page; } order[] = {
        { 0, 0 }, { 0, 64 }, { 0, 999 }, { 1, 8 }, { 1, 40 },
    };
    Memory m = {};
    unsigned block;
    uint64_t page, pages;

    add_block(&m, 1000, 1);
    add_block(&m, 1000, 8);
    fill(&m, 0, 0, 1000);
    fill(&m, 1, 8, 1000);
    m.heat[0][1] = 7;
    set_recent(&m, 0, 0);
    set_recent(&m, 0, 64);
    set_recent(&m, 0, 65);
    set(&m, 0, 65, false);
    set_recent(&m, 0, 999);
    set_recent(&m, 1, 7);       /* of a host page that is clean */
    set_recent(&m, 1, 13);      /* one page of a host page: all of it */
    set_recent(&m, 1, 15);
    set_recent(&m, 1, 47);
    start(&m);
    fault(&m, 0, 500);
    /* Before GRANT nothing else goes */
    g_assert_true(hybrid_push_next_recent(m.push, 1, &block, &page, &pages));
    g_assert_cmpuint(block, ==, 0);
    g_assert_cmpuint(page, ==, 0);
    g_assert_cmpuint(pages, ==, 1);
    /* Not sent, so it is still the next one */
    for (size_t i = 0; i < G_N_ELEMENTS(order); i++) {
        g_assert_cmpint(push_one(&m, &block, &page), ==, HYBRID_PUSH_RECENT);
        g_assert_cmpuint(block, ==, order[i].block);
        g_assert_cmpuint(page, ==, order[i].page);
    }
    g_assert_false(hybrid_push_next_recent(m.push, 1, &block, &page, &pages));
    g_assert_cmpint(push_one(&m, &block, &page), ==, HYBRID_PUSH_BUBBLE);
    end(&m);
}

/* Before GRANT there may be time for a few pages, but not for a huge one */
static void test_recent_most(void)
{
    Memory m = {};
    unsigned block;
    uint64_t page, pages;

    add_block(&m, 1000, 8);
    fill(&m, 0, 0, 1000);
    set_recent(&m, 0, 13);
    start(&m);
    g_assert_false(hybrid_push_next_recent(m.push, 7, &block, &page, &pages));
    g_assert_true(hybrid_push_next_recent(m.push, 8, &block, &page, &pages));
    g_assert_cmpuint(page, ==, 8);
    g_assert_cmpuint(pages, ==, 8);
    end(&m);
}

/*
 * Any memory, any faults, pages that others send, pages that come back (a
 * recovery): never a clean page, never part of a host page, and in the end
 * nothing is left.
 */
static void test_property(void)
{
    static const uint32_t ratios[] = { 1, 1, 2, 8, 512 };

    for (int run = 0; run < 300; run++) {
        Memory m = {};
        unsigned n = g_test_rand_int_range(1, 5), block;
        uint64_t page, total, sent = 0, bound;
        HybridPushStats s;

        for (unsigned i = 0; i < n; i++) {
            add_block(&m, g_test_rand_int_range(1, 3000),
                      ratios[g_test_rand_int_range(0, 5)]);
            for (uint64_t j = 0; j < m.blocks[i].pages; j++) {
                if (g_test_rand_int_range(0, 3)) {
                    set(&m, i, j, true);
                }
                if (!g_test_rand_int_range(0, 20)) {
                    set_recent(&m, i, j);
                }
            }
            for (uint64_t c = 0; c * CHUNK < m.blocks[i].pages; c++) {
                m.heat[i][c] = g_test_rand_int_range(0, 4);
            }
        }
        start(&m);
        for (int step = 0; step < 2000; step++) {
            unsigned b = g_test_rand_int_range(0, n);
            uint64_t at = g_test_rand_int_range(0, m.blocks[b].pages);

            m.now_us += g_test_rand_int_range(0, 5000);
            switch (g_test_rand_int_range(0, 8)) {
            case 0:
                fault(&m, b, at);
                break;
            case 1:             /* a run of faults */
                for (int i = 0; i < 10 && at + i < m.blocks[b].pages; i++) {
                    fault(&m, b, at + i);
                }
                break;
            case 2:
                set(&m, b, at, true);
                break;
            case 3:             /* sent by another thread */
                set(&m, b, at, false);
                break;
            default:
                push_one(&m, &block, &page);
                break;
            }
        }
        total = bound = left(&m);
        while (push_one(&m, &block, &page) != HYBRID_PUSH_NONE) {
            sent++;
            g_assert_cmpuint(sent, <=, bound);
        }
        g_assert_cmpuint(left(&m), ==, 0);
        g_assert_true(total == 0 || sent > 0);
        s = stats(&m);
        g_assert_cmpuint(s.begun, ==, s.live + s.merged + s.retired);
        g_assert_cmpuint(s.hits, <=, s.faults);
        g_assert_cmpuint(s.late, <=, s.faults);
        end(&m);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/push/empty", test_empty);
    g_test_add_func("/push/both-sides", test_both_sides);
    g_test_add_func("/push/sequential", test_sequential);
    g_test_add_func("/push/random-access", test_random_access);
    g_test_add_func("/push/pivots", test_pivots);
    g_test_add_func("/push/merge", test_merge);
    g_test_add_func("/push/retire", test_retire);
    g_test_add_func("/push/heat", test_heat);
    g_test_add_func("/push/recent", test_recent);
    g_test_add_func("/push/recent-most", test_recent_most);
    g_test_add_func("/push/property", test_property);
    return g_test_run();
}
