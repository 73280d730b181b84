/*
 * Hybrid live migration, destination: how much the source may have in flight.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_DESTINATION_WINDOW_H
#define QEMU_MIGRATION_HYBRID_DESTINATION_WINDOW_H

#include "migration/hybrid/destination/state.h"

HybridReading *hybrid_reading_new(void);
void hybrid_reading_free(HybridReading *r);

/* The connection is lost, another one follows */
void HYBRID_LISTEN_THREAD hybrid_window_recovers(void);

/* Postcopy: target pages of the main channel, whatever became of them */
void hybrid_window_pages(uint64_t pages);

/*
 * Postcopy: @bytes of main channel @f were read, and what is in them was
 * placed.  Says so (PLACED) when it is time.
 */
void HYBRID_LISTEN_THREAD hybrid_window_has_read(QEMUFile *f, uint64_t bytes);

/*
 * Postcopy: target pages were placed.  Keeps the receive window of the main
 * channel small (see HybridWindow).  Any thread; works in the listen thread
 * only, which owns that channel.
 */
void hybrid_window_placed(uint64_t pages);

#endif
