/*
 * Hybrid live migration, source: QEMU's dirty log, read between two syncs.
 * Migration thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_DIRTY_LOG_H
#define QEMU_MIGRATION_HYBRID_SOURCE_DIRTY_LOG_H

#include "exec/cpu-common.h"

/* All but TCG, and KVM's bitmap with manual protection */
bool hybrid_dirty_log_read_clears(void);

/* RAM has been synced for the first time */
void hybrid_dirty_log_begin(RAMBlock *rb);

/*
 * Fill HybridBlock.fresh, all zero before hybrid_dirty_log_read(), with what
 * was written since the log was cleared.  Read returns the number of pages.
 * BQL, bitmap_mutex and RCU read lock held, and
 * memory_global_dirty_log_sync() called.
 */
uint64_t hybrid_dirty_log_read(RAMBlock *rb);
void hybrid_dirty_log_clear(RAMBlock *rb);

#endif
