/*
 * Hybrid live migration: a file of guest memory that both QEMUs have.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A destination begins with the end of what is in its memory: it punches holes
 * into its files.  If one of them is the source's as well, as on one host
 * where both were given the same path, that is the guest's memory.
 */

#ifndef QEMU_MIGRATION_HYBRID_SAME_FILES_H
#define QEMU_MIGRATION_HYBRID_SAME_FILES_H

#include "migration/hybrid/common/wire.h"

/* Source: which files it has, and on which host */
void hybrid_files_put(HybridMessage *m);

/* Destination: false, with @errp set, if it has one of them, too */
bool hybrid_files_differ(HybridMessage *m, Error **errp);

#endif
