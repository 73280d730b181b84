/*
 * Hybrid live migration, source: is this migration hybrid?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_START_H
#define QEMU_MIGRATION_HYBRID_SOURCE_START_H

/* See hybrid_reset() */
void hybrid_src_reset(void);

#endif
