/*
 * Hybrid live migration: the page bitmap, which keeps hot pages out of the
 * precopy rounds.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../osdep.h"
#include "page-bitmap.h"

#define WORD_BITS (8 * sizeof(unsigned long))

static size_t words_of(size_t pages)
{
    return (pages + WORD_BITS - 1) / WORD_BITS;
}

static uint64_t count_word(unsigned long word)
{
    return __builtin_popcountl(word);
}

/*
 * Each bit of @word spread over the host page that it is in; for host pages
 * that are smaller than a word.
 */
static unsigned long spread(unsigned long word, unsigned ratio)
{
    unsigned long first = ~0ul / ((1ul << ratio) - 1);

    /* Gather each group of bits in its lowest one, then fill the group */
    for (unsigned shift = ratio / 2; shift; shift /= 2) {
        word |= word >> shift;
    }
    return (word & first) * ((1ul << ratio) - 1);
}

/* In word @w, the pages whose host pages are to be moved */
typedef unsigned long (*PickWord)(const void *opaque, size_t w);

/* The pages of host pages of which @any, of the words from @w on, has one */
static uint64_t count_whole(unsigned long any, size_t w, size_t pages,
                            unsigned ratio)
{
    size_t left = pages - w * WORD_BITS;

    if (ratio >= WORD_BITS) {
        return any ? MIN(ratio, left) : 0;
    }
    any = ratio > 1 ? spread(any, ratio) : any;
    return count_word(left < WORD_BITS ? any & ((1ul << left) - 1) : any);
}

/*
 * Move the bits of @bmap that are in host pages of which @pick names a page
 * to @deferred, or only count them if that is NULL.  @whole, if not NULL: the
 * host pages of these bits.
 */
static uint64_t move_host_pages(PickWord pick, const void *opaque,
                                const unsigned long *bmap_in,
                                unsigned long *bmap, unsigned long *deferred,
                                size_t pages, unsigned ratio, uint64_t *whole)
{
    size_t words = words_of(pages);
    size_t step = MAX(1, ratio / WORD_BITS);
    uint64_t moved = 0;

    for (size_t w = 0; w < words; w += step) {
        size_t end = MIN(w + step, words);
        unsigned long mask = 0, any = 0;

        for (size_t i = w; i < end; i++) {
            mask |= pick(opaque, i);
        }
        if (!mask) {
            continue;
        }
        if (ratio >= WORD_BITS) {
            mask = ~0ul;
        } else if (ratio > 1) {
            mask = spread(mask, ratio);
        }
        for (size_t i = w; i < end; i++) {
            unsigned long take = bmap_in[i] & mask;

            moved += count_word(take);
            any |= take;
            if (bmap) {
                bmap[i] &= ~take;
                deferred[i] |= take;
            }
        }
        if (whole) {
            *whole += count_whole(any, w, pages, ratio);
        }
    }
    return moved;
}

uint64_t hybrid_page_bitmap_whole(const unsigned long *map, size_t pages,
                                  unsigned ratio)
{
    size_t words = words_of(pages);
    size_t step = MAX(1, ratio / WORD_BITS);
    uint64_t sum = 0;

    for (size_t w = 0; w < words; w += step) {
        unsigned long any = 0;

        for (size_t i = w; !any && i < MIN(w + step, words); i++) {
            any |= map[i];
        }
        sum += count_whole(any, w, pages, ratio);
    }
    return sum;
}

void hybrid_heat_init(HybridHeat *h, size_t pages)
{
    h->pages = pages;
    h->current = 0;
    for (unsigned i = 0; i < HYBRID_HEAT_SAMPLES; i++) {
        h->plane[i] = g_new0(unsigned long, words_of(pages));
    }
    h->chunk = g_new0(uint16_t, hybrid_heat_chunks(h));
}

void hybrid_heat_destroy(HybridHeat *h)
{
    for (unsigned i = 0; i < HYBRID_HEAT_SAMPLES; i++) {
        g_clear_pointer(&h->plane[i], g_free);
    }
    g_clear_pointer(&h->chunk, g_free);
}

size_t hybrid_heat_chunks(const HybridHeat *h)
{
    return (h->pages + HYBRID_HEAT_CHUNK - 1) / HYBRID_HEAT_CHUNK;
}

void hybrid_heat_next(HybridHeat *h)
{
    const size_t per_chunk = HYBRID_HEAT_CHUNK / WORD_BITS;
    size_t words = words_of(h->pages);
    const unsigned long *plane = h->plane[h->current];

    for (size_t c = 0; c < hybrid_heat_chunks(h); c++) {
        uint16_t sum = 0;

        for (size_t w = c * per_chunk;
             w < MIN((c + 1) * per_chunk, words); w++) {
            sum += count_word(plane[w]);
        }
        h->chunk[c] = h->chunk[c] / 2 + sum;
    }
    h->current = (h->current + 1) % HYBRID_HEAT_SAMPLES;
    memset(h->plane[h->current], 0, words * sizeof(unsigned long));
}

/*
 * For each bit: was it set in at least @k of the planes?  The bits are
 * counted in parallel, each in a column of up to three bits.
 */
static unsigned long hot_word(const HybridHeat *h, size_t w, unsigned k)
{
    unsigned long one = 0, two = 0, four = 0, hot = 0;

    G_STATIC_ASSERT(HYBRID_HEAT_SAMPLES < 8);
    for (unsigned i = 0; i < HYBRID_HEAT_SAMPLES; i++) {
        unsigned long carry = h->plane[i][w];
        unsigned long next = one & carry;

        one ^= carry;
        carry = two & next;
        two ^= next;
        four |= carry;
    }
    for (unsigned n = k; n <= HYBRID_HEAT_SAMPLES; n++) {
        hot |= (n & 1 ? one : ~one) & (n & 2 ? two : ~two) &
               (n & 4 ? four : ~four);
    }
    return hot;
}

