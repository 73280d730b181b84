/*
 * Hybrid migration in 'info migrate'
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_HMP_H
#define QEMU_MIGRATION_HYBRID_HMP_H

#include "qapi/qapi-types-migration.h"

void hybrid_hmp_info(Monitor *mon, const MigrationHybridInfo *info);

#endif
