/*
 * Hybrid live migration, source: what ends a sleep of the migration thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_KICK_H
#define QEMU_MIGRATION_HYBRID_SOURCE_KICK_H

#include "migration/hybrid/source/state.h"

HybridKick *hybrid_kick_new(void);
void hybrid_kick_free(HybridKick *k);

/*
 * At most @us, or until a kick; none is slept through if a page is requested
 * already.  @fd: the connection, or -1; false if it broke.  Migration thread.
 */
bool hybrid_kick_sleep(HybridKick *k, int fd, int64_t us);

/* A page was requested, or for another reason it is not to sleep; any thread */
void hybrid_kick(HybridKick *k);

/* The same, for who knows that it sleeps or is about to */
void hybrid_kick_surely(HybridKick *k);

#endif
