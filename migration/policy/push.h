/*
 * Hybrid live migration: the order in which pages are pushed in postcopy.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Requested pages are not the matter of this file: they always go first.  In
 * between, the policy "bubble" picks
 *
 *  1. pages that were written all the time just before the switch (see
 *     hybrid_recent_add()): the guest needs them to get anywhere;
 *  2. pages of bubbles: around the addresses of recent faults (the pivots),
 *     outward on both sides, of all sides that which has run ahead the least;
 *  3. pages of the chunks that were written the most before the switch;
 *  4. the rest, in address order.
 *
 * How far each side of a bubble runs ahead of the last hit is its window.
 *
 * A hit, as the source can see it, is a request for
 *
 *  - a page in a bubble that has been pushed already: the guest was so close
 *    behind that it touched the page while it was on its way;
 *  - a page near the edge of a bubble, at most two windows and a few pages
 *    away: the guest got there before the push did.
 *
 * Either says that the guest moves along there, and the push should be
 * further ahead: the window of that side doubles.  A fault elsewhere is a
 * miss: it begins a new bubble.  Its windows begin with what the recent ratio
 * of hits to faults promises; under random access that is nothing.
 *
 * The pivots are the guest's, not each vCPU's: shares for each, and a message
 * that says which one waits, were measured to gain nothing with two vCPUs that
 * fault in order, at random, or one so and one so, and went.
 *
 * What the source cannot see is a page that was there when it was touched:
 * no request comes.  So a bubble that is far enough ahead looks like one that
 * nobody wants: it stops at its window and waits for the guest to come to its
 * edge.
 *
 * Pages are those of the target, a host page of @ratio of them is picked
 * and sent as a whole.  The bitmaps are the caller's and say what is still to
 * be sent; nothing about sent pages is kept here, so that a recovery, or a
 * page that another thread sends, needs no word.  Plain memory, no locks: the
 * caller has one around all calls on one HybridPush.
 */

#ifndef QEMU_MIGRATION_HYBRID_PUSH_H
#define QEMU_MIGRATION_HYBRID_PUSH_H

/*
 * Bubbles at a time.  Chosen: as many streams as a program goes through at
 * once, and so few that a search for the next page stays short.
 */
#define HYBRID_PUSH_PIVOTS 8

/*
 * Host pages by which a side may run ahead of the last hit: 4 MiB, 34 ms of a
 * link of 1 Gbit/s.  Chosen.
 */
#define HYBRID_PUSH_MAX_WINDOW 1024
/* What a new bubble gets at a hit ratio of 1.  Chosen. */
#define HYBRID_PUSH_NEW_WINDOW 16
/*
 * A fault is near an edge up to two windows and this many host pages, so that
 * a bubble without windows can be hit.  Chosen.
 */
#define HYBRID_PUSH_NEAR 8

typedef enum HybridPushKind {
    HYBRID_PUSH_NONE,           /* nothing is left to be sent */
    HYBRID_PUSH_RECENT,
    HYBRID_PUSH_BUBBLE,
    HYBRID_PUSH_HEAT,
    HYBRID_PUSH_REST,
    HYBRID_PUSH__MAX,
} HybridPushKind;

/* A block of guest memory; all of it stays the caller's */
typedef struct HybridPushBlock {
    const unsigned long *dirty; /* one bit per target page */
    uint64_t pages;             /* target pages */
    uint32_t ratio;             /* target pages in a host page, 1 or more */
    const uint16_t *heat;       /* per chunk, NULL: not known */
    const unsigned long *recent; /* as dirty, NULL: not known */
} HybridPushBlock;

typedef struct HybridPushStats {
    uint64_t faults;
    uint64_t late;              /* of these, for pages pushed before */
    uint64_t hits;              /* of these, that a bubble foresaw */
    uint64_t picked[HYBRID_PUSH__MAX];  /* host pages */
    uint64_t begun, merged, retired;    /* bubbles */
    uint32_t live;              /* bubbles now */
    uint32_t window;            /* the widest of theirs, host pages */
    uint32_t hit_percent;       /* of the last faults, decaying */
} HybridPushStats;

typedef struct HybridPush HybridPush;

/*
 * @blocks are copied, their bitmaps and heats must live on.  @chunk_pages:
 * target pages in a chunk of heat.
 */
HybridPush *hybrid_push_new(const HybridPushBlock *blocks, unsigned n,
                            uint64_t chunk_pages);
void hybrid_push_free(HybridPush *p);

/*
 * The destination has asked for target page @page of block @block, before
 * the page is sent.  @now_us: a clock that does not go backwards.
 */
void hybrid_push_note_fault(HybridPush *p, unsigned block, uint64_t page,
                            int64_t now_us);

/*
 * The next page: the first target page still to be sent of a host page, all
 * of which the caller now sends.  HYBRID_PUSH_NONE: all bitmaps are empty.
 */
HybridPushKind hybrid_push_next(HybridPush *p, unsigned *block, uint64_t *page,
                                int64_t now_us);

/*
 * The next page of kind 1, as above, while the guest is on its way, and how
 * many target pages its host page has.  False: there is none left, or it has
 * more than @most.
 */
bool hybrid_push_next_recent(HybridPush *p, uint64_t most, unsigned *block,
                             uint64_t *page, uint64_t *pages);

void hybrid_push_stats(const HybridPush *p, HybridPushStats *stats);

#endif
