/*
 * Ranges of pages that are to be discarded.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "policy/ranges.h"

#define PAGES 1000u
#define WORDS 16u
#define WORD_BITS (8 * sizeof(unsigned long))

typedef unsigned long Map[WORDS * 2];

static void set(Map map, unsigned i)
{
    map[i / WORD_BITS] |= 1ul << (i % WORD_BITS);
}

static bool get(const Map map, unsigned i)
{
    return map[i / WORD_BITS] >> (i % WORD_BITS) & 1;
}

/* Page by page, as the header defines it */
static bool stale(const Map dirty, const Map sent, const Map gone,
                  unsigned page, unsigned ratio)
{
    unsigned first = page / ratio * ratio;
    bool any_dirty = false, any_sent = false, all_gone = true;

    for (unsigned i = first; i < first + ratio; i++) {
        any_dirty |= get(dirty, i);
        any_sent |= get(sent, i);
        all_gone &= get(gone, i);
    }
    return any_dirty && any_sent && !all_gone;
}

static void fill(GRand *r, Map map, unsigned step)
{
    unsigned percent = g_rand_int_range(r, 0, 101);

    for (unsigned i = 0; i < PAGES; i += step) {
        if ((unsigned)g_rand_int_range(r, 0, 100) < percent) {
            for (unsigned j = i; j < i + step; j++) {
                set(map, j);
            }
        }
    }
}

static void test_stale(void)
{
    for (guint32 seed = 0; seed < 3000; seed++) {
        g_autoptr(GRand) r = g_rand_new_with_seed(seed);
        unsigned ratio = 1 << seed % 4;
        Map dirty = { 0 }, sent = { 0 }, gone = { 0 }, found = { 0 };
        HybridStale s = {
            .dirty = dirty, .sent = sent, .discarded = gone,
            .pages = g_rand_int_range(r, 1, PAGES / 8) * 8, .ratio = ratio,
        };
        size_t page = 0, n, last = 0;

        fill(r, dirty, 1);
        fill(r, sent, 1);
        fill(r, gone, ratio);
        while ((n = hybrid_stale_next(&s, &page))) {
            g_assert_true(page == 0 || page > last || last == 0);
            g_assert_cmpuint(page % ratio, ==, 0);
            g_assert_cmpuint(n % ratio, ==, 0);
            for (size_t i = page; i < page + n; i++) {
                set(found, i);
            }
            page += n;
            last = page;
        }
        for (unsigned i = 0; i < PAGES; i++) {
            g_assert_cmpint(get(found, i), ==,
                            i < s.pages && stale(dirty, sent, gone, i, ratio));
        }
    }
}

/* Host pages of which nothing was received, no other, and all of them */
static void test_missing(void)
{
    for (guint32 seed = 0; seed < 3000; seed++) {
        g_autoptr(GRand) r = g_rand_new_with_seed(seed);
        unsigned ratio = 1 << seed % 8;
        size_t pages = g_rand_int_range(r, 1, PAGES / ratio + 1) * ratio;
        Map received = { 0 }, found = { 0 };
        size_t page = 0, n;

        fill(r, received, g_rand_int_range(r, 1, 20));
        while ((n = hybrid_missing_next(received, pages, ratio, &page))) {
            g_assert_cmpuint(page + n, <=, pages);
            for (size_t i = page; i < page + n; i++) {
                g_assert_false(get(found, i));
                set(found, i);
            }
            page += n;
        }
        for (size_t host = 0; host < pages; host += ratio) {
            bool any = false;

            for (size_t i = host; i < host + ratio; i++) {
                any |= get(received, i);
            }
            for (size_t i = host; i < host + ratio; i++) {
                g_assert_true(get(found, i) == !any);
            }
        }
    }
}

