/*
 * Hybrid live migration, destination: this QEMU ends in order, and why.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_DESTINATION_QUIT_H
#define QEMU_MIGRATION_HYBRID_DESTINATION_QUIT_H

#include "migration/hybrid/destination/state.h"

/* From now on the reason is noted, until this is over.  BQL held. */
void hybrid_dst_watch_quit(HybridDestination *h);
void hybrid_dst_unwatch_quit(HybridDestination *h);

#endif
