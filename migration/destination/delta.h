/*
 * Hybrid live migration, destination: pages that come as differences (policy:
 * policy/delta.h).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_DESTINATION_DELTA_H
#define QEMU_MIGRATION_HYBRID_DESTINATION_DELTA_H

#include "migration/hybrid/destination/state.h"

HybridBases *hybrid_bases_new(void);
void hybrid_bases_free(HybridBases *b);

/*
 * SETTINGS: the source would like @wanted slots.  Returns how many it may use,
 * of which none is taken or claimed yet.
 */
uint32_t hybrid_bases_allow(HybridDestination *h, uint32_t wanted);

/* BASE and DELTAS have come; 0 or -errno */
int hybrid_dst_base(HybridMessage *m);
int hybrid_dst_deltas(HybridMessage *m);

/*
 * A difference is at @in, with what may follow it, @n bytes in all: make @made,
 * the page at @offset of @rb.  Returns the difference's bytes; 0: it is not all
 * there, or anything is wrong with it: hybrid_load_delta() is to read it, and
 * sees.  Then, when so many pages were placed: hybrid_deltas_placed().
 */
size_t hybrid_delta_take(RAMBlock *rb, uint64_t offset, const uint8_t *in,
                         size_t n, uint8_t *made);
void hybrid_deltas_placed(MigrationIncomingState *mis, uint32_t pages);

/*
 * What is kept is of no use any more: give the memory back.  Threads may still
 * be loading pages.
 */
void hybrid_bases_release(HybridDestination *h);

/* The same, at a pause: nothing is owed to the source, which asks anew */
void hybrid_bases_pause(HybridDestination *h);

/* NULL: none were agreed on */
MigrationHybridDeltas *hybrid_bases_info(HybridBases *b);

#endif
