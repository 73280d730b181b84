/*
 * Hybrid live migration: do all differences fit the stop?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A guest may dirty its pages for ever faster than a link carries them, and
 * change only a few bytes of each.  When its bases are sent, all that is dirty
 * may fit the downtime limit: as a difference where there is a base, else as a
 * whole page.  Then the migration completes as precopy, and no page is missing
 * at the destination.
 *
 * It is asked twice.  While the guest still runs, by a sample of what is dirty
 * then: nothing is lost if the answer is no.  And when it stands still, before
 * anything is sent by it: what was dirtied meanwhile, or made larger, may be
 * more than was foreseen.  Then the guest is handed over, with its bases, which
 * is late, but not wrong.  So that this is rare the first answer leaves a
 * quarter of the limit to the guest.
 *
 * Locking: none.
 */

#ifndef QEMU_MIGRATION_HYBRID_IN_STOP_H
#define QEMU_MIGRATION_HYBRID_IN_STOP_H

#include "../osdep.h"

/*
 * Pages that are looked at, at most: a millisecond, which is one of the stop
 * when the guest stands still.  Chosen.
 */
#define HYBRID_IN_STOP_SAMPLE 128

typedef struct HybridInStopAsk {
    uint32_t page_size;         /* bytes */
    uint64_t based;             /* dirty pages that have a base */
    uint64_t whole;             /* those that have none */
    /* Of some of those that have one: so many differences were made, */
    unsigned sampled;
    uint64_t sampled_bytes;     /* which have these bytes in the stream, */
    uint64_t sampled_ns[HYBRID_IN_STOP_SAMPLE]; /* and took so long each */
    double bandwidth;           /* bytes/s that the stop can use */
    int64_t one_way_us;         /* to the destination; less than 0: unknown */
    uint64_t limit_us;          /* of the downtime */
    uint64_t gone_us;           /* of it */
    bool stopped;               /* the second question */
} HybridInStopAsk;

typedef struct HybridInStopVerdict {
    bool fits;
    uint64_t bytes;             /* that the stop would send */
    uint64_t us;                /* that it would take; UINT64_MAX: unknown */
} HybridInStopVerdict;

/* Notes a difference of @bytes that was made in @ns; no more than it can use */
void hybrid_in_stop_add(HybridInStopAsk *ask, uint64_t bytes, uint64_t ns);

void hybrid_in_stop_judge(const HybridInStopAsk *ask, HybridInStopVerdict *v);

#endif
