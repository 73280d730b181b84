/*
 * Hybrid live migration, source: what is pushed next in postcopy.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_PUSH_H
#define QEMU_MIGRATION_HYBRID_SOURCE_PUSH_H

#include "migration/hybrid/source/state.h"

HybridPusher *hybrid_pusher_new(void);
void hybrid_pusher_free(HybridPusher *push);

/* Pages that are pushed before GRANT; then await LOADED */
void HYBRID_SOURCE_THREAD hybrid_push_early_begin(void);

/* The guest runs at the destination, and what it still lacks is pushed */
bool hybrid_push_active(void);

/*
 * The next page to be pushed, if there is a better one than the next address;
 * bitmap_mutex held.
 */
void hybrid_push_pick(RAMBlock **block, unsigned long *page);

/*
 * Behind the package, before GRANT: the next page, if any, of as many as the
 * link carries until the destination has loaded the package and said so, as it
 * has nothing else to carry then.  bitmap_mutex held.
 */
bool HYBRID_SOURCE_THREAD
hybrid_push_pick_early(RAMBlock **block, unsigned long *page);

/* Pages are left, and none is to be sent until it is requested */
bool hybrid_push_idle(void);

/* NULL: nothing was pushed or requested yet */
MigrationHybridPush *hybrid_push_info(void);

#endif
