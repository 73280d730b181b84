/*
 * Hybrid live migration: how many distinct pages the guest dirties in a time.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../osdep.h"
#include "wset.h"

#define FIRST_SHIFT 14          /* 2^14 us: 16 ms, see HYBRID_WSET_POINTS */

static unsigned point_of(uint64_t us)
{
    unsigned n = 0;

    for (us >>= FIRST_SHIFT + 1; us && n < HYBRID_WSET_POINTS - 1; us >>= 1) {
        n++;
    }
    return n;
}

void hybrid_wset_add(HybridWset *w, uint64_t us, uint64_t pages)
{
    unsigned n = point_of(us);

    if (!us) {
        return;
    }
    if (w->point[n].us > 0.0) {
        w->point[n].us = (w->point[n].us + us) / 2;
        w->point[n].pages = (w->point[n].pages + pages) / 2;
    } else {
        w->point[n].us = us;
        w->point[n].pages = pages;
    }
}

bool hybrid_wset_get(const HybridWset *w, uint64_t us, uint64_t *pages)
{
    double last_us = 0.0, last_pages = 0.0;

    for (unsigned n = 0; n < HYBRID_WSET_POINTS; n++) {
        /* What a shorter window has seen, a longer one sees, too */
        double next_us = w->point[n].us;
        double next_pages = MAX(last_pages, w->point[n].pages);

        if (next_us <= last_us) {
            continue;
        }
        if (us <= next_us) {
            *pages = last_pages + (next_pages - last_pages) *
                     (us - last_us) / (next_us - last_us);
            return true;
        }
        last_us = next_us;
        last_pages = next_pages;
    }
    *pages = last_pages;
    return last_us > 0.0;
}
