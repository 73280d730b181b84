/*
 * Fuzz target: lists of ranges, and the search for them in bitmaps.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "fuzz.h"
#include "policy/ranges.h"

#define PAGES 512
#define WORDS (PAGES / (8 * sizeof(unsigned long)))

static bool bit(const unsigned long *map, size_t i)
{
    return ((const uint8_t *)map)[i / 8] >> (i % 8) & 1;
}

/* What was read is written and read again */
static void list(FuzzInput in)
{
    HybridRangeReader r = { 0 }, again = { 0 };
    HybridRangeWriter w = { .out = g_byte_array_new(), .limit = 1 << 20 };
    uint64_t limit = fuzz_number(&in, 1 + fuzz_number(&in, 1) % 8);
    uint64_t first, pages, next = 0, first2, pages2;
    unsigned n = 0;

    r.data = in.data;
    r.size = in.size;
    while (hybrid_range_get(&r, limit, &first, &pages)) {
        FUZZ_CHECK(first >= next && first < limit);
        FUZZ_CHECK(pages && pages <= limit - first);
        next = first + pages;
        FUZZ_CHECK(hybrid_range_put(&w, first, pages));
        n++;
    }
    FUZZ_CHECK(!hybrid_range_get(&r, limit, &first, &pages));
    FUZZ_CHECK(w.out->len <= n * HYBRID_RANGE_MAX_BYTES);
    again.data = w.out->data;
    again.size = w.out->len;
    r = (HybridRangeReader) { .data = in.data, .size = in.size };
    while (n--) {
        FUZZ_CHECK(hybrid_range_get(&r, limit, &first, &pages));
        FUZZ_CHECK(hybrid_range_get(&again, limit, &first2, &pages2));
        FUZZ_CHECK(first == first2 && pages == pages2);
    }
    FUZZ_CHECK(!hybrid_range_get(&again, limit, &first2, &pages2));
    FUZZ_CHECK(!again.bad);
    g_byte_array_unref(w.out);
}

static void bitmaps(FuzzInput in)
{
    unsigned long dirty[WORDS] = { 0 }, sent[WORDS] = { 0 };
    unsigned long gone[WORDS] = { 0 };
    unsigned long *maps[] = { dirty, sent, gone };
    unsigned ratio = 1u << fuzz_number(&in, 1) % 7;
    size_t pages = PAGES / ratio * ratio, n, next = 0, first = 0, seen = 0;
    HybridStale s = { dirty, sent, gone, pages, ratio };

    for (unsigned i = 0; i < 3; i++) {
        for (unsigned k = 0; k < sizeof(dirty); k++) {
            ((uint8_t *)maps[i])[k] = fuzz_number(&in, 1);
        }
    }
    for (; (n = hybrid_stale_next(&s, &first)); first += n) {
        FUZZ_CHECK(first >= next && first + n <= pages);
        FUZZ_CHECK(first % ratio == 0 && n % ratio == 0);
        next = first + n;
        seen += n;
    }
    for (size_t i = 0; i < pages; i += ratio) {
        bool d = false, was = false, all = true;

        for (size_t k = i; k < i + ratio; k++) {
            d |= bit(dirty, k);
            was |= bit(sent, k);
            all &= bit(gone, k);
        }
        seen -= d && was && !all ? ratio : 0;
    }
    FUZZ_CHECK(!seen);

    for (first = next = 0; (n = hybrid_missing_next(dirty, pages, ratio,
                                                    &first)); first += n) {
        FUZZ_CHECK(first >= next && first + n <= pages);
        FUZZ_CHECK(first % ratio == 0 && n % ratio == 0);
        for (size_t i = first; i < first + n; i++) {
            FUZZ_CHECK(!bit(dirty, i));
        }
        next = first + n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = { data, size };

    list(in);
    bitmaps(in);
    return 0;
}
