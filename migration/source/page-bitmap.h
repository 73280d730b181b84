/*
 * Hybrid live migration, source: the page bitmap.  Migration thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_PAGE_BITMAP_H
#define QEMU_MIGRATION_HYBRID_SOURCE_PAGE_BITMAP_H

#include "migration/hybrid/source/state.h"

/* It belongs to the migration thread */
HybridPageBitmap *hybrid_src_page_bitmap_new(void);
void hybrid_src_page_bitmap_free(HybridPageBitmap *b);

/* Rounds begin: @threshold samples make a page hot, 0: no page bitmap */
void HYBRID_SOURCE_THREAD hybrid_src_page_bitmap_begin(unsigned threshold);

/*
 * Look at the dirty log if it is time to, or if @now; without the BQL.  @warm:
 * leave warm chunks for later, too.  True if it did: @fresh pages were dirtied
 * in @over_us, since the log was cleared, in host pages of @whole pages, and in
 * @runs runs of neighbours, if that is not NULL.
 */
bool HYBRID_SOURCE_THREAD
hybrid_src_page_bitmap_sample(bool now, bool warm, uint64_t *over_us,
                              uint64_t *fresh, uint64_t *whole,
                              uint64_t *runs);

/*
 * The switch to postcopy is next: look closely at what the guest writes now.
 * Takes some milliseconds.  True if it did: RAM has to be synced again.
 */
bool HYBRID_SOURCE_THREAD hybrid_src_page_bitmap_recent(void);

/*
 * Then: choose what is pushed first.  What the guest wrote in two looks; if
 * these are many, it is a program that goes round a set within the time of all
 * looks, and only those that stand alone are chosen.  And all dirty pages that
 * stand alone, unless they are many: a program that writes all over its memory.
 */
void HYBRID_SOURCE_THREAD hybrid_src_page_bitmap_choose_recent(void);

/*
 * Pages kept out of the rounds now, and those known to be dirty again.  @whole:
 * all pages of the host pages that they are in.
 */
uint64_t HYBRID_SOURCE_THREAD hybrid_src_page_bitmap_deferred(void);
uint64_t HYBRID_SOURCE_THREAD hybrid_src_page_bitmap_pending(uint64_t *whole);

/* Of the pages to be sent, those that are hot; @whole as above */
uint64_t HYBRID_SOURCE_THREAD hybrid_src_page_bitmap_hot(uint64_t *whole);

/*
 * RAM has just been synced, with or without the page bitmap: the pages that a
 * handoff would send, whole host pages.
 */
uint64_t hybrid_src_page_bitmap_whole(void);

/* A round begins in which hot pages do not take part */
void HYBRID_SOURCE_THREAD hybrid_src_page_bitmap_defer_hot(void);

#endif
