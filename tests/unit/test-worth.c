/*
 * Is it worth sending pages as differences?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "policy/page-bitmap.h"
#include "policy/rounds.h"
#include "policy/worth.h"

#define PAGE 4096

/* What a page of a simulated guest differs by after @us */
typedef uint32_t Guest(unsigned pick, int64_t us);

/* Written once in 100 ms, each time other bytes of it, 30 more of them */
static uint32_t small(G_GNUC_UNUSED unsigned pick, int64_t us)
{
    return us / 100000 * 30;
}

/* All of it, once in 100 ms */
static uint32_t whole(G_GNUC_UNUSED unsigned pick, int64_t us)
{
    return us >= 100000 ? PAGE : 0;
}

/* All of it, but of sixteen pages one in a second */
static uint32_t whole_seldom(unsigned pick, int64_t us)
{
    return us * 16 / 1000000 > pick % 16 ? PAGE : 0;
}

static uint32_t same(G_GNUC_UNUSED unsigned pick,
                     G_GNUC_UNUSED int64_t us)
{
    return 0;
}

/* The lower half of memory is overwritten, in the upper one little changes */
static uint32_t both(unsigned pick, int64_t us)
{
    return pick < HYBRID_WORTH_PICKS / 2 ? whole(pick, us) : small(pick, us);
}

/* A third of a page at once, no more afterwards */
static uint32_t third(G_GNUC_UNUSED unsigned pick,
                      G_GNUC_UNUSED int64_t us)
{
    return PAGE / 3;
}

/* Ten random bytes of it in each millisecond: they add up */
static uint32_t grows(G_GNUC_UNUSED unsigned pick, int64_t us)
{
    uint32_t bytes = us / 1000 * 10;

    return bytes > PAGE / 2 ? PAGE : bytes;
}

static void sample(HybridWorthSample *s, Guest *guest, unsigned picks,
                   unsigned ages)
{
    uint64_t page[HYBRID_WORTH_PICKS];

    for (unsigned i = 0; i < picks; i++) {
        page[i] = 1000 + 10 * i;
    }
    hybrid_worth_begin(s, page, picks);
    for (unsigned n = 0; n < ages; n++) {
        int64_t us = (int64_t)HYBRID_WORTH_AGE_US << n;

        g_assert_false(hybrid_worth_due(s, us - 1));
        g_assert_true(hybrid_worth_due(s, us));
        hybrid_worth_compare(s, us);
        for (unsigned i = 0; i < picks; i++) {
            hybrid_worth_add(s, i, guest(i, us));
        }
    }
}

static HybridWorthVerdict judge(Guest *guest, uint64_t pages, double bandwidth,
                                uint64_t spare)
{
    HybridWorthAsk ask = {
        .page_size = PAGE,
        .pages = pages,
        .bandwidth = bandwidth,
        .spare = spare,
    };
    HybridWorthSample s;
    HybridWorthVerdict v;

    sample(&s, guest, HYBRID_WORTH_PICKS, HYBRID_WORTH_AGES);
    hybrid_worth_judge(&s, &ask, &v);
    g_assert_true(v.known);
    return v;
}

#define NEAR(a, b) g_assert_cmpfloat_with_epsilon(a, b, (b) / 5.0)

static void test_small(void)
{
    /* 64 MiB at 1 Gbit/s: the bases are 300 ms old, on average */
    HybridWorthVerdict v = judge(small, 16384, 125e6, UINT64_MAX);

    g_assert_true(v.worth);
    g_assert_cmpfloat(v.share, ==, 1.0);
    NEAR(v.bytes, 90.0);
    NEAR(v.all_bytes, 90.0);
}

static void test_whole(void)
{
    g_assert_false(judge(whole, 16384, 125e6, UINT64_MAX).worth);
    /* However few of them are written meanwhile */
    g_assert_false(judge(whole_seldom, 16384, 125e6, UINT64_MAX).worth);
    g_assert_false(judge(whole_seldom, 1000, 1e9, UINT64_MAX).worth);
}

static void test_same(void)
{
    HybridWorthVerdict v = judge(same, 16384, 125e6, 0);

    g_assert_true(v.worth);
    g_assert_cmpfloat(v.bytes, ==, 0.0);
}

