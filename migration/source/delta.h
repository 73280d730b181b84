/*
 * Hybrid live migration, source: pages that are sent as differences (policy:
 * policy/delta.h).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_DELTA_H
#define QEMU_MIGRATION_HYBRID_SOURCE_DELTA_H

#include "migration/hybrid/source/bases.h"

/*
 * The difference of the page at @host to its base, into the @channel's buffer.
 * Returns its bytes, behind the head, or -1: it is too long.
 */
int hybrid_delta_encode(HybridDeltas *d, int channel, uint32_t slot,
                        const uint8_t *host);

/*
 * In postcopy, when nothing is left to be sent: asks the destination whether
 * all differences were placed, and waits a moment.  False: they were, or there
 * was none, and their memory is given back.  Migration thread.
 */
bool HYBRID_SOURCE_THREAD hybrid_deltas_settle(MigrationState *s);

/* Messages, return path thread.  RAW: no lock held. */
void HYBRID_SOURCE_LOCKED
hybrid_deltas_settled(HybridSource *h, HybridMessage *m, Error **errp);
void hybrid_deltas_refused(HybridSource *h, HybridMessage *m, Error **errp);

/* A recovery: what the destination has kept is gone */
void hybrid_deltas_recover(HybridDeltas *d);

/* NULL: there were none */
MigrationHybridDeltas *HYBRID_SOURCE_LOCKED
hybrid_deltas_info(HybridDeltas *d);

#endif
