/*
 * Hybrid live migration, destination: a migration is forgotten.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_DESTINATION_START_H
#define QEMU_MIGRATION_HYBRID_DESTINATION_START_H

/*
 * A new outgoing migration, or an attempt at one: what came in before is no
 * longer of interest, if it is over
 */
void hybrid_dst_forget(void);

#endif
