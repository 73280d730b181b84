/*
 * Hybrid live migration: the hooks that QEMU's migration code calls.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Every hook may be called in every migration, hybrid or not, and does nothing
 * when this migration is not hybrid.  Whether it is was decided once, by
 * hybrid_src_decide(), and is kept as the migration's own state: no hook looks
 * at a capability.
 */

#ifndef QEMU_MIGRATION_HYBRID_HOOKS_H
#define QEMU_MIGRATION_HYBRID_HOOKS_H

#include "qapi/qapi-types-migration.h"
#include "migration/hybrid/common/numbers.h"
#include "migration/hybrid/source/hooks.h"
#include "migration/hybrid/destination/hooks.h"

/* ---- what concerns both sides: sides.c ---- */

/*
 * Forget the last migration; called for every migration and snapshot, so
 * that a hook finds hybrid inactive until hybrid_src_decide() says otherwise.
 */
void hybrid_reset(void);

/* query-migrate: the object "hybrid" */
void hybrid_fill_info(MigrationInfo *info);

#endif
