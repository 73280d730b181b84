/*
 * Hybrid live migration, destination: query-migrate's "hybrid" object.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_DESTINATION_INFO_H
#define QEMU_MIGRATION_HYBRID_DESTINATION_INFO_H

#include "qapi/qapi-types-migration.h"

/* False: no hybrid migration comes in, or did */
bool hybrid_dst_fill_info(MigrationInfo *info);

#endif
