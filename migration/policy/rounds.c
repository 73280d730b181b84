/*
 * Hybrid live migration: when the precopy rounds end.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../osdep.h"
#include "rounds.h"

/*
 * Where it is not said that it was measured, a number is chosen: what it is
 * for is known, that another one would not do as well is not.
 */

/*
 * A measurement over at least this long counts in full, others in part: what
 * a socket takes at once must not be taken for the link.  Chosen.
 */
#define SETTLED_US 100000.0

/*
 * The part of a full measurement in the smoothed value: the last one counts as
 * much as all before it.  Chosen.
 */
#define SMOOTHING 0.5

/*
 * Looking at a page and finding it zero takes about this long.  An estimate:
 * what is wrong with it matters in the first round of an empty guest only.
 */
#define ZERO_PAGE_US 1.0

/*
 * Rounds whose lengths differ by less than this say nothing about D(t): the
 * line through two points that are close together is noise.  Chosen.
 */
#define SAME_LENGTH 1.25

/*
 * Of the pages of a round, the part that may be sent in vain, if the guest is
 * handed over in the end.  Chosen.
 */
#define CHEAP 0.25

/*
 * Less than this, or in a shorter time, says nothing about the link: it may
 * all be in the socket.  Chosen.
 */
#define LINK_LEAST_US 20000.0
#define LINK_LEAST_BYTES (256 * 1024.0)

/*
 * A link that has become this many times slower: a dip, or for good?  Chosen.
 * What made a handoff of a migration that ends as precopy were three seconds
 * at 10 Mbit/s.
 */
#define DIP 2

/*
 * Fewer pages than that are not worth a round, with its sync of the dirty
 * bitmap.  Chosen.
 */
#define COLD_MIN 32

/* The largest double that may be converted to uint64_t, about 1.8e19 */
#define MAX_U64 18446744073709549568.0

