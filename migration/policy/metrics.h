/*
 * Hybrid live migration: what the six metrics mean, exactly.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Times are microseconds on the source's monotonic clock; -1 is unknown.
 *
 * The first three times divide the last one without gap or overlap:
 *
 *   start        stop          first instruction          source is free
 *     |-preparation-|---downtime----|---------resume----------|
 *     |------------------------total--------------------------|
 *
 * The first instruction at the destination is not seen from the source: its
 * message RUNNING is, one one-way delay later.  The delay is taken as half the
 * shortest round trip, the sample that queues have disturbed least (Mills,
 * "Internet time synchronization: the Network Time Protocol", IEEE
 * Transactions on Communications 39(10), 1991).  If the two directions differ,
 * the error is half of that round trip at most.
 *
 * RUNNING comes when the host of the source has least time for it: the push
 * begins.  So it also says how long after LOADED was sent and GRANT was read
 * the guest started, on the destination's clock.  A message never takes less
 * than the one-way delay, so LOADED gives another latest moment, and GRANT the
 * earliest; what is late on its way only makes such a bound weaker.
 *
 * Locking: none; the caller serialises calls on one object.
 */

#ifndef QEMU_MIGRATION_HYBRID_METRICS_H
#define QEMU_MIGRATION_HYBRID_METRICS_H

/* ---- round trips ---- */

typedef struct HybridRtt {
    int64_t min_us;             /* -1: no sample */
    uint64_t samples;
} HybridRtt;

void hybrid_rtt_init(HybridRtt *rtt);

/* A PING was answered after @rtt_us; a negative one is ignored */
void hybrid_rtt_sample(HybridRtt *rtt, int64_t rtt_us);

/* -1: unknown */
int64_t hybrid_rtt_one_way(const HybridRtt *rtt);

/* ---- times ---- */

typedef struct HybridTimes {
    int64_t start_us;           /* the migrate command */
    int64_t stop_us;            /* the last vCPU of the source has stopped */
    int64_t synced_us;          /* RAM is synced, discards begin */
    int64_t discarded_us;       /* discards are sent */
    int64_t saved_us;           /* devices are saved */
    int64_t package_us;         /* the package with the CPU state is sent */
    int64_t loaded_us;          /* LOADED has come */
    int64_t grant_us;           /* GRANT is sent */
    int64_t running_us;         /* undelayed RUNNING, or a plain PONG 3 */
    int64_t done_us;            /* nothing at the source belongs to the guest */
    bool running_seen;          /* running_us is RUNNING's, no guess */
} HybridTimes;

/* All unknown */
void hybrid_times_init(HybridTimes *t);

/* When the vCPUs started, as RUNNING has it: on the destination's clock */
typedef struct HybridStarted {
    int64_t ago_us;             /* before RUNNING was sent */
    int64_t after_loaded_us;    /* since LOADED was sent; -1: unknown */
    int64_t after_grant_us;     /* since GRANT was read; -1: unknown */
} HybridStarted;

/*
 * RUNNING has come at @now_us.  Sets running_us: when it would have come, had
 * it left at the first instruction and met no delay but the line's.
 */
void hybrid_times_started(HybridTimes *t, const HybridRtt *rtt,
                          const HybridStarted *started, int64_t now_us);

/*
 * From the migrate command until the guest stops for its CPU state to be sent;
 * it runs at the source throughout.
 */
int64_t hybrid_times_preparation(const HybridTimes *t);

/*
 * From the last vCPU stopping at the source until the first one runs at the
 * destination.  *@estimated (may be NULL) is set if the peer has not said when
 * that was, or if the one-way delay is unknown and therefore not taken off:
 * before RUNNING has come, the time is taken as GRANT's arrival.
 */
int64_t hybrid_times_downtime(const HybridTimes *t, const HybridRtt *rtt,
                              bool *estimated);

/*
 * From the guest's first instruction at the destination until the last page is
 * there and the source is free of the guest.
 */
int64_t hybrid_times_resume(const HybridTimes *t, const HybridRtt *rtt);

/* From the migrate command until the source holds nothing of the guest */
int64_t hybrid_times_total(const HybridTimes *t);

/* ---- degradation ---- */

/*
 * Percent (0 to 100) of the vCPU time in the window that the guest did not get
 * because of the migration:
 *
 *   100 * (sum of vcpu_blocked_us + throttled_us) / (nvcpus * window_us)
 *
 * @vcpu_blocked_us: for each vCPU, time in which it waited for a missing page.
 * @throttled_us: vCPU time taken by throttling, summed over vCPUs: three vCPUs
 * held for a second are three seconds.
 * @window_us: wall-clock time, usually the total migration time.
 *
 * 0 if there was no vCPU time to be had.  The downtime does not count: it is
 * a metric of its own.
 */
double hybrid_degradation(const uint64_t *vcpu_blocked_us, unsigned nvcpus,
                          uint64_t throttled_us, uint64_t window_us);

#endif
