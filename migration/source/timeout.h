/*
 * Hybrid live migration, source: how long the switch may take.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_TIMEOUT_H
#define QEMU_MIGRATION_HYBRID_SOURCE_TIMEOUT_H

#include "migration/hybrid/source/state.h"

/*
 * What a cancel leaves to ABORT to get into the socket, on a stuck link.
 * Chosen: the guest may stand still meanwhile.
 */
#define HYBRID_ABORT_PATIENCE_US 500000

/*
 * From the stop to LOADED, in ms; what is sent while the guest stands still
 * has its own time
 */
uint64_t hybrid_src_patience_ms(HybridSource *h);

/*
 * As long may a destination be silent that has been given the guest, in
 * microseconds: hybrid-handoff-timeout, but never so short that its host
 * could not answer two probes in a row
 */
int64_t hybrid_src_end_patience_us(void);

/*
 * Behind GRANT: the destination need not have said all yet, it may lock its
 * memory or be busy.  As long as it, or at least its host, is heard, it is
 * not lost.
 */
bool HYBRID_SOURCE_LOCKED hybrid_src_hears_peer(HybridSource *h);

/* The error that the time is over, for the operator */
void hybrid_src_timeout_error(Error **errp);

/*
 * Until hybrid_src_disarm() the switch has @patience_us from now; a time that
 * runs already is only shortened.
 */
void HYBRID_SOURCE_LOCKED hybrid_src_arm(MigrationState *s, HybridSource *h,
                                         int64_t patience_us);

/* The time-out is of no use any more; the source's lock not held */
void hybrid_src_disarm(void);

#endif
