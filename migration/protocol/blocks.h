/*
 * Hybrid live migration: the blocks of the guest's memory that the source
 * names before the first page, and which of them the destination has otherwise.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_BLOCKS_H
#define QEMU_MIGRATION_HYBRID_BLOCKS_H

#include "../osdep.h"
#include "encoding.h"
#include "misfits.h"

/* Where the guest sees it changes, or is not known: it is not told */
#define HYBRID_NO_PLACE UINT64_MAX

typedef struct HybridBlock {
    char *name;                 /* any bytes, from a peer */
    uint64_t length;            /* bytes that are used */
    uint64_t place;             /* the guest's address, or HYBRID_NO_PLACE */
} HybridBlock;

/* False: no room in this message */
bool hybrid_block_put(HybridMessage *m, const HybridBlock *b);

/* False: none is left, or the message is too short.  g_free(b->name). */
bool hybrid_block_get(HybridMessage *m, HybridBlock *b);

void hybrid_misfits_no_block(HybridMisfits *w, const HybridBlock *b);

/* @length here, which cannot become the source's */
void hybrid_misfits_length(HybridMisfits *w, const HybridBlock *b,
                           uint64_t length);

/* @place here: no word if it is the source's, or one of them is not told */
void hybrid_misfits_place(HybridMisfits *w, const HybridBlock *b,
                          uint64_t place);

#endif