static void test_regions(void)
{
    HybridWorthVerdict v = judge(both, 16384, 125e6, UINT64_MAX);

    g_assert_true(v.worth);
    NEAR(v.share, 0.5);
    for (unsigned r = 0; r < HYBRID_WORTH_REGIONS; r++) {
        g_assert_cmpint(v.pays[r], ==, r >= HYBRID_WORTH_REGIONS / 2);
    }
}

/* What is sent in vain is bounded */
static void test_spare(void)
{
    uint64_t bytes = 16384 * (PAGE / 3);

    g_assert_true(judge(third, 16384, 125e6, bytes * 2).worth);
    g_assert_false(judge(third, 16384, 125e6, bytes / 2).worth);
    g_assert_false(judge(third, 16384, 125e6, 0).worth);
}

/* Over a fast link a base is young enough, over a slow one it is not */
static void test_grows(void)
{
    g_assert_true(judge(grows, 16384, 1.25e9, UINT64_MAX).worth);
    g_assert_false(judge(grows, 16384, 125e6, UINT64_MAX).worth);
    g_assert_false(judge(grows, 16384, 1e3, UINT64_MAX).worth);
}

static void test_unknown(void)
{
    HybridWorthAsk ask = {
        .page_size = PAGE, .pages = 16384, .bandwidth = 125e6,
        .spare = UINT64_MAX,
    };
    HybridWorthSample s = { 0 };
    HybridWorthVerdict v;

    hybrid_worth_judge(&s, &ask, &v);
    g_assert_false(v.known || v.worth);
    sample(&s, small, HYBRID_WORTH_LEAST - 1, 0);
    g_assert_false(hybrid_worth_due(&s, INT64_MAX));
    hybrid_worth_judge(&s, &ask, &v);
    g_assert_false(v.known || v.worth);
    sample(&s, small, HYBRID_WORTH_LEAST, 0);
    hybrid_worth_judge(&s, &ask, &v);
    g_assert_false(v.known || v.worth);
    sample(&s, small, HYBRID_WORTH_LEAST, 1);
    hybrid_worth_judge(&s, &ask, &v);
    g_assert_true(v.known && v.worth);
    ask.pages = HYBRID_WORTH_LEAST - 1;
    hybrid_worth_judge(&s, &ask, &v);
    g_assert_true(v.known && !v.worth);
    ask.pages = 16384;
    ask.bandwidth = 0;
    hybrid_worth_judge(&s, &ask, &v);
    g_assert_false(v.known || v.worth);
}

/* The region of a page, against a search of all of them */
static void test_region(void)
{
    HybridWorthSample s;

    for (unsigned n = HYBRID_WORTH_LEAST; n <= HYBRID_WORTH_PICKS; n++) {
        sample(&s, same, n, 0);
        g_assert_cmpuint(hybrid_worth_regions(&s), ==, n / HYBRID_WORTH_REGION);
        for (uint64_t page = 0; page < 1000 + 10 * n; page += 7) {
            unsigned r = 0;

            while (r + 1 < hybrid_worth_regions(&s) &&
                   page >= s.page[(r + 1) * HYBRID_WORTH_REGION]) {
                r++;
            }
            g_assert_cmpuint(hybrid_worth_region(&s, page), ==, r);
        }
        g_assert_cmpuint(hybrid_worth_region(&s, UINT64_MAX), ==,
                         hybrid_worth_regions(&s) - 1);
    }
}

static void test_generations(void)
{
    HybridWorthSample now, last;

    sample(&now, same, 100, 2);
    g_assert_false(hybrid_worth_complete(&now, 0));
    sample(&now, same, 100, 3);
    g_assert_true(hybrid_worth_complete(&now, 0));
    g_assert_false(hybrid_worth_complete(&now, 1));
    sample(&now, same, 100, HYBRID_WORTH_AGES - 1);
    g_assert_false(hybrid_worth_complete(&now, UINT_MAX));
    sample(&now, same, 100, HYBRID_WORTH_AGES);
    g_assert_true(hybrid_worth_complete(&now, UINT_MAX));

    sample(&last, same, 100, 4);
    sample(&now, same, 100, 0);
    g_assert_true(hybrid_worth_better(&now, &last) == &last);
    sample(&now, same, 100, 2);
    g_assert_true(hybrid_worth_better(&now, &last) == &last);
    sample(&now, same, 100, 3);
    g_assert_true(hybrid_worth_better(&now, &last) == &now);
    now.picks = 0;
    g_assert_true(hybrid_worth_better(&now, &last) == &last);
}

