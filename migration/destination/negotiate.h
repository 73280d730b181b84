/*
 * Hybrid live migration, destination: negotiation (phase 1).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_DESTINATION_NEGOTIATE_H
#define QEMU_MIGRATION_HYBRID_DESTINATION_NEGOTIATE_H

#include "migration/hybrid/destination/state.h"

/* SECTIONS has come: what is wrong with them is said in answer to SETTINGS */
void hybrid_dst_sections(HybridMessage *in);

/* BLOCKS has come: the same */
void hybrid_dst_blocks(HybridMessage *in);

/* SETTINGS have come; 0 or -errno */
int hybrid_dst_settings(MigrationIncomingState *mis, HybridMessage *in);

#endif
