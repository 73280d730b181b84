/*
 * Hybrid live migration: what the six metrics mean, exactly.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../osdep.h"
#include "metrics.h"

void hybrid_rtt_init(HybridRtt *rtt)
{
    *rtt = (HybridRtt) { .min_us = -1 };
}

void hybrid_rtt_sample(HybridRtt *rtt, int64_t rtt_us)
{
    if (rtt_us < 0) {
        return;
    }
    if (!rtt->samples || rtt_us < rtt->min_us) {
        rtt->min_us = rtt_us;
    }
    rtt->samples++;
}

int64_t hybrid_rtt_one_way(const HybridRtt *rtt)
{
    return rtt->samples ? rtt->min_us / 2 : -1;
}

void hybrid_times_init(HybridTimes *t)
{
    *t = (HybridTimes) {
        .start_us = -1, .stop_us = -1, .synced_us = -1,
        .discarded_us = -1, .saved_us = -1, .package_us = -1, .loaded_us = -1,
        .grant_us = -1, .running_us = -1, .done_us = -1,
    };
}

/* -1 if an end is unknown; never negative otherwise */
static int64_t span(int64_t from, int64_t to)
{
    return from < 0 || to < 0 ? -1 : MAX(0, to - from);
}

void hybrid_times_started(HybridTimes *t, const HybridRtt *rtt,
                          const HybridStarted *started, int64_t now_us)
{
    int64_t round_trip = 2 * MAX(0, hybrid_rtt_one_way(rtt));
    int64_t latest = now_us - CLAMP(started->ago_us, 0, now_us);
    int64_t earliest = t->grant_us;

    /* None can be more than the time that has passed here meanwhile */
    if (t->loaded_us >= 0 && started->after_loaded_us >= 0) {
        latest = MIN(latest, t->loaded_us + MIN(started->after_loaded_us,
                                                now_us - t->loaded_us));
    }
    if (t->grant_us >= 0 && started->after_grant_us >= 0) {
        earliest = t->grant_us + round_trip +
                   MIN(started->after_grant_us, now_us - t->grant_us);
    }
    /* They cross if the directions' delays differ: then, halfway */
    t->running_us = earliest <= latest ? latest : (earliest + latest) / 2;
    /* Whatever the peer says, they did not run before GRANT */
    t->running_us = MAX(t->running_us, t->grant_us);
    t->running_seen = true;
}

/* The first instruction at the destination, on the source's clock */
static int64_t first_instruction(const HybridTimes *t, const HybridRtt *rtt)
{
    int64_t one_way = MAX(0, hybrid_rtt_one_way(rtt));
    int64_t when;

    if (t->running_us >= 0) {
        when = t->running_us - one_way;
    } else if (t->grant_us >= 0) {
        when = t->grant_us + one_way;
    } else {
        return -1;
    }
    /* An estimate must not put the effect before its cause */
    return MAX(when, t->stop_us);
}

int64_t hybrid_times_preparation(const HybridTimes *t)
{
    return span(t->start_us, t->stop_us);
}

int64_t hybrid_times_downtime(const HybridTimes *t, const HybridRtt *rtt,
                              bool *estimated)
{
    if (estimated) {
        *estimated = !t->running_seen || hybrid_rtt_one_way(rtt) < 0;
    }
    return span(t->stop_us, first_instruction(t, rtt));
}

int64_t hybrid_times_resume(const HybridTimes *t, const HybridRtt *rtt)
{
    return span(first_instruction(t, rtt), t->done_us);
}

int64_t hybrid_times_total(const HybridTimes *t)
{
    return span(t->start_us, t->done_us);
}

double hybrid_degradation(const uint64_t *vcpu_blocked_us, unsigned nvcpus,
                          uint64_t throttled_us, uint64_t window_us)
{
    double lost = throttled_us;
    double available = (double)nvcpus * window_us;

    if (available <= 0.0) {
        return 0.0;
    }
    for (unsigned i = 0; i < nvcpus; i++) {
        lost += vcpu_blocked_us[i];
    }
    return MIN(100.0, 100.0 * lost / available);
}