static uint64_t add_saturated(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static void smooth_add(HybridSmooth *s, double value, double over_us)
{
    double weight = SMOOTHING * MIN(1.0, over_us / SETTLED_US);

    /* Both fade alike, so that the first sample does not start from zero */
    s->sum += weight * (value - s->sum);
    s->weight += weight * (1.0 - s->weight);
}

static double smooth_get(const HybridSmooth *s)
{
    return s->weight > 0.0 ? s->sum / s->weight : 0.0;
}

static uint64_t data_pages(const HybridRoundRecord *rec)
{
    return rec->pages > rec->zero_pages ? rec->pages - rec->zero_pages : 0;
}

/* True if going from @before to @after pages is a clear gain */
static bool clear_gain(const HybridRounds *r, double before, double after)
{
    return after * 100.0 <= before * (100.0 - r->cfg.min_gain);
}

/*
 * Bytes per second while data was sent, 0 if the round cannot tell.  The time
 * for zero pages is taken off: they cost a look at memory and next to no
 * bytes, so that a freshly booted guest would make any link look slow.  A
 * round that did little else has measured the memory, not the link.
 */
static double sending_us(const HybridRoundRecord *rec)
{
    double time = rec->time_us;
    double sending = time - rec->zero_pages * ZERO_PAGE_US;

    return sending < time / 2.0 ? 0.0 : sending;
}

static double round_throughput(const HybridRoundRecord *rec)
{
    double sending = sending_us(rec);
    double left = (double)rec->bytes - rec->grown;

    return sending > 0.0 && left > 0.0 ? left * 1e6 / sending : 0.0;
}

uint64_t hybrid_rounds_link(const HybridRoundRecord *rec, int64_t grown)
{
    double sending = sending_us(rec);
    double left = (double)rec->bytes - grown;

    if (sending < LINK_LEAST_US || left < LINK_LEAST_BYTES) {
        return 0;
    }
    return MAX(1.0, MIN(left * 1e6 / sending, MAX_U64));
}

/* Was the link much slower in this round than before, and is it for good? */
static void measure_dip(HybridRounds *r, const HybridRoundRecord *rec,
                        double throughput)
{
    r->dip = throughput > 0.0 && rec->time_us >= SETTLED_US &&
             throughput * DIP < smooth_get(&r->throughput);
    if (r->dip) {
        r->dips++;
        r->dips_us = add_saturated(r->dips_us, rec->time_us);
        if (r->dips < 2 || r->dips_us < HYBRID_ROUNDS_DIP_US) {
            return;
        }
        r->dip = false;
        r->throughput = r->bandwidth = (HybridSmooth) {};
    } else if (rec->time_us < SETTLED_US) {
        return;                 /* too short to say that it is over */
    }
    r->dips = 0;
    r->dips_us = 0;
}

static void measure(HybridRounds *r, HybridRoundRecord *rec)
{
    double throughput = round_throughput(rec);
    double bandwidth = rec->bandwidth ? (double)rec->bandwidth : throughput;
    double over_us;

    measure_dip(r, rec, throughput);
    r->fit_bandwidth = smooth_get(&r->bandwidth);
    if (!r->fit_bandwidth && rec->time_us) {
        /* So much it was at least, with the time for zero pages and all */
        r->fit_bandwidth = rec->bytes * 1e6 / rec->time_us;
    }
    if (throughput > 0.0 && !r->dip) {
        smooth_add(&r->throughput, throughput, rec->time_us);
    }
    if (bandwidth <= 0.0) {
        return;
    }
    over_us = rec->bytes * 1e6 / bandwidth;
    over_us = MAX(1.0, MIN(over_us, (double)rec->time_us));
    if (!r->dip) {
        smooth_add(&r->bandwidth, bandwidth, over_us);
    }
    r->fit_bandwidth = smooth_get(&r->bandwidth);
    if (over_us >= SETTLED_US) {
        /* A link that has just become slower is slow now, not on average */
        r->fit_bandwidth = MIN(r->fit_bandwidth, bandwidth);
    }
}

/* Pages that the stop may send, 0 if unknown */
static double fitting_pages(const HybridRounds *r)
{
    return r->fit_bandwidth * r->cfg.downtime_limit_us /
           (1e6 * MAX(1, r->cfg.page_size));
}

static bool fits(const HybridRounds *r, const HybridRoundRecord *rec)
{
    if (!rec->remaining_pages) {
        return true;
    }
    if (r->fit_bandwidth > 0.0) {
        return rec->remaining_pages <= fitting_pages(r);
    }
    /* Never measured: true if this round did at least as much in the limit */
    return data_pages(rec) >= rec->remaining_pages &&
           rec->time_us <= r->cfg.downtime_limit_us;
}

/*
 * Of the pages that the guest dirtied in the round, the part that was not
 * among the @kept_out hot ones: how well these foretell what is written.
 */
static void measure_missed(HybridRounds *r, const HybridRoundRecord *rec)
{
    double dirtied = rec->dirtied_pages;

    if (!rec->cut && r->kept_out && rec->dirtied_pages) {
        double both = r->kept_out + dirtied - rec->remaining_pages;

        r->missed = 1.0 - CLAMP(both, 0.0, dirtied) / dirtied;
    }
}

/* How long a round of @pages would take, 0 if unknown */
static double next_round_us(const HybridRounds *r,
                            const HybridRoundRecord *rec, double pages)
{
    double throughput = smooth_get(&r->throughput);
    double page_bytes = r->cfg.page_size;
    uint64_t sent = data_pages(rec);
    double page_us, next;

    if (throughput <= 0.0) {
        return 0.0;
    }
    /* Compression makes pages smaller; headers of zero pages do not */
    if (sent) {
        page_bytes = MIN(page_bytes, (double)rec->bytes / sent);
    }
    page_us = page_bytes * 1e6 / throughput;
    next = pages * page_us;
    if (r->rounds > 1 && !r->dip) {
        /*
         * What a round costs apart from its pages (the sync) the next one
         * costs, too.  Not so the first, which looks at all of memory.
         */
        next = MAX(next, rec->time_us + (pages - sent) * page_us);
    }
    return next;
}

/* What a round of @pages would do, as a working set function has it */
static bool dirtied_meanwhile(const HybridRounds *r, const HybridWset *wset,
                              const HybridRoundRecord *rec, double pages,
                              double *us, double *dirtied)
{
    uint64_t d;

    *us = next_round_us(r, rec, pages);
    if (*us <= 0.0 || !rec->time_us ||
        !hybrid_wset_get(wset, MIN(*us, MAX_U64), &d)) {
        return false;
    }
    *dirtied = d;
    return true;
}

/*
 * Pages that are sent again: those that were, those of the @left pages that
 * will be, and @further.
 */
static double sent_again(const HybridRounds *r, double left, double further)
{
    return MAX(0.0, (double)r->pages + left - r->total_pages) + further;
}

/* True if that stays within the bound */
static bool affordable(const HybridRounds *r, double again)
{
    uint64_t data = r->total_pages - MIN(r->total_pages, r->zero_pages);

    return !r->cfg.max_resend ||
           again * 100.0 <= (double)data * r->cfg.max_resend;
}

/*
 * True if a round of all that is not hot is a clear gain, or the rest of the
 * first one, which is sent once in any case.  It leaves the hot pages and
 * what else is dirtied meanwhile.  @cheap: it would send no more than a part
 * in vain, and that stays within the bound.
 */
static bool gain_by_cold(const HybridRounds *r, const HybridRoundRecord *rec,
                         bool *cheap)
{
    double cold = rec->remaining_pages -
                  MIN(rec->hot_pages, rec->remaining_pages);
    double left = rec->whole.remaining;
    double hot = MIN((double)rec->whole.hot, left);
    double us, dirtied, in_vain, after;
    /* A short first round leaves pages out before it is known which are hot */
    bool left_out = r->rounds == 1 && rec->deferred_pages >= COLD_MIN;

    *cheap = false;
    if ((!hot && !left_out) ||
        !dirtied_meanwhile(r, &r->whole, rec, cold, &us, &dirtied)) {
        return false;
    }
    in_vain = MAX(dirtied * r->missed, dirtied - hot);
    *cheap = in_vain <= (left - hot) * CHEAP &&
             (r->rounds == 1 || affordable(r, sent_again(r, left, in_vain)));
    /*
     * What the first round has left out for its neighbours' sake was never
     * sent.  The guest may read it, its kernel's code is among it: each page
     * that is missing after the switch may cost it a round trip.
     */
    if (r->rounds == 1 && *cheap && left - hot >= COLD_MIN) {
        return true;
    }
    after = MIN(hot + (left - hot) * MIN(1.0, us / rec->time_us),
                hot + in_vain);
    return clear_gain(r, left, after);
}

/*
 * True if rounds of all that is left converge: in each the guest dirties
 * clearly fewer pages than are sent, until the rest fits, and the pages that
 * are sent again on the way are not too many, or fewer than the handoff would
 * send again.
 */
static bool converges(const HybridRounds *r, const HybridRoundRecord *rec)
{
    double left = rec->remaining_pages;
    double again = 0.0, us, dirtied;

    /* Each leaves one percent less at least, so this ends */
    do {
        if (!dirtied_meanwhile(r, &r->wset, rec, left, &us, &dirtied) ||
            !clear_gain(r, left, dirtied)) {
            return false;
        }
        left = dirtied;
        again += dirtied;
    } while (left >= 1.0 && left > fitting_pages(r));

    again = sent_again(r, rec->remaining_pages, again);
    return affordable(r, again) ||
           (rec->whole.remaining > rec->remaining_pages &&
            again <= sent_again(r, rec->whole.remaining, 0.0));
}

/* How long the guest would wait for pages if @left were after the handoff */
static double wait_after(const HybridRounds *r, const HybridRoundRecord *rec,
                         double left)
{
    double us = next_round_us(r, rec, left);
    uint64_t touched;

    if (!hybrid_wset_get(&r->whole, MIN(us, MAX_U64), &touched)) {
        return 0.0;
    }
    return hybrid_wait_us(&r->wait, us, MIN(touched, left));
}

/*
 * True if a round of all that is left makes the handoff easier: it leaves
 * clearly less, and takes that much off what the guest then waits for, and
 * what it sends again is within the bound.
 */
static bool eases(const HybridRounds *r, HybridRoundRecord *rec)
{
    double left = rec->whole.remaining;
    double part, us, dirtied, saved;

    if (!hybrid_wait_matters(&r->wait) || !left ||
        !dirtied_meanwhile(r, &r->whole, rec, rec->remaining_pages, &us,
                           &dirtied)) {
        return false;
    }
    /* Differences are less, now and then */
    part = rec->handoff_pages ? MIN(1.0, rec->handoff_pages / left) : 1.0;
    rec->wait_us = wait_after(r, rec, left * part);
    rec->eased_us = wait_after(r, rec, dirtied * part);
    /* What is dirtied meanwhile is sent once more: so much longer it takes */
    saved = (double)rec->wait_us - rec->eased_us;
    return clear_gain(r, left, dirtied) &&
           saved * 100.0 >= next_round_us(r, rec, dirtied) * r->cfg.min_gain &&
           affordable(r, sent_again(r, rec->remaining_pages, dirtied));
}

/* Pages that another full round would leave, from the last rounds only */
static double predict(const HybridRounds *r, const HybridRoundRecord *rec)
{
    double dirtied = rec->remaining_pages;
    double time = rec->time_us;
    double last_dirtied = r->last_dirtied;
    double last_time = r->last_time_us;
    double next = next_round_us(r, rec, dirtied);
    double low, high, slope;

    if (next <= 0.0 || time <= 0.0) {
        /* No clock: as many pages are dirtied per page sent as just now */
        return rec->pages ? dirtied * (dirtied / rec->pages) : dirtied;
    }
    if (last_time <= 0.0) {
        return dirtied * (next / time);
    }
    if (time < last_time * SAME_LENGTH && last_time < time * SAME_LENGTH) {
        /* Two measurements of the same thing: their mean */
        return (dirtied + last_dirtied) * (next / (time + last_time));
    }
    low = dirtied * (next / time);
    slope = MAX(0.0, (dirtied - last_dirtied) / (time - last_time));
    if (slope * time >= dirtied) {
        /* No page is so hot that it is dirtied however short the round */
        return low;
    }
    high = MAX(0.0, dirtied + slope * (next - time));
    return (low + high) / 2.0;
}

static HybridReason bound_reached(const HybridRounds *r, uint64_t time_us,
                                  uint64_t bytes)
{
    if (r->cfg.max_time_us && time_us >= r->cfg.max_time_us) {
        return HYBRID_REASON_TIME_LIMIT;
    }
    if (r->cfg.max_bytes && bytes >= r->cfg.max_bytes) {
        return HYBRID_REASON_BYTE_LIMIT;
    }
    return HYBRID_REASON_NONE;
}

void hybrid_rounds_init(HybridRounds *r, const HybridRoundsConfig *cfg,
                        uint64_t total_pages)
{
    *r = (HybridRounds) {
        .cfg = *cfg,
        .total_pages = total_pages,
        .min_remaining = total_pages,
    };
    r->wait.rtt_us = cfg->rtt_us;
    r->endless = !cfg->min_gain;
    r->cfg.min_gain = CLAMP(r->cfg.min_gain, 1, 99);
}

void hybrid_rounds_limit(HybridRounds *r, uint64_t downtime_limit_us)
{
    r->cfg.downtime_limit_us = downtime_limit_us;
}

HybridReason hybrid_rounds_tick(const HybridRounds *r, uint64_t elapsed_us,
                                uint64_t total_bytes, bool requested)
{
    if (requested) {
        return HYBRID_REASON_REQUESTED;
    }
    return bound_reached(r, elapsed_us, total_bytes);
}

/* Is another round worth it, and which? */
static bool worth_a_round(HybridRounds *r, HybridRoundRecord *rec)
{
    double left = rec->remaining_pages;
    HybridNextRound next;

    if (r->stalled > HYBRID_ROUNDS_PATIENCE) {
        return false;
    }
    /* A minimum that rounds for the handoff's sake have bought is not free */
    if (clear_gain(r, left, r->min_remaining) &&
        (!r->eased || affordable(r, sent_again(r, left, r->min_remaining)))) {
        return true;
    }
    if (!r->samples) {
        return clear_gain(r, left, r->predicted);
    }
    rec->answers.asked = true;
    rec->answers.converge = converges(r, rec);
    rec->answers.gain = gain_by_cold(r, rec, &rec->answers.cheap);
    rec->answers.ease = eases(r, rec);
    next = hybrid_rounds_next(&rec->answers);
    rec->all = next == HYBRID_NEXT_ALL;
    r->eased |= rec->all && !rec->answers.converge;
    return next != HYBRID_NEXT_NONE;
}

/* After a full round that left something: why the rounds end, or NONE */
static HybridReason why_end(HybridRounds *r, HybridRoundRecord *rec)
{
    HybridReason bound;

    if (r->rounds >= r->cfg.max_rounds) {
        return HYBRID_REASON_ROUND_LIMIT;
    }
    bound = bound_reached(r, r->time_us, r->bytes);
    if (bound != HYBRID_REASON_NONE) {
        return bound;
    }
    if (worth_a_round(r, rec)) {
        return HYBRID_REASON_NONE;
    }
    if (fits(r, rec)) {
        return HYBRID_REASON_FITS;
    }
    if (r->dip && rec->remaining_pages <= smooth_get(&r->bandwidth) *
                                          r->cfg.downtime_limit_us /
                                          (1e6 * MAX(1, r->cfg.page_size))) {
        rec->all = true;        /* all that is in the way is the dip */
        return HYBRID_REASON_NONE;
    }
    if (r->endless) {
        rec->all = true;        /* nothing else makes the rest any smaller */
        return HYBRID_REASON_NONE;
    }
    return HYBRID_REASON_NO_GAIN;
}

void hybrid_rounds_sample(HybridRounds *r, uint64_t us, uint64_t pages,
                          uint64_t whole)
{
    hybrid_wset_add(&r->wset, us, pages);
    hybrid_wset_add(&r->whole, us, MAX(whole, pages));
    r->samples++;
}

void hybrid_rounds_sample_runs(HybridRounds *r, uint64_t us, uint64_t pages,
                               uint64_t runs)
{
    hybrid_wait_sample(&r->wait, us, pages, runs);
}

void hybrid_rounds_end(HybridRounds *r, HybridRoundRecord *rec)
{
    bool requested = rec->cut && (rec->cut_reason == HYBRID_REASON_REQUESTED ||
                                  rec->cut_reason == HYBRID_REASON_NONE);

    r->rounds += r->rounds < UINT32_MAX;
    rec->round = r->rounds;
    r->time_us = add_saturated(r->time_us, rec->time_us);
    r->bytes = add_saturated(r->bytes, rec->bytes);
    r->pages = add_saturated(r->pages, rec->pages);
    r->zero_pages = add_saturated(r->zero_pages, rec->zero_pages);
    rec->whole = (HybridWholePages) {
        .remaining = MAX(rec->whole.remaining, rec->remaining_pages),
        .dirtied = MAX(rec->whole.dirtied, rec->dirtied_pages),
        .hot = MAX(rec->whole.hot, rec->hot_pages),
    };
    measure(r, rec);
    measure_missed(r, rec);
    hybrid_wset_add(&r->wset, rec->time_us, rec->dirtied_pages);
    hybrid_wset_add(&r->whole, rec->time_us, rec->whole.dirtied);
    r->predicted = predict(r, rec);
    rec->all = false;
    rec->answers = (HybridRoundAnswers) {};
    rec->wait_us = rec->eased_us = 0;

    if (clear_gain(r, r->min_remaining, rec->remaining_pages)) {
        r->stalled = 0;
    } else if (!r->dip) {
        r->stalled += r->stalled < UINT32_MAX;
    }
    r->min_remaining = MIN(r->min_remaining, rec->remaining_pages);
    r->last_time_us = rec->time_us;
    r->last_dirtied = rec->cut ? rec->dirtied_pages : rec->remaining_pages;

    if (requested) {
        rec->reason = HYBRID_REASON_REQUESTED;
    } else if (!rec->remaining_pages) {
        rec->reason = HYBRID_REASON_CLEAN;
    } else if (rec->cut) {
        rec->reason = rec->cut_reason;
    } else {
        rec->reason = why_end(r, rec);
    }

    r->kept_out = rec->all ? 0 : rec->hot_pages;
    if (rec->reason == HYBRID_REASON_NONE) {
        rec->action = HYBRID_ACTION_CONTINUE;
    } else if (!requested && fits(r, rec)) {
        rec->action = HYBRID_ACTION_COMPLETE;
    } else {
        rec->action = HYBRID_ACTION_HANDOFF;
    }
}

double hybrid_rounds_bandwidth(const HybridRounds *r)
{
    return smooth_get(&r->bandwidth);
}

uint64_t hybrid_rounds_resend(const HybridRounds *r)
{
    double bytes = (double)(r->total_pages - MIN(r->total_pages,
                                                 r->zero_pages)) *
                   r->cfg.page_size * r->cfg.max_resend / 100.0;

    return r->cfg.max_resend ? MIN(bytes, MAX_U64) : UINT64_MAX;
}
