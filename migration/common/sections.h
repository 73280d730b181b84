/*
 * Hybrid live migration: the sections that the source is sure to send.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A device that the destination lacks is found by upstream when its state
 * comes, which is in the stop.  So the source names, before SETTINGS, what it
 * will send whatever the guest does until then; the destination refuses if it
 * could not load one of them.  What it has besides is its own matter.
 */

#ifndef QEMU_MIGRATION_HYBRID_COMMON_SECTIONS_H
#define QEMU_MIGRATION_HYBRID_COMMON_SECTIONS_H

#include "migration/qemu-file.h"
#include "migration/hybrid/protocol/sections.h"

/* Source; migration thread, without the BQL.  Does not flush. */
void hybrid_sections_send(QEMUFile *f);

/* Destination; BQL held */
void hybrid_sections_check(HybridMessage *m, HybridMisfits *misfits);

#endif
