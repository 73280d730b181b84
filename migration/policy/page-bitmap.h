/*
 * Hybrid live migration: the page bitmap, which keeps hot pages out of the
 * precopy rounds.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * While rounds run, the guest's dirtying is sampled.  A page that was dirtied
 * in at least k of the last HYBRID_HEAT_SAMPLES samples is hot.  Sending a hot
 * page in a round is work for nothing, as it is dirty again before the guest
 * moves, so it is deferred: kept out of the rounds and sent once, after the
 * switch or in the stop.  When it cools down it takes part in the rounds
 * again.  (The idea of a page bitmap is that of F. Ma, F. Liu, Z. Liu, "Live
 * virtual machine migration based on improved pre-copy approach", ICSESS
 * 2010; that a page which is known to be dirty again is not worth sending in
 * this pass is from C. Clark et al., "Live Migration of Virtual Machines",
 * NSDI 2005.)
 *
 * A RAM block has these bitmaps, one bit for each target page:
 *
 *   bmap      to be sent: in this round, or after the switch (QEMU's own)
 *   deferred  to be sent, but kept out of this round; disjoint from bmap
 *   pending   dirtied since the last bitmap sync, as the samples have found;
 *             may overlap the others
 *
 * The number of dirty pages that QEMU keeps is |bmap| + |deferred|: what is
 * deferred is still to be sent, and counts in all that is said of the rest.
 *
 * Each bitmap sync merges all three into bmap, so whoever syncs sees the whole
 * truth, and the last sync before the switch needs no care.  Pages leave bmap
 * for deferred in three places only: when a sample finds a page dirty that
 * this round has not sent yet, when a chunk turns out to be warm in the first
 * round, and when a round begins, which leaves hot pages out.
 *
 * Units: pages and indexes are target pages; a host page is @ratio target
 * pages, a power of two, and is moved as a whole.  Bitmaps have
 * BITS_TO_LONGS(@pages) words, and no bit set beyond @pages.
 *
 * Locking: none; the caller serialises (QEMU: bitmap_mutex).
 */

#ifndef QEMU_MIGRATION_HYBRID_PAGE_BITMAP_H
#define QEMU_MIGRATION_HYBRID_PAGE_BITMAP_H

/*
 * Samples that are remembered.  Chosen: enough for a threshold from "once" to
 * "always", for 32 MiB of memory each in a guest of 1 TiB.
 */
#define HYBRID_HEAT_SAMPLES 4

/*
 * Heat is also summed up in chunks of this many target pages: with pages of 4
 * KiB these are 2 MiB, the memory that a guest's huge page keeps together.
 */
#define HYBRID_HEAT_CHUNK 512

typedef struct HybridHeat {
    size_t pages;
    unsigned current;           /* the plane that is being filled */
    unsigned long *plane[HYBRID_HEAT_SAMPLES];
    /*
     * One per chunk: pages dirtied per sample, a sum in which each older
     * sample counts half; 0 to 2 * HYBRID_HEAT_CHUNK
     */
    uint16_t *chunk;
} HybridHeat;

void hybrid_heat_init(HybridHeat *h, size_t pages);
void hybrid_heat_destroy(HybridHeat *h);

/* A new sample begins, the oldest is forgotten */
void hybrid_heat_next(HybridHeat *h);

/* Number of chunks */
size_t hybrid_heat_chunks(const HybridHeat *h);

/*
 * The log has the pages of @fresh: note them in @pending, and in @heat if that
 * is not NULL, and take what this round has not sent yet out of @bmap.
 * @known, if not NULL, receives how many of them @pending had already.
 * Returns the number of pages in @fresh.
 */
uint64_t hybrid_page_bitmap_sample(HybridHeat *heat, const unsigned long *fresh,
                                   unsigned long *bmap, unsigned long *deferred,
                                   unsigned long *pending, size_t pages,
                                   unsigned ratio, uint64_t *known);

/*
 * In the first round: leave for its end the chunks of which at least
 * HYBRID_HEAT_WARM pages are in @pending.  A guest that writes at random in a
 * region writes the rest of it, too; what is sent last has the least time to
 * be dirtied again.  That part is chosen: more than what a kernel writes here
 * and there.  Returns the number of pages moved from @bmap.
 */
#define HYBRID_HEAT_WARM (HYBRID_HEAT_CHUNK / 16)
uint64_t hybrid_page_bitmap_defer_warm(unsigned long *bmap,
                                       unsigned long *deferred,
                                       const unsigned long *pending,
                                       size_t pages, unsigned ratio);

/*
 * All that is dirty back into @bmap.  Returns what is to be added to the
 * number of dirty pages; negative if deferred pages had been found dirty
 * again and counted a second time by the sync.
 */
int64_t hybrid_page_bitmap_merge(unsigned long *bmap, unsigned long *deferred,
                                 unsigned long *pending, size_t pages);

/*
 * Pages of @bmap that hybrid_page_bitmap_defer_hot() would take out.  @whole
 * receives the number of pages of the host pages that they are in.
 */
uint64_t hybrid_page_bitmap_count_hot(const HybridHeat *heat,
                                      const unsigned long *bmap, size_t pages,
                                      unsigned ratio, unsigned k,
                                      uint64_t *whole);

/* All pages of the host pages of which a page is in @map */
uint64_t hybrid_page_bitmap_whole(const unsigned long *map, size_t pages,
                                  unsigned ratio);

/* Runs of pages that are neighbours in @map */
uint64_t hybrid_page_bitmap_runs(const unsigned long *map, size_t pages);

/*
 * A round begins: move each host page of @bmap in which a page is hot to
 * @deferred.  @k: 1 to HYBRID_HEAT_SAMPLES.  Returns the number of target
 * pages moved.
 */
uint64_t hybrid_page_bitmap_defer_hot(const HybridHeat *heat,
                                      unsigned long *bmap,
                                      unsigned long *deferred, size_t pages,
                                      unsigned ratio, unsigned k);

/*
 * The pages that were dirtied in @k of the samples are numbered, from @seen
 * on: which ones have the numbers that ascend in @nth, of which @n are left?
 * They go to @page; how many that were is @found.  Returns the next number.
 */
uint64_t hybrid_heat_take(const HybridHeat *heat, size_t pages, unsigned k,
                          uint64_t seen, const uint64_t *nth, unsigned n,
                          uint64_t *page, unsigned *found);

/*
 * The last milliseconds before the switch are looked at in short samples, one
 * of which has found @fresh: what two of them have found goes to @recent.
 * These pages the guest writes all the time (its kernel's own data, stacks, a
 * tight loop), so it will fault on them before it does anything else.  A
 * program that walks over a large set dirties other pages in each sample;
 * the samples of seconds cannot tell these from those.  @once and @recent
 * are empty at first.
 */
void hybrid_recent_add(unsigned long *once, unsigned long *recent,
                       const unsigned long *fresh, size_t pages);

/*
 * The pages of @map that stand alone: of 64 pages at most HYBRID_RECENT_FEW
 * are in it.  A kernel's data is like that, the set that a program works on is
 * not; the number is chosen.  They are added to @lone, if it is not NULL;
 * returns their number.
 */
#define HYBRID_RECENT_FEW 16
uint64_t hybrid_recent_lone(const unsigned long *map, unsigned long *lone,
                            size_t pages);

#endif
