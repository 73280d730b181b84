/*
 * Hybrid live migration: how many distinct pages the guest dirties in a time.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The size of the guest's write working set as a function D(t) of the length
 * of the window (Denning and Schwartz, "Properties of the working-set model",
 * CACM 15(3), 1972).  D is zero at zero, grows and is concave; it is measured
 * at the windows that there happen to be, the times between two samples and
 * the rounds, and is taken to be straight in between.
 *
 * Units: microseconds, target pages.  Locking: none.
 */

#ifndef QEMU_MIGRATION_HYBRID_WSET_H
#define QEMU_MIGRATION_HYBRID_WSET_H

/*
 * One point for each doubling of the window, from 16 ms on (no sample comes
 * sooner) to 32 s: longer rounds are all alike
 */
#define HYBRID_WSET_POINTS 12

/* Nothing measured: all zero */
typedef struct HybridWset {
    struct {
        double us;              /* 0: never measured */
        double pages;
    } point[HYBRID_WSET_POINTS];
} HybridWset;

/* In a window of @us the guest dirtied @pages distinct pages; smoothed */
void hybrid_wset_add(HybridWset *w, uint64_t us, uint64_t pages);

/*
 * Pages that the guest is expected to dirty within @us; beyond the longest
 * window that was measured as many as in that.  Returns false if nothing was
 * measured.
 */
bool hybrid_wset_get(const HybridWset *w, uint64_t us, uint64_t *pages);

#endif
