/*
 * Hybrid live migration, source: the order of the first round.  Migration
 * thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_SCAN_H
#define QEMU_MIGRATION_HYBRID_SOURCE_SCAN_H

#include "migration/hybrid/source/state.h"

/* It belongs to the migration thread */
HybridScanner *hybrid_src_scan_new(void);
void hybrid_src_scan_free(HybridScanner *s);

/* The first round begins; BQL and RCU read lock held */
void HYBRID_SOURCE_THREAD hybrid_src_scan_begin(void);

/*
 * Where the search for the next page begins, see HybridScan.  Leaves both as
 * they are once all chunks have been visited, or if the scan has never begun.
 * bitmap_mutex held.
 */
void HYBRID_SOURCE_THREAD
hybrid_src_scan_pick(RAMBlock **block, unsigned long *page);

#endif
