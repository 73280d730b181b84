/*
 * Hybrid live migration, source: memory that a destination reads while it loads
 * devices.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_DEVICES_H
#define QEMU_MIGRATION_HYBRID_SOURCE_DEVICES_H

#include "migration/hybrid/source/state.h"

/* It belongs to the migration thread */
HybridDevices *hybrid_devices_new(void);
void hybrid_devices_free(HybridDevices *d);

/*
 * The devices are saved, and while hybrid_src_requests_only() holds: send
 * what they read.  Migration thread, without the BQL.
 */
void HYBRID_SOURCE_THREAD hybrid_devices_send(MigrationState *s);
/* The next of these pages that is to be sent, if any; bitmap_mutex held */
bool HYBRID_SOURCE_THREAD
hybrid_devices_pick(RAMBlock **block, unsigned long *page);

#endif
