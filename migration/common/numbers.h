/*
 * Hybrid live migration: numbers of the private messages.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_NUMBERS_H
#define QEMU_MIGRATION_HYBRID_NUMBERS_H

/*
 * Numbers of the private messages.  They lie far outside what QEMU hands out
 * and are never sent to a peer that did not answer the hello.
 */
#define HYBRID_MIG_CMD    0x6879   /* QEMU_VM_COMMAND, source to destination */
#define HYBRID_RP_MSG     0x6879   /* return path, destination to source */

#endif
