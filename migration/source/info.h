/*
 * Hybrid live migration, source: query-migrate's "hybrid" object.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_INFO_H
#define QEMU_MIGRATION_HYBRID_SOURCE_INFO_H

#include "migration/hybrid/source/state.h"

/* False: no migration goes out, or did */
bool hybrid_src_fill_info(MigrationInfo *info);

/* Why the command was refused, if that is all that is known */
void hybrid_src_fill_refusal(MigrationInfo *info);

/*
 * The migration is over: what it reports is made now, and stays.  BQL held, the
 * lock not; no other thread of the migration changes what it counts.
 */
void hybrid_src_make_record(HybridSource *h);

#endif
