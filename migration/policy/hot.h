/*
 * Hybrid live migration: the page bitmap, which keeps hot pages out of the
 * pre-copy rounds.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * While rounds run, the guest's dirtying is sampled.  A page that was dirtied
 * in at least k of the last HYBRID_HOT_SAMPLES samples is hot.  Sending a hot
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

#ifndef QEMU_MIGRATION_HYBRID_HOT_H
#define QEMU_MIGRATION_HYBRID_HOT_H

/* Samples that are remembered; memory: one bit per page for each */
#define HYBRID_HOT_SAMPLES 4

/* Heat is also summed up in chunks of this many target pages */
#define HYBRID_HOT_CHUNK 512

typedef struct HybridHeat {
    size_t pages;
    unsigned current;           /* the plane that is being filled */
    unsigned long *plane[HYBRID_HOT_SAMPLES];
    /*
     * One per chunk: pages dirtied per sample, a sum in which each older
     * sample counts half; 0 to 2 * HYBRID_HOT_CHUNK
     */
    uint16_t *chunk;
} HybridHeat;

void hybrid_heat_init(HybridHeat *h, size_t pages);
void hybrid_heat_destroy(HybridHeat *h);

/* A new sample begins, the oldest is forgotten */
void hybrid_heat_next(HybridHeat *h);

/* Number of chunks */
size_t hybrid_heat_chunks(const HybridHeat *h);

/* True if @page was dirtied in at least @k of the samples; @k from 1 */
bool hybrid_heat_is_hot(const HybridHeat *h, size_t page, unsigned k);

/*
 * The log has the pages of @fresh: note them in @pending, and in @heat if that
 * is not NULL, and take what this round has not sent yet out of @bmap.
 * @known, if not NULL, receives how many of them @pending had already.
 * Returns the number of pages in @fresh.
 */
uint64_t hybrid_hot_sample(HybridHeat *heat, const unsigned long *fresh,
                           unsigned long *bmap, unsigned long *deferred,
                           unsigned long *pending, size_t pages,
                           unsigned ratio, uint64_t *known);

/*
 * In the first round: leave for its end the chunks of which at least
 * HYBRID_HOT_WARM pages are in @pending.  A guest that writes at random in a
 * region writes the rest of it, too; what is sent last has the least time to
 * be dirtied again.  Returns the number of pages moved from @bmap.
 */
#define HYBRID_HOT_WARM (HYBRID_HOT_CHUNK / 16)
uint64_t hybrid_hot_defer_warm(unsigned long *bmap, unsigned long *deferred,
                               const unsigned long *pending, size_t pages,
                               unsigned ratio);

/*
 * All that is dirty back into @bmap.  Returns what is to be added to the
 * number of dirty pages; negative if deferred pages had been found dirty
 * again and counted a second time by the sync.
 */
int64_t hybrid_hot_merge(unsigned long *bmap, unsigned long *deferred,
                         unsigned long *pending, size_t pages);

/*
 * Pages of @bmap that hybrid_hot_defer() would take out.  @whole receives the
 * number of pages of the host pages that they are in.
 */
uint64_t hybrid_hot_count(const HybridHeat *heat, const unsigned long *bmap,
                          size_t pages, unsigned ratio, unsigned k,
                          uint64_t *whole);

/* All pages of the host pages of which a page is in @map */
uint64_t hybrid_hot_whole(const unsigned long *map, size_t pages,
                          unsigned ratio);

/*
 * A round begins: move each host page of @bmap in which a page is hot to
 * @deferred.  @k: 1 to HYBRID_HOT_SAMPLES.  Returns the number of target
 * pages moved.
 */
uint64_t hybrid_hot_defer(const HybridHeat *heat, unsigned long *bmap,
                          unsigned long *deferred, size_t pages,
                          unsigned ratio, unsigned k);

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
 * not.  They are added to @lone, if it is not NULL; returns their number.
 */
#define HYBRID_RECENT_FEW 16
uint64_t hybrid_recent_lone(const unsigned long *map, unsigned long *lone,
                            size_t pages);

/*
 * The order in which the first round goes through the chunks: each once, and
 * at any time spread evenly over memory (multiples of the golden ratio, as in
 * D. Knuth, "The Art of Computer Programming", vol. 3, 6.4).  In the order of
 * addresses a hot set at the beginning would be sent as a whole before it is
 * seen to be hot; so only the part that is dirtied too late is.
 */
typedef struct HybridScan {
    size_t chunks;
    size_t step;                /* coprime to @chunks */
    size_t done;
    size_t chunk;               /* the current one */
} HybridScan;

/* @chunks: 0 or more */
void hybrid_scan_init(HybridScan *s, size_t chunks);

/* The next chunk is the current one; false after the last */
bool hybrid_scan_next(HybridScan *s);

/*
 * When to look.  A look at the dirty log costs the migration thread the time
 * to read it.  If it also clears the log, so that what is written from then on
 * is known, that costs the guest a fault, or the slow path of a store, for
 * each page that it had written and writes again.  Both together are planned
 * to stay below HYBRID_SAMPLER_DUTY percent of the time since rounds began,
 * and looks by themselves below half of that.  How many pages the log has is
 * seen before it is cleared, so what cannot be paid is only read: that still
 * shows which pages need not be sent now.  Looks that find little that was
 * not known come less often.  Microseconds.
 */
#define HYBRID_SAMPLER_DUTY        2
#define HYBRID_SAMPLER_FIRST_US    20000
#define HYBRID_SAMPLER_MIN_US      50000
#define HYBRID_SAMPLER_MAX_US      2000000
/* What the first store to a cleared page costs the guest, at most about */
#define HYBRID_SAMPLER_PAGE_NS     500

typedef struct HybridSampler {
    int64_t start_us;
    int64_t next_us;            /* when the next look is due, if it is paid */
    int64_t heat_us;            /* when a new plane of heat is due */
    int64_t interval_us;
    int64_t look_us;            /* CPU time of the last look */
    int64_t looks_us;           /* of all looks */
    int64_t guest_us;           /* taken from the guest */
} HybridSampler;

typedef struct HybridLook {
    int64_t cost_us;            /* CPU time */
    uint64_t fresh;             /* pages in the log */
    uint64_t known;             /* of those, known to be dirty before */
    bool cleared;               /* the log */
    bool round_end;             /* which clears the log in any case */
} HybridLook;

void hybrid_sampler_start(HybridSampler *s, int64_t now_us);

/* A look is due */
bool hybrid_sampler_due(const HybridSampler *s, int64_t now_us);

/* @pages are in the log, to read it took @cost_us: it can be cleared */
bool hybrid_sampler_may_clear(const HybridSampler *s, int64_t now_us,
                              int64_t cost_us, uint64_t pages);

/* Plans the next look */
void hybrid_sampler_done(HybridSampler *s, int64_t now_us,
                         const HybridLook *look);

/* True once per plane of heat: hybrid_heat_next() is due */
bool hybrid_sampler_next_heat(HybridSampler *s, int64_t now_us);

#endif
