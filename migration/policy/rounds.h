/*
 * Hybrid live migration: when the precopy rounds end.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A round is one full pass over the pages that were dirty when it began.
 * After each round the caller hands in what happened, and the policy answers:
 * another round, the handoff to postcopy, or completion as precopy.  In the
 * middle of a round the caller asks whether a bound cuts it now.
 *
 * The rule, after a full round that left R pages:
 *
 *   1. nothing left: complete;
 *   2. a bound (rounds, time, bytes) is reached: the rounds end;
 *   3. otherwise they go on while another round is expected to leave clearly
 *      fewer pages than R.  "Clearly" is the min_gain percentage.  The
 *      expectation is the smaller of a prediction (below) and the least that
 *      any round so far has left: after a burst of writes the rounds go on in
 *      order to come back near that minimum instead of handing off on top of
 *      the burst;
 *   4. but no more than HYBRID_ROUNDS_PATIENCE rounds in a row are forgiven
 *      for having brought no clear gain over the minimum;
 *   5. where the page bitmap keeps hot pages out of the rounds, the table in
 *      policy/rounds-table.h says which round follows, or that none does;
 *   6. with a min_gain of 0 nothing ends for want of gain: rounds of all that
 *      is left follow until it fits the downtime limit, or 2.
 *
 * When the rounds end, the migration completes as precopy if what is left
 * fits the downtime limit at the bandwidth measured, else it hands off.
 *
 * A dip of the link decides nothing.  A round at less than half of the
 * throughput of those before it is judged as if the link were as it was, and
 * is not counted as one without gain; only "fits" is asked about the slow
 * link, and if the rest fits but for that, the rounds go on.  When two rounds
 * in a row and HYBRID_ROUNDS_DIP_US were like that, it was no dip: what was
 * known of the link before is forgotten.
 *
 * The prediction.  Let D(t) be the number of distinct pages that the guest
 * dirties in a time t.  A page that is dirtied again counts once, so D is
 * concave (Denning and Schwartz, "Properties of the working-set model", CACM
 * 15(3), 1972, for the mean size of a working set as a function of its
 * window).  For a round shorter than the last one this gives two bounds that
 * need no model of the guest: the line from the origin through the last
 * round's (T, D) lies below D(t), the line through the last two rounds lies
 * above it.  The prediction is the middle of the two: right for a guest that
 * writes at random as well as for one that writes the same pages over and
 * over, and for what lies between the error is half the gap at most.  After
 * the first round only the lower line exists: the prediction is optimistic,
 * and one more round finds out.
 *
 * With the page bitmap the dirtying is sampled while a round runs, so D(t) is
 * known at shorter windows than a round (policy/wset.h), and what a round of
 * all that is left would leave is D of the time that it takes.  Pages that
 * are not hot were dirtied less than k times in all samples: for them the
 * lower line is used, which is right for pages that are dirtied rarely.
 *
 * Pages sent again are those so far (all that was sent, and R, less all there
 * are) and what is dirtied in the rounds to come; max_resend bounds them, in
 * percent of the pages that hold data.
 *
 * Rounds that do not converge may still be worth it, where a handoff is dear:
 * over a long way, where a guest that writes here and there waits a round trip
 * for each page that it touches (policy/wait.h).  A round of all that is left
 * goes before the handoff if it clearly makes that less, by as much of the
 * time by which it makes the migration longer as min_gain says, and if what
 * it sends again is within max_resend.  Where differences are worth it there
 * is less to wait for, and so there are no such rounds.
 *
 * Huge pages.  A round sends the target pages of a host page that are dirty,
 * but after the handoff only whole host pages can be placed: one dirty target
 * page in each of 2 MiB means that all is sent again.  So what the handoff
 * would send is counted in whole host pages, in rule 5 for rounds of what is
 * not hot, which end in it.  Rounds that converge end without it, and are also
 * within the bound if they send less again than the handoff would now.
 *
 * Units: pages are target pages of cfg.page_size bytes; times are
 * microseconds; bandwidths are bytes per second.  All inputs may be anything:
 * no division by zero, no overflow (arithmetic that could is done in double,
 * exact up to 2^53 and monotone beyond).  The same records give the same
 * decisions.
 *
 * Locking: none; the caller serialises calls on one HybridRounds.
 */

