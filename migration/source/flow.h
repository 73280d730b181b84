/*
 * Hybrid live migration, source: the bulk that is in flight on the main
 * channel.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_FLOW_H
#define QEMU_MIGRATION_HYBRID_SOURCE_FLOW_H

#include "migration/hybrid/source/state.h"
#include "migration/hybrid/protocol/encoding.h"

HybridInFlight *hybrid_flow_new(void);
void hybrid_flow_free(HybridInFlight *flow);

/* Bytes that the main channel's socket holds.  Migration thread. */
uint64_t hybrid_flow_queued(void);

/* Another connection, of a recovery; migration thread */
void HYBRID_SOURCE_THREAD hybrid_flow_recovers(HybridInFlight *flow);

/* PLACED has come.  Return path thread. */
void hybrid_flow_peer_read(HybridSource *h, HybridMessage *m);

/*
 * Before the guest is stopped: wait until what was sent has arrived, so that
 * the package does not queue behind it.  Bounded: it ends when nothing moves
 * for half a second.  Migration thread, no locks held.
 */
void HYBRID_SOURCE_THREAD hybrid_flow_drain(MigrationState *s);

#endif
