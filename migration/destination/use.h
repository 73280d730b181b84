/*
 * Hybrid live migration, destination: what a block of guest memory takes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_USE_H
#define QEMU_MIGRATION_HYBRID_USE_H

#include "exec/cpu-common.h"
#include "migration/hybrid/policy/account.h"

/* NUMA nodes that this process is confined to, as bits; 0: to none */
uint64_t hybrid_host_nodes(void);

/* In the end the whole guest will be locked into memory, used or not */
bool hybrid_host_locks(void);

/*
 * Fills @use, in which @unplugged and @nodes (of the process) are set
 * already.
 */
void hybrid_host_use(RAMBlock *rb, HybridBlockUse *use);

/* Bytes of the block that have been received */
uint64_t hybrid_host_came(RAMBlock *rb);

/* Free bytes of the file system that the block's file is in */
uint64_t hybrid_host_statfs(RAMBlock *rb);

#endif
