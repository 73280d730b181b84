/*
 * Hybrid live migration, destination: has it what the source says that it has
 * to have (source/announce.h)?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_DESTINATION_ANNOUNCED_H
#define QEMU_MIGRATION_HYBRID_DESTINATION_ANNOUNCED_H

#include "migration/hybrid/protocol/encoding.h"
#include "migration/hybrid/protocol/misfits.h"

/* The next SECTIONS, or BLOCKS, has come; BQL held */
void hybrid_sections_check(HybridMessage *m, HybridMisfits *misfits);
void hybrid_blocks_check(HybridMessage *m, HybridMisfits *misfits);

#endif
