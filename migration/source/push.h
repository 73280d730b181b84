/*
 * Hybrid live migration, source: what is pushed next in post-copy.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_PUSH_H
#define QEMU_MIGRATION_HYBRID_SOURCE_PUSH_H

#include "migration/hybrid/source/state.h"

HybridPusher *hybrid_pusher_new(void);
void hybrid_pusher_free(HybridPusher *push);

/* @index (or HYBRID_NO_VCPU) waits for what is requested next */
void hybrid_push_vcpu(uint32_t index);
/* Pages that are pushed before GRANT; then await LOADED */
void hybrid_push_early_begin(void);

/* Pages are left, and none is to be sent until it is requested */
bool hybrid_push_idle(void);

/* NULL: nothing was pushed or requested yet */
MigrationHybridPush *hybrid_push_info(void);

#endif
