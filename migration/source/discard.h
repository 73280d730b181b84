/*
 * Hybrid live migration, source: discards.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_DISCARD_H
#define QEMU_MIGRATION_HYBRID_SOURCE_DISCARD_H

#include "migration/hybrid/source/state.h"

/*
 * Have the peer drop what is dirty now, while the guest
 * still runs, and wait until it has.  RAM has just been synced, and nothing
 * is sent any more before the switch.
 */
void HYBRID_SOURCE_THREAD hybrid_discard_before_stop(MigrationState *s);

#endif
