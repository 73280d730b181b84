/*
 * Hybrid live migration, destination: loads the pages of postcopy in runs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_DESTINATION_LOAD_H
#define QEMU_MIGRATION_HYBRID_DESTINATION_LOAD_H

#include "migration/hybrid/destination/state.h"

HybridLoad *hybrid_load_new(void);
void hybrid_load_free(HybridLoad *l);

/* Can postcopy place pages in each block of memory? */
bool hybrid_load_possible(Error **errp);

/* The listen thread has ended, or never was */
void hybrid_load_cleanup(void);

#endif
