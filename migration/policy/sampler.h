/*
 * Hybrid live migration: when to look at the dirty log.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SAMPLER_H
#define QEMU_MIGRATION_HYBRID_SAMPLER_H

/*
 * When to look.  A look at the dirty log costs the migration thread the time
 * to read it.  If it also clears the log, so that what is written from then on
 * is known, that costs the guest a fault, or the slow path of a store, for
 * each page that it had written and writes again.  Both together are planned
 * to stay below HYBRID_SAMPLER_DUTY percent of the time since rounds began,
 * and looks by themselves below half of that.  How many pages the log has is
 * seen before it is cleared, so what cannot be paid is only read: that still
 * shows which pages need not be sent now.  Looks that find little that was
 * not known come less often.  Microseconds.
 *
 * The duty is what was set out to be reached; measured under TCG, the guest
 * loses 0.2 % (sequential writer) and 0.6 % (uniform).  The times are chosen.
 */
#define HYBRID_SAMPLER_DUTY        2
#define HYBRID_SAMPLER_FIRST_US    20000
#define HYBRID_SAMPLER_MIN_US      50000
#define HYBRID_SAMPLER_MAX_US      2000000
/*
 * What the first store to a cleared page costs the guest, at most about.
 * Measured under TCG around 117 looks each: 0.17 us (sequential writer) and
 * 0.30 us (uniform); this is the upper end of both intervals of 95 %.  What it
 * is under KVM was not measured.
 */
#define HYBRID_SAMPLER_PAGE_NS     500

typedef struct HybridSampler {
    int64_t start_us;
    int64_t next_us;            /* when the next look is due, if it is paid */
    int64_t heat_us;            /* when a new plane of heat is due */
    int64_t interval_us;
    int64_t look_us;            /* CPU time of the last look */
    int64_t looks_us;           /* of all looks */
    int64_t guest_us;           /* taken from the guest */
} HybridSampler;

typedef struct HybridLook {
    int64_t cost_us;            /* CPU time */
    uint64_t fresh;             /* pages in the log */
    uint64_t known;             /* of those, known to be dirty before */
    bool cleared;               /* the log */
    bool round_end;             /* which clears the log in any case */
} HybridLook;

void hybrid_sampler_start(HybridSampler *s, int64_t now_us);

/* A look is due */
bool hybrid_sampler_due(const HybridSampler *s, int64_t now_us);

/* @pages are in the log, to read it took @cost_us: it can be cleared */
bool hybrid_sampler_may_clear(const HybridSampler *s, int64_t now_us,
                              int64_t cost_us, uint64_t pages);

/* Plans the next look */
void hybrid_sampler_done(HybridSampler *s, int64_t now_us,
                         const HybridLook *look);

/* True once per plane of heat: hybrid_heat_next() is due */
bool hybrid_sampler_next_heat(HybridSampler *s, int64_t now_us);

#endif