#ifndef QEMU_MIGRATION_HYBRID_ROUNDS_H
#define QEMU_MIGRATION_HYBRID_ROUNDS_H

#include "rounds-table.h"
#include "wait.h"
#include "wset.h"

/*
 * Rounds in a row without a clear gain that are forgiven: one may be a burst
 * of writes, and one more finds out.  Chosen.
 */
#define HYBRID_ROUNDS_PATIENCE 2

/*
 * A link that is slow for longer, and in two rounds, is slow.  Chosen; longer
 * than the dip of three seconds that once decided, see DIP.
 */
#define HYBRID_ROUNDS_DIP_US 5000000

typedef struct HybridRoundsConfig {
    uint32_t max_rounds;        /* 0 counts as 1 */
    uint32_t min_gain;          /* percent, up to 99; 0: see rule 6 */
    uint32_t max_resend;        /* percent of pages with data, 0: no bound */
    uint64_t max_time_us;       /* 0: no bound */
    uint64_t max_bytes;         /* 0: no bound */
    uint64_t downtime_limit_us;
    uint64_t page_size;         /* bytes */
    uint64_t rtt_us;            /* the least round trip, 0: unknown */
} HybridRoundsConfig;

/*
 * A round sends the target pages that are dirty.  After the handoff all of a
 * host page has to come: these are the target pages of the host pages that a
 * figure of the record is about.  The same, unless there are huge pages.
 */
typedef struct HybridWholePages {
    uint64_t remaining;
    uint64_t dirtied;
    uint64_t hot;
} HybridWholePages;

/* What happened in a round, and what the policy made of it */
typedef struct HybridRoundRecord {
    uint32_t round;             /* out: 1 for the first */
    uint64_t pages;             /* page sends, zero pages included */
    uint64_t zero_pages;        /* those of them sent as "all zero" */
    uint64_t bytes;             /* sent in this round */
    /*
     * By so much what waits to be sent has become more, see
     * hybrid_rounds_link(); told where hybrid_wait_matters(): over a long way
     * a short round may do nothing but fill the socket.
     */
    int64_t grown;
    uint64_t remaining_pages;   /* dirty after the sync that ended it */
    uint64_t dirtied_pages;     /* dirtied while it ran */
    uint64_t unsent_pages;      /* left over when it was cut, else 0 */
    uint64_t deferred_pages;    /* kept out of this round, for the record */
    uint64_t hot_pages;         /* of the remaining, what is hot now */
    HybridWholePages whole;     /* less than the above: taken as that */
    /*
     * What a handoff would have to send, in pages: less than whole.remaining
     * if differences are worth it.  0: whole.remaining.
     */
    uint64_t handoff_pages;
    uint64_t time_us;           /* from the end of the round before */
    /*
     * What the stop could use, for "does the rest fit", see
     * hybrid_rounds_link().  0: not known; the policy then takes bytes and
     * time for what they are worth.
     */
    uint64_t bandwidth;
    bool cut;                   /* ended in the middle, by cut_reason */
    HybridReason cut_reason;    /* as hybrid_rounds_tick() said */
    HybridAction action;        /* out */
    HybridReason reason;        /* out */
    bool all;                   /* out: the next round takes hot pages, too */
    HybridRoundAnswers answers; /* out */
    /* out: how long the guest would wait for pages, now and a round later */
    uint64_t wait_us, eased_us;
} HybridRoundRecord;

/* A mean of samples of different weight that forgets old ones */
typedef struct HybridSmooth {
    double sum, weight;
} HybridSmooth;

