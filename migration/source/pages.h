/*
 * Hybrid live migration: what the source keeps about the pages of a block.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_PAGES_H
#define QEMU_MIGRATION_HYBRID_PAGES_H

#include "exec/cpu-common.h"
#include "migration/hybrid/policy/hot.h"

/*
 * Exists while a hybrid migration goes out, from the first decision to the
 * end of the migration.  Bitmaps have a bit for each target page of the
 * block's max_length.
 */
typedef struct HybridBlock {
    unsigned long *sent;        /* at least once; atomic, no lock */
    unsigned long *discarded;   /* after that, and not sent again; the same */

    /*
     * The page bitmap (policy/hot.h), NULL if it is switched off.  Under the
     * BQL and bitmap_mutex; quiet once the guest has stopped.
     */
    unsigned long *deferred;
    unsigned long *pending;
    unsigned long *fresh;       /* what a look has found, else all zero */
    unsigned long *armed;       /* parts of which the log says something */
    HybridHeat heat;
    unsigned long *once;        /* see hybrid_recent_add(); NULL: not known */
    unsigned long *recent;
} HybridBlock;

/* BQL held: blocks can neither come nor go during a migration */
void hybrid_pages_init(void);
void hybrid_pages_cleanup(void);

/* Target pages in use */
size_t hybrid_block_pages(RAMBlock *rb);

/*
 * source/discard.c: have the peer drop what is dirty now, while the guest
 * still runs, and wait until it has.  RAM has just been synced, and nothing
 * is sent any more before the switch.
 */
void hybrid_discard_before_stop(MigrationState *s);

/* ---- source/log.c: the dirty log; migration thread ---- */

/* All but TCG, and KVM's bitmap with manual protection */
bool hybrid_log_read_clears(void);

/* RAM has been synced for the first time */
void hybrid_log_begin(RAMBlock *rb);

/*
 * Fill HybridBlock.fresh, all zero before hybrid_log_read(), with what was
 * written since the log was cleared.  Read returns the number of pages.  BQL,
 * bitmap_mutex and RCU read lock held, and memory_global_dirty_log_sync()
 * called.
 */
uint64_t hybrid_log_read(RAMBlock *rb);
void hybrid_log_clear(RAMBlock *rb);

/* ---- source/defer.c: the page bitmap; migration thread ---- */

/* Rounds begin: @threshold samples make a page hot, 0: no page bitmap */
void hybrid_defer_begin(unsigned threshold);

/*
 * Look at the dirty log if it is time to, or if @now; without the BQL.  @warm:
 * leave warm chunks for later, too.  True if it did: @fresh pages were dirtied
 * in @over_us, since the log was cleared, in host pages of @whole pages.
 */
bool hybrid_defer_sample(bool now, bool warm, uint64_t *over_us,
                         uint64_t *fresh, uint64_t *whole);

/*
 * The switch to post-copy is next: look closely at what the guest writes now.
 * Takes some milliseconds.  True if it did: RAM has to be synced again.
 */
bool hybrid_defer_recent(void);

/*
 * Then: choose what is pushed first.  What the guest wrote in two looks; if
 * these are many, it is a program that goes round a set within the time of all
 * looks, and only those that stand alone are chosen.  And all dirty pages that
 * stand alone, unless they are many: a program that writes all over its memory.
 */
void hybrid_defer_recent_choose(void);

/*
 * The first round: where the search for the next page begins, see HybridScan.
 * Leaves both as they are afterwards.  bitmap_mutex held.
 */
void hybrid_defer_pick(RAMBlock **block, unsigned long *page);

/*
 * Pages kept out of the rounds now, and those known to be dirty again.  @whole:
 * all pages of the host pages that they are in.
 */
uint64_t hybrid_defer_deferred(void);
uint64_t hybrid_defer_pending(uint64_t *whole);

/* Of the pages to be sent, those that are hot; @whole as above */
uint64_t hybrid_defer_hot(uint64_t *whole);

/*
 * RAM has just been synced, with or without the page bitmap: the pages that a
 * handoff would send, whole host pages.
 */
uint64_t hybrid_defer_whole(void);

/* A round begins in which hot pages do not take part */
void hybrid_defer_hot_pages(void);

#endif