static unsigned long pick_fresh(const void *opaque, size_t w)
{
    const unsigned long *fresh = opaque;

    return fresh[w];
}

uint64_t hybrid_page_bitmap_sample(HybridHeat *heat, const unsigned long *fresh,
                                   unsigned long *bmap, unsigned long *deferred,
                                   unsigned long *pending, size_t pages,
                                   unsigned ratio, uint64_t *known)
{
    unsigned long *plane = heat ? heat->plane[heat->current] : NULL;
    uint64_t found = 0, before = 0;

    for (size_t w = 0; w < words_of(pages); w++) {
        if (fresh[w]) {
            found += count_word(fresh[w]);
            before += count_word(fresh[w] & pending[w]);
            pending[w] |= fresh[w];
            if (plane) {
                plane[w] |= fresh[w];
            }
        }
    }
    if (found) {
        move_host_pages(pick_fresh, fresh, bmap, bmap, deferred, pages, ratio,
                        NULL);
    }
    if (known) {
        *known = before;
    }
    return found;
}

uint64_t hybrid_page_bitmap_defer_warm(unsigned long *bmap,
                                       unsigned long *deferred,
                                       const unsigned long *pending,
                                       size_t pages, unsigned ratio)
{
    size_t step = MAX(HYBRID_HEAT_CHUNK, ratio) / WORD_BITS;
    size_t words = words_of(pages);
    uint64_t moved = 0;

    for (size_t w = 0; w < words; w += step) {
        size_t end = MIN(w + step, words);
        uint64_t dirtied = 0;

        for (size_t i = w; i < end; i++) {
            dirtied += count_word(pending[i]);
        }
        for (size_t i = w; dirtied >= HYBRID_HEAT_WARM && i < end; i++) {
            moved += count_word(bmap[i]);
            deferred[i] |= bmap[i];
            bmap[i] = 0;
        }
    }
    return moved;
}

int64_t hybrid_page_bitmap_merge(unsigned long *bmap, unsigned long *deferred,
                                 unsigned long *pending, size_t pages)
{
    int64_t change = 0;

    for (size_t w = 0; w < words_of(pages); w++) {
        unsigned long add = deferred[w] | pending[w];

        if (add) {
            change += count_word(add & ~bmap[w]);
            change -= count_word(deferred[w]);
            bmap[w] |= add;
            deferred[w] = pending[w] = 0;
        }
    }
    return change;
}

void hybrid_recent_add(unsigned long *once, unsigned long *recent,
                       const unsigned long *fresh, size_t pages)
{
    for (size_t w = 0; w < words_of(pages); w++) {
        recent[w] |= once[w] & fresh[w];
        once[w] |= fresh[w];
    }
}

uint64_t hybrid_recent_lone(const unsigned long *map, unsigned long *lone,
                            size_t pages)
{
    uint64_t sum = 0;

    for (size_t w = 0; w < words_of(pages); w++) {
        uint64_t here = count_word(map[w]);

        if (here && here <= HYBRID_RECENT_FEW) {
            sum += here;
            if (lone) {
                lone[w] |= map[w];
            }
        }
    }
    return sum;
}

typedef struct {
    const HybridHeat *heat;
    unsigned k;
} HotPick;

uint64_t hybrid_heat_take(const HybridHeat *heat, size_t pages, unsigned k,
                          uint64_t seen, const uint64_t *nth, unsigned n,
                          uint64_t *page, unsigned *found)
{
    *found = 0;
    for (size_t w = 0; w < words_of(pages); w++) {
        unsigned long hot = hot_word(heat, w, k);
        size_t left = pages - w * WORD_BITS;
        uint64_t end;

        if (left < WORD_BITS) {
            hot &= (1ul << left) - 1;
        }
        end = seen + count_word(hot);
        for (; *found < n && nth[*found] < end; seen++, hot &= hot - 1) {
            if (nth[*found] == seen) {
                page[(*found)++] = w * WORD_BITS + __builtin_ctzl(hot);
            }
        }
        seen = end;
    }
    return seen;
}

static unsigned long pick_hot(const void *opaque, size_t w)
{
    const HotPick *p = opaque;

    return hot_word(p->heat, w, p->k);
}

uint64_t hybrid_page_bitmap_count_hot(const HybridHeat *heat,
                                      const unsigned long *bmap, size_t pages,
                                      unsigned ratio, unsigned k,
                                      uint64_t *whole)
{
    HotPick p = { heat, k };

    *whole = 0;
    return move_host_pages(pick_hot, &p, bmap, NULL, NULL, pages, ratio,
                           whole);
}

uint64_t hybrid_page_bitmap_runs(const unsigned long *map, size_t pages)
{
    unsigned long last = 0;     /* is the page before in the map? */
    uint64_t runs = 0;

    for (size_t w = 0; w < words_of(pages); w++) {
        if (map[w]) {
            runs += count_word(map[w] & ~(map[w] << 1 | last));
        }
        last = map[w] >> (WORD_BITS - 1);
    }
    return runs;
}

uint64_t hybrid_page_bitmap_defer_hot(const HybridHeat *heat,
                                      unsigned long *bmap,
                                      unsigned long *deferred, size_t pages,
                                      unsigned ratio, unsigned k)
{
    HotPick p = { heat, k };

    return move_host_pages(pick_hot, &p, bmap, bmap, deferred, pages, ratio,
                           NULL);
}
