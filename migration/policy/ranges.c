/*
 * Hybrid live migration: ranges of pages that are to be discarded.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../osdep.h"
#include "ranges.h"

#define WORD_BITS (8 * sizeof(unsigned long))

static bool bit(const unsigned long *map, size_t i)
{
    return map[i / WORD_BITS] >> (i % WORD_BITS) & 1;
}

static unsigned long stale_word(const HybridStale *s, size_t w)
{
    return s->dirty[w] & s->sent[w] & ~s->discarded[w];
}

static bool stale_host_page(const HybridStale *s, size_t first)
{
    bool dirty = false, sent = false, gone = true;

    for (size_t i = first; i < first + s->ratio && i < s->pages; i++) {
        dirty |= bit(s->dirty, i);
        sent |= bit(s->sent, i);
        gone &= bit(s->discarded, i);
    }
    return dirty && sent && !gone;
}

/* The first page from @i on, at most s->pages, that is stale, or is not */
static size_t find_page(const HybridStale *s, size_t i, bool stale)
{
    while (i < s->pages) {
        unsigned long word = stale_word(s, i / WORD_BITS);

        word = (stale ? word : ~word) >> (i % WORD_BITS);
        if (word) {
            i += __builtin_ctzl(word);
            break;
        }
        i += WORD_BITS - i % WORD_BITS;
    }
    return MIN(i, s->pages);
}

static size_t find_host_page(const HybridStale *s, size_t i, bool stale)
{
    while (i < s->pages && stale_host_page(s, i) != stale) {
        i += s->ratio;
    }
    return MIN(i, s->pages);
}

size_t hybrid_stale_next(const HybridStale *s, size_t *first)
{
    size_t end;

    if (s->ratio == 1) {
        *first = find_page(s, *first, true);
        end = find_page(s, *first, false);
    } else {
        *first = find_host_page(s, *first, true);
        end = find_host_page(s, *first, false);
    }
    return end - *first;
}

/* The first page from @i on, at most @pages, whose bit is @set, or is not */
static size_t find_bit(const unsigned long *map, size_t pages, size_t i,
                       bool set)
{
    while (i < pages) {
        unsigned long word = map[i / WORD_BITS];

        word = (set ? word : ~word) >> (i % WORD_BITS);
        if (word) {
            i += __builtin_ctzl(word);
            break;
        }
        i += WORD_BITS - i % WORD_BITS;
    }
    return MIN(i, pages);
}

size_t hybrid_missing_next(const unsigned long *received, size_t pages,
                           unsigned ratio, size_t *first)
{
    size_t i = *first, begin, end;

    while (i < pages) {
        i = find_bit(received, pages, i, false);
        begin = (i + ratio - 1) / ratio * ratio;
        i = find_bit(received, pages, i, true);
        end = i < pages ? i / ratio * ratio : pages;
        if (begin < end) {
            *first = begin;
            return end - begin;
        }
    }
    *first = pages;
    return 0;
}

static void put_number(GByteArray *out, uint64_t v)
{
    do {
        uint8_t byte = (v & 0x7f) | (v > 0x7f ? 0x80 : 0);

        g_byte_array_append(out, &byte, 1);
        v >>= 7;
    } while (v);
}

bool hybrid_range_put(HybridRangeWriter *w, uint64_t first, uint64_t pages)
{
    if (w->out->len + HYBRID_RANGE_MAX_BYTES > w->limit) {
        return false;
    }
    put_number(w->out, first - w->pos);
    put_number(w->out, pages - 1);
    w->pos = first + pages;
    return true;
}

static uint64_t get_number(HybridRangeReader *r)
{
    uint64_t v = 0;

    for (unsigned shift = 0; r->size; shift += 7) {
        uint8_t byte = *r->data++;

        r->size--;
        if (shift == 63 && byte > 1) {
            break;              /* more than 64 bits */
        }
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            return v;
        }
    }
    r->bad = true;
    return 0;
}

bool hybrid_range_get(HybridRangeReader *r, uint64_t limit, uint64_t *first,
                      uint64_t *pages)
{
    uint64_t gap, more;

    if (!r->size || r->bad) {
        return false;
    }
    gap = get_number(r);
    more = r->bad ? 0 : get_number(r);
    if (r->bad || r->pos > limit || gap >= limit - r->pos ||
        more >= limit - r->pos - gap) {
        r->bad = true;
        return false;
    }
    *first = r->pos + gap;
    *pages = more + 1;
    r->pos = *first + *pages;
    return true;
}