static void test_affordable(void)
{
    g_assert_true(hybrid_worth_affordable(0, 0));
    g_assert_true(hybrid_worth_affordable(2000, 0));
    g_assert_false(hybrid_worth_affordable(2001, 0));
    g_assert_true(hybrid_worth_affordable(7000, 1000000));
    g_assert_false(hybrid_worth_affordable(7001, 1000000));
}

/* Which pages of which heat have given numbers, against counting them */
static void test_take(void)
{
    for (guint32 seed = 0; seed < 300; seed++) {
        g_autoptr(GRand) r = g_rand_new_with_seed(seed);
        size_t pages = g_rand_int_range(r, 1, 400);
        unsigned k = g_rand_int_range(r, 1, HYBRID_HEAT_SAMPLES + 1);
        unsigned percent = g_rand_int_range(r, 0, 101), n = 0, found, heat_of;
        uint64_t seen = g_rand_int_range(r, 0, 50), number = seen;
        uint64_t nth[400], page[400], expected[400];
        HybridHeat heat;

        hybrid_heat_init(&heat, pages);
        for (size_t p = 0; p < pages; p++) {
            heat_of = 0;
            for (unsigned i = 0; i < HYBRID_HEAT_SAMPLES; i++) {
                if (g_rand_int_range(r, 0, 100) < (int)percent) {
                    heat.plane[i][p / 64] |= 1ul << p % 64;
                    heat_of++;
                }
            }
            if (heat_of >= k) {
                if (g_rand_boolean(r)) {
                    nth[n] = number;
                    expected[n++] = p;
                }
                number++;
            }
        }
        g_assert_cmpuint(hybrid_heat_take(&heat, pages, k, seen, NULL, 0, page,
                                          &found), ==, number);
        g_assert_cmpuint(found, ==, 0);
        nth[n] = number;        /* it is another block's */
        g_assert_cmpuint(hybrid_heat_take(&heat, pages, k, seen, nth, n + 1,
                                          page, &found), ==, number);
        g_assert_cmpuint(found, ==, n);
        g_assert_cmpmem(page, n * sizeof(*page), expected,
                        n * sizeof(*expected));
        hybrid_heat_destroy(&heat);
    }
}

/* What hybrid-max-resend leaves */
static void test_resend(void)
{
    HybridRoundsConfig cfg = { .page_size = PAGE, .max_resend = 10 };
    HybridRounds r;

    hybrid_rounds_init(&r, &cfg, 1000);
    g_assert_cmpuint(hybrid_rounds_resend(&r), ==, 100 * PAGE);
    r.zero_pages = 500;
    g_assert_cmpuint(hybrid_rounds_resend(&r), ==, 50 * PAGE);
    r.zero_pages = 2000;
    g_assert_cmpuint(hybrid_rounds_resend(&r), ==, 0);
    cfg.max_resend = 0;
    hybrid_rounds_init(&r, &cfg, 1000);
    g_assert_cmpuint(hybrid_rounds_resend(&r), ==, UINT64_MAX);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/worth/small", test_small);
    g_test_add_func("/worth/whole", test_whole);
    g_test_add_func("/worth/same", test_same);
    g_test_add_func("/worth/regions", test_regions);
    g_test_add_func("/worth/spare", test_spare);
    g_test_add_func("/worth/grows", test_grows);
    g_test_add_func("/worth/unknown", test_unknown);
    g_test_add_func("/worth/region", test_region);
    g_test_add_func("/worth/generations", test_generations);
    g_test_add_func("/worth/affordable", test_affordable);
    g_test_add_func("/worth/take", test_take);
    g_test_add_func("/worth/resend", test_resend);
    return g_test_run();
}
