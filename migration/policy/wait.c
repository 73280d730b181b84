/*
 * Hybrid live migration: how long a guest waits for pages after a handoff.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../osdep.h"
#include "wait.h"

/* So much each sample counts beside the next.  Chosen: it takes three. */
#define OLDER 0.75

void hybrid_wait_sample(HybridWait *w, uint64_t us, uint64_t pages,
                        uint64_t runs)
{
    if (us <= HYBRID_WAIT_SAMPLE_US) {
        w->pages = w->pages * OLDER + pages;
        w->runs = w->runs * OLDER + MIN(runs, pages);
    }
}

bool hybrid_wait_matters(const HybridWait *w)
{
    return w->rtt_us >= HYBRID_WAIT_LEAST_US;
}

double hybrid_wait_us(const HybridWait *w, double link_us, double touched)
{
    if (!hybrid_wait_matters(w) || link_us <= w->rtt_us ||
        w->pages <= 0.0 || w->runs < w->pages * HYBRID_WAIT_RUNS) {
        return 0.0;
    }
    return MIN(link_us, touched * w->rtt_us);
}
