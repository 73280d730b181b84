/*
 * Hybrid live migration, source: what the destination has to have, told before
 * the first page.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A device that the destination lacks is found by upstream when its state
 * comes, which is in the stop.  So the source names, before SETTINGS, what it
 * will send, unless the guest ejects a device that nobody asked it to; the
 * destination refuses if it could not load one of them.  What it has besides is
 * its own matter.  The same for the blocks of the guest's memory, see
 * common/places.h.
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_ANNOUNCE_H
#define QEMU_MIGRATION_HYBRID_SOURCE_ANNOUNCE_H

#include "migration/qemu-file.h"

/* SECTIONS and BLOCKS.  Migration thread, without the BQL.  Does not flush. */
void hybrid_announce(QEMUFile *f);

#endif
