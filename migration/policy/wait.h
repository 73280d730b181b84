/*
 * Hybrid live migration: how long a guest waits for pages after a handoff.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is left when the guest is handed over needs its time on the link.  The
 * guest runs meanwhile, and for each page that it touches before the push has
 * brought it, it waits a round trip; but no longer than until all is there:
 *
 *     wait = the less of   time of the link for what is left
 *                    and   faults x round trip
 *
 * Faults are the pages that it touches in that time, D(t), if the push cannot
 * foretell them.  Who writes in order runs behind a bubble of the push and has
 * next to none: over 200 Mbit/s with 40 ms a writer in order had 5 faults and
 * waited 0.22 s while 9711 pages came in 1.7 s; one at random had 16 and waited
 * 0.48 of 0.55 s.  So it is measured whether the pages that are dirtied are
 * neighbours, in samples that are short: in a long one a set fills up.
 *
 * A guest whose requests are answered at once makes up for them, and nobody
 * sees it: where a round trip is shorter than HYBRID_WAIT_LEAST_US, and where
 * all that is left is there within one, there is no wait.
 *
 * Units: microseconds, target pages.  Locking: none.
 */

#ifndef QEMU_MIGRATION_HYBRID_WAIT_H
#define QEMU_MIGRATION_HYBRID_WAIT_H

/*
 * Chosen: what clients outside may notice.  Over 1 Gbit/s, 0.5 ms for a
 * request, paced writers lose 5 ms of work by a handoff, so nothing could be
 * won there by further rounds.
 */
#define HYBRID_WAIT_LEAST_US 10000

/* A sample is short; the sampler begins with 50 ms.  Chosen. */
#define HYBRID_WAIT_SAMPLE_US 100000

/*
 * Fewer runs of neighbours than half of the pages: the push foretells where the
 * guest goes on.  Chosen; of a set of which a part p is found, at random, there
 * are 1 - p.
 */
#define HYBRID_WAIT_RUNS 0.5

/* Nothing known: all zero */
typedef struct HybridWait {
    uint64_t rtt_us;            /* 0: unknown */
    double pages, runs;         /* sums that forget older samples */
} HybridWait;

/* In @us @pages were dirtied, @runs runs of neighbours */
void hybrid_wait_sample(HybridWait *w, uint64_t us, uint64_t pages,
                        uint64_t runs);

/* Would anybody wait?  If not, the samples are not needed. */
bool hybrid_wait_matters(const HybridWait *w);

/*
 * What is left needs the link for @link_us, and the guest touches @touched
 * pages of it in that time: how long it waits.
 */
double hybrid_wait_us(const HybridWait *w, double link_us, double touched);

#endif
