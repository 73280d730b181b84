/*
 * Hybrid live migration, source: why the destination failed, as it says.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_REASON_H
#define QEMU_MIGRATION_HYBRID_SOURCE_REASON_H

#include "migration/hybrid/source/hooks.h"

/* FAILED came; the source's lock held */
void hybrid_src_peer_failed(MigrationState *s, const char *text, Error **errp);

#endif
