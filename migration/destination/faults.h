/*
 * Hybrid live migration, destination: which vCPU waits for a missing page.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_DESTINATION_FAULTS_H
#define QEMU_MIGRATION_HYBRID_DESTINATION_FAULTS_H

#include "migration/hybrid/destination/state.h"
#include "migration/hybrid/protocol/encoding.h"

/* The destination was found to be able to take the guest */
HybridFaults *hybrid_faults_new(void);
void hybrid_faults_free(HybridFaults *faults);

/* Puts the vCPUs' block times into STATS */
void hybrid_faults_report(HybridMessage *m);

/* Pages are at @host now: whoever waited for them goes on */
void hybrid_faults_placed(void *host, uint64_t pages);

#endif
