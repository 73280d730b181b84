/*
 * Hybrid live migration: the order in which the first round sends memory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../osdep.h"
#include "scan.h"

static size_t gcd(size_t a, size_t b)
{
    while (b) {
        size_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

void hybrid_scan_init(HybridScan *s, size_t chunks)
{
    *s = (HybridScan) { .chunks = chunks, .step = chunks * 0.6180339887 };
    s->step = MAX(1, s->step);
    while (chunks && gcd(s->step, chunks) != 1) {
        s->step++;
    }
}

bool hybrid_scan_next(HybridScan *s)
{
    if (s->done >= s->chunks) {
        return false;
    }
    s->chunk = s->done++ ? (s->chunk + s->step) % s->chunks : 0;
    return true;
}
