/*
 * Hybrid live migration: the sizes of pages, which have to be the same at both
 * ends.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_PAGE_SIZES_H
#define QEMU_MIGRATION_HYBRID_PAGE_SIZES_H

#include "migration/hybrid/protocol/encoding.h"

/* Puts those of this side's blocks that are not the target's into READY */
void hybrid_page_sizes_put(HybridMessage *m);

/*
 * Compares the peer's with this side's.  False: @errp names a block that has
 * other pages there, or @m is too short (which it says itself).
 */
bool hybrid_page_sizes_same(HybridMessage *m, Error **errp);

#endif
