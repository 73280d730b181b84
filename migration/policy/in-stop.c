/*
 * Hybrid live migration: do all differences fit the stop?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../osdep.h"
#include "in-stop.h"

/*
 * The last page's way there, LOADED's way back, and GRANT's: what the downtime
 * has of the link besides the bytes.
 */
#define WAYS 3

/*
 * To make the page of its difference takes as long as to make that: both look
 * at all of the page and at its checksum.  On one CPU they add up.
 */
#define BOTH_SIDES 2

/* The largest double that may be converted to uint64_t, about 1.8e19 */
#define MAX_U64 18446744073709549568.0

void hybrid_in_stop_add(HybridInStopAsk *ask, uint64_t bytes, uint64_t ns)
{
    if (ask->sampled < HYBRID_IN_STOP_SAMPLE) {
        ask->sampled_ns[ask->sampled++] = ns;
        ask->sampled_bytes += bytes;
    }
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/*
 * The usual one, so that it does not count that the guest took the CPU in the
 * middle of one: in the stop it does not.
 */
static double median_ns(const HybridInStopAsk *ask)
{
    uint64_t ns[HYBRID_IN_STOP_SAMPLE];

    memcpy(ns, ask->sampled_ns, sizeof(ns));
    qsort(ns, ask->sampled, sizeof(*ns), compare);
    return ns[ask->sampled / 2];
}

void hybrid_in_stop_judge(const HybridInStopAsk *ask, HybridInStopVerdict *v)
{
    double based = ask->based, bytes, us;

    *v = (HybridInStopVerdict) { .us = UINT64_MAX };
    /* Without any base it is the rounds' matter, and they have said no */
    if (!ask->based || !ask->sampled || !(ask->bandwidth > 0.0)) {
        return;
    }
    bytes = based * ask->sampled_bytes / ask->sampled +
            (double)ask->whole * ask->page_size;
    us = ask->gone_us + bytes * 1e6 / ask->bandwidth +
         based * median_ns(ask) / 1000.0 * BOTH_SIDES +
         WAYS * (double)MAX(0, ask->one_way_us);
    v->bytes = MIN(bytes, MAX_U64);
    v->us = MIN(us, MAX_U64);
    /* The first time a quarter is left, see the head of in-stop.h; chosen */
    v->fits = us <= (ask->stopped ? 1.0 : 0.75) * ask->limit_us;
}
