/*
 * Hybrid live migration: what the guest needs, as the source tells it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Only the source knows how much of its memory the guest can claim: what
 * virtio-mem has plugged, or has been asked to plug, and what the balloon has
 * taken.  Memory that the guest has but does not use counts in full: it can
 * touch it at any time, and nobody is asked.
 */

#ifndef QEMU_MIGRATION_HYBRID_NEED_H
#define QEMU_MIGRATION_HYBRID_NEED_H

#include "exec/cpu-common.h"
#include "qapi/qapi-types-migration.h"
#include "migration/hybrid/common/wire.h"

/* The fields of SETTINGS that come with HYBRID_FLAG_NEED */
typedef struct HybridToldNeed {
    bool told;                  /* false: the source does not know the flag */
    MigrationHybridMemoryCheck check;
    uint64_t ballooned;         /* bytes */
    GHashTable *unplugged;      /* name of a block -> bytes (uint64_t *) */
} HybridToldNeed;

/* Source; migration thread, without the BQL */
void hybrid_need_put(HybridMessage *m);

/* Destination.  End with hybrid_need_free(), also if @m is too short. */
void hybrid_need_get(HybridMessage *m, HybridToldNeed *need);
uint64_t hybrid_need_unplugged(const HybridToldNeed *need, RAMBlock *rb);
void hybrid_need_free(HybridToldNeed *need);

#endif
