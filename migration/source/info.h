/*
 * Hybrid live migration, source: query-migrate's "hybrid" object.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_INFO_H
#define QEMU_MIGRATION_HYBRID_SOURCE_INFO_H

#include "qapi/qapi-types-migration.h"

/* False: nothing was to be migrated from here */
bool hybrid_src_fill_info(MigrationInfo *info);

#endif
