/*
 * Hybrid live migration, source: what is kept of each block of RAM.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_BLOCK_H
#define QEMU_MIGRATION_HYBRID_SOURCE_BLOCK_H

#include "exec/cpu-common.h"
#include "migration/hybrid/policy/page-bitmap.h"

/*
 * Exists while a hybrid migration goes out, from the first decision to the
 * end of the migration.  Bitmaps have a bit for each target page of the
 * block's max_length.
 */
typedef struct HybridBlock {
    unsigned long *sent;        /* at least once; atomic, no lock */
    unsigned long *discarded;   /* after that, and not sent again; the same */

    /*
     * The page bitmap (policy/page-bitmap.h), NULL if it is switched off.
     * Under the BQL and bitmap_mutex; quiet once the guest has stopped.
     */
    unsigned long *deferred;
    unsigned long *pending;
    unsigned long *fresh;       /* what a look has found, else all zero */
    unsigned long *armed;       /* parts of which the log says something */
    HybridHeat heat;
    unsigned long *once;        /* see hybrid_recent_add(); NULL: not known */
    unsigned long *recent;
} HybridBlock;

/* BQL held: meanwhile blocks neither come nor go */
void hybrid_blocks_init(void);
void hybrid_blocks_cleanup(void);

/* A page is known by this number among all blocks */
uint64_t hybrid_block_key(RAMBlock *rb, unsigned long page);

/* Target pages in use */
size_t hybrid_block_pages(RAMBlock *rb);

/* Target pages in a host page */
unsigned hybrid_block_ratio(RAMBlock *rb);

#endif
