/*
 * Hybrid live migration, source: why the destination failed, as it says.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_REASON_H
#define QEMU_MIGRATION_HYBRID_SOURCE_REASON_H

#include "migration/hybrid/source/state.h"

/* FAILED came */
void HYBRID_SOURCE_LOCKED
hybrid_src_peer_failed(MigrationState *s, HybridSource *h, const char *text,
                       Error **errp);

#endif
