/*
 * Hybrid live migration, source: is this migration hybrid?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_START_H
#define QEMU_MIGRATION_HYBRID_SOURCE_START_H

#include "migration/hybrid/source/state.h"

/* See hybrid_reset() */
void hybrid_src_reset(void);

/*
 * What only a migration that runs needs is freed: all threads of @h have been
 * joined, and it has its record.
 */
void HYBRID_BQL_LOCKED hybrid_source_release(HybridSource *h);

#endif