/* Plain data, may be copied; fields are private, but good to trace */
typedef struct HybridRounds {
    HybridRoundsConfig cfg;
    uint64_t total_pages;
    bool endless;               /* no end for want of gain */
    uint32_t rounds;            /* ended so far */
    uint32_t stalled;           /* of these the last, without clear gain */
    uint64_t time_us;           /* of all rounds */
    uint64_t bytes;             /* of all rounds */
    uint64_t pages;             /* of all rounds */
    uint64_t zero_pages;        /* of all rounds */
    uint64_t kept_out;          /* hot pages that are not in this round */
    double missed;              /* of those dirtied, the part not hot before */
    uint64_t min_remaining;     /* the least that a round has left */
    HybridWset wset;            /* from samples and rounds */
    HybridWset whole;           /* the same in whole host pages */
    HybridWait wait;            /* after a handoff */
    bool eased;                 /* there was a round for its sake */
    uint64_t samples;           /* 0: no page bitmap, the wset is not used */
    HybridSmooth throughput;    /* bytes/s in the rounds */
    HybridSmooth bandwidth;     /* bytes/s that the stop could use */
    double fit_bandwidth;       /* the careful end of it, 0 unknown */
    uint64_t last_time_us, last_dirtied;    /* the round before, 0 none */
    double predicted;           /* pages that another round would leave */
    uint32_t dips;              /* slow rounds in a row, not believed yet */
    uint64_t dips_us;           /* their time */
    bool dip;                   /* the last round was one */
} HybridRounds;

/* @total_pages: pages that the first round may have to send */
void hybrid_rounds_init(HybridRounds *r, const HybridRoundsConfig *cfg,
                        uint64_t total_pages);

/*
 * The bandwidth of the link in a round, by what has left this host: @grown is
 * by how many bytes what waits to be sent has become more.  0: too little was
 * sent, or in too short a time, to tell.
 */
uint64_t hybrid_rounds_link(const HybridRoundRecord *rec, int64_t grown);

/*
 * The downtime limit has been changed: from now on it is this.  Who waits for
 * rounds to end raises it.
 */
void hybrid_rounds_limit(HybridRounds *r, uint64_t downtime_limit_us);

/*
 * In the middle of a round: which bound, if any, cuts it now.  @elapsed_us
 * and @total_bytes count from the beginning of the first round; @requested:
 * the operator wants the handoff now.  HYBRID_REASON_NONE: go on.  If it is
 * anything else, end the round with cut and cut_reason set.
 */
HybridReason hybrid_rounds_tick(const HybridRounds *r, uint64_t elapsed_us,
                                uint64_t total_bytes, bool requested);

/*
 * The guest dirtied @pages distinct pages in @us: a sample while rounds run.
 * @whole: the target pages of the host pages that they are in.
 */
void hybrid_rounds_sample(HybridRounds *r, uint64_t us, uint64_t pages,
                          uint64_t whole);

/*
 * The @pages of such a sample are @runs runs of neighbours, see policy/wait.h.
 * Needed only if hybrid_wait_matters().
 */
void hybrid_rounds_sample_runs(HybridRounds *r, uint64_t us, uint64_t pages,
                               uint64_t runs);

/*
 * A round has ended, fully or cut.  Fills in @rec->round, action and reason,
 * and bandwidth if it was 0 and can be told.
 *
 * A round that was cut always ends the rounds: with completion if the rest
 * fits, except on request, when it is always the handoff.
 *
 * May be called again after the end was decided (observe-only).
 */
void hybrid_rounds_end(HybridRounds *r, HybridRoundRecord *rec);

/* Smoothed bandwidth for the stop, bytes per second, 0 if unknown */
double hybrid_rounds_bandwidth(const HybridRounds *r);

/* The careful end of it, by which a round's rest fits or not */
static inline double hybrid_rounds_stop_bandwidth(const HybridRounds *r)
{
    return r->fit_bandwidth;
}

/* Bytes that cfg.max_resend stands for */
uint64_t hybrid_rounds_resend(const HybridRounds *r);

#endif
