/*
 * Hybrid live migration, destination: the guest is held until GRANT.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_DESTINATION_HANDOFF_H
#define QEMU_MIGRATION_HYBRID_DESTINATION_HANDOFF_H

#include "migration/hybrid/destination/state.h"

/* A handler for changes of the run state: says RUNNING when it is true */
void hybrid_dst_vm_state(void *opaque, bool running, RunState state);

/* GRANT and ABORT have come; 0 or -errno */
int hybrid_dst_grant(MigrationIncomingState *mis, HybridMessage *in);
int hybrid_dst_abort(void);

#endif
