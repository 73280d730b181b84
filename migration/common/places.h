/*
 * Hybrid live migration: where the guest sees the blocks of its memory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A destination that was started with other memory is found by upstream when
 * the list of blocks comes, behind which pages are on their way; and not at
 * all if memory lies at another address, where the guest will not look: that of
 * a DIMM, or what max-ram-below-4g has moved.  So the source names its blocks,
 * and where they lie, before SETTINGS.
 */

#ifndef QEMU_MIGRATION_HYBRID_COMMON_PLACES_H
#define QEMU_MIGRATION_HYBRID_COMMON_PLACES_H

#include "exec/cpu-common.h"

/* RAMBlock -> the guest's address; BQL held */
GHashTable *hybrid_places_find(void);

/* HYBRID_NO_PLACE: it changes, or is not known */
uint64_t hybrid_places_of(GHashTable *places, RAMBlock *rb);

#endif
