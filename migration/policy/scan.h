/*
 * Hybrid live migration: the order in which the first round sends memory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SCAN_H
#define QEMU_MIGRATION_HYBRID_SCAN_H

/*
 * The order in which the first round goes through the chunks: each once, and
 * at any time spread evenly over memory (multiples of the golden ratio, as in
 * D. Knuth, "The Art of Computer Programming", vol. 3, 6.4).  In the order of
 * addresses a hot set at the beginning would be sent as a whole before it is
 * seen to be hot; so only the part that is dirtied too late is.
 */
typedef struct HybridScan {
    size_t chunks;
    size_t step;                /* coprime to @chunks */
    size_t done;
    size_t chunk;               /* the current one */
} HybridScan;

/* @chunks: 0 or more */
void hybrid_scan_init(HybridScan *s, size_t chunks);

/* The next chunk is the current one; false after the last */
bool hybrid_scan_next(HybridScan *s);

#endif
