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

#endif