static void test_round_trip(void)
{
    for (guint32 seed = 0; seed < 3000; seed++) {
        g_autoptr(GRand) r = g_rand_new_with_seed(seed);
        g_autoptr(GByteArray) out = g_byte_array_new();
        HybridRangeWriter w = {
            .out = out, .limit = g_rand_int_range(r, 20, 400),
        };
        int most = 1 << g_rand_int_range(r, 1, 30);
        uint64_t firsts[400], counts[400], pos = 0, first, pages;
        unsigned n = 0;
        HybridRangeReader rd;

        while (true) {
            first = pos + g_rand_int_range(r, 0, most);
            pages = g_rand_int_range(r, 1, most);
            if (!hybrid_range_put(&w, first, pages)) {
                break;
            }
            g_assert_cmpuint(n, <, G_N_ELEMENTS(firsts));
            firsts[n] = first;
            counts[n++] = pages;
            pos = first + pages;
        }
        g_assert_cmpuint(n, >, 0);
        g_assert_cmpuint(out->len, <=, w.limit);
        rd = (HybridRangeReader) { .data = out->data, .size = out->len };
        for (unsigned i = 0; i < n; i++) {
            g_assert_true(hybrid_range_get(&rd, pos, &first, &pages));
            g_assert_cmpuint(first, ==, firsts[i]);
            g_assert_cmpuint(pages, ==, counts[i]);
        }
        g_assert_false(hybrid_range_get(&rd, pos, &first, &pages));
        g_assert_false(rd.bad);

        /* One page less than there is: the last range does not fit */
        rd = (HybridRangeReader) { .data = out->data, .size = out->len };
        while (hybrid_range_get(&rd, pos - 1, &first, &pages)) {
            g_assert_cmpuint(first + pages, <, pos);
        }
        g_assert_true(rd.bad);
    }
}

static void test_extremes(void)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    HybridRangeWriter w = { .out = out, .limit = 100 };
    HybridRangeReader rd;
    uint64_t first, pages;

    g_assert_true(hybrid_range_put(&w, UINT64_MAX - 2, 1));
    g_assert_cmpuint(out->len, <=, HYBRID_RANGE_MAX_BYTES);
    rd = (HybridRangeReader) { .data = out->data, .size = out->len };
    g_assert_true(hybrid_range_get(&rd, UINT64_MAX, &first, &pages));
    g_assert_cmpuint(first, ==, UINT64_MAX - 2);
    g_assert_cmpuint(pages, ==, 1);

    g_byte_array_set_size(out, 0);
    w.pos = 0;
    g_assert_true(hybrid_range_put(&w, 0, UINT64_MAX));
    rd = (HybridRangeReader) { .data = out->data, .size = out->len };
    g_assert_true(hybrid_range_get(&rd, UINT64_MAX, &first, &pages));
    g_assert_cmpuint(first, ==, 0);
    g_assert_cmpuint(pages, ==, UINT64_MAX);
}

/* Whatever a peer sends: no range beyond the limit, and an end */
static void test_garbage(void)
{
    for (guint32 seed = 0; seed < 20000; seed++) {
        g_autoptr(GRand) r = g_rand_new_with_seed(seed);
        uint8_t data[64];
        size_t size = g_rand_int_range(r, 0, sizeof(data) + 1);
        HybridRangeReader rd = { .data = data, .size = size };
        uint64_t limit = g_rand_int_range(r, 0, 1 << 20), end = 0;
        uint64_t first, pages;

        for (size_t i = 0; i < size; i++) {
            data[i] = g_rand_boolean(r) ? g_rand_int(r) : g_rand_int(r) & 0x7f;
        }
        while (hybrid_range_get(&rd, limit, &first, &pages)) {
            g_assert_cmpuint(first, >=, end);
            g_assert_cmpuint(pages, >, 0);
            end = first + pages;
            g_assert_cmpuint(end, <=, limit);
        }
        g_assert_true(rd.bad || !rd.size);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hybrid/ranges/stale", test_stale);
    g_test_add_func("/hybrid/ranges/missing", test_missing);
    g_test_add_func("/hybrid/ranges/round-trip", test_round_trip);
    g_test_add_func("/hybrid/ranges/extremes", test_extremes);
    g_test_add_func("/hybrid/ranges/garbage", test_garbage);
    return g_test_run();
}
