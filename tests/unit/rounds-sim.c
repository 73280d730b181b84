/*
 * A guest and a link, simulated, that drive the policy of the rounds.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include <math.h>
#include "rounds-sim.h"

#define TICKS_PER_ROUND 1000
#define ZERO_PAGE_SECONDS (0.8 / 1000000)
#define PAGE_HEADER 9

HybridRoundsConfig sim_config(void)
{
    return (HybridRoundsConfig) {
        .max_rounds = 32,
        .min_gain = 25,
        .downtime_limit_us = 300000,
        .page_size = SIM_PAGE_SIZE,
    };
}

HybridRoundRecord sim_full_round(uint64_t pages, uint64_t left)
{
    return (HybridRoundRecord) {
        .pages = pages,
        .bytes = pages * SIM_PAGE_SIZE,
        .time_us = pages * SIM_PAGE_SIZE / 100,
        .remaining_pages = left,
        .dirtied_pages = left,
    };
}

/* Seconds before @t in which the set is written */
static double active_before(const SimSet *set, double t)
{
    if (set->period > 0) {
        return floor(t / set->period) * set->duty +
               fmin(fmod(t, set->period), set->duty);
    }
    if (set->end > 0) {
        return fmax(0, fmin(t, set->end) - set->begin);
    }
    return t;
}

/* Distinct pages written from @from to @to */
static double dirtied(const SimGuest *g, double from, double to)
{
    double sum = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(g->sets); i++) {
        const SimSet *set = &g->sets[i];
        double active = active_before(set, to) - active_before(set, from);

        if (set->pages > 0) {
            sum += set->pages * -expm1(-set->rate * active / set->pages);
        }
    }
    return fmin(sum, g->pages);
}

static double bandwidth_at(const SimGuest *g, double t)
{
    return g->slow_bandwidth > 0 && t >= g->slow_from ? g->slow_bandwidth
                                                      : g->bandwidth;
}

static double round_seconds(const SimGuest *g, double now, double data,
                            double zero)
{
    return g->overhead + zero * ZERO_PAGE_SECONDS +
           (data * (SIM_PAGE_SIZE + PAGE_HEADER) + zero * PAGE_HEADER) /
           bandwidth_at(g, now);
}

/* The part of the round that is done when a bound cuts it, 1 if none does */
static double part_done(const SimResult *res, double seconds, double bytes,
                        HybridReason *cut)
{
    for (unsigned i = 1; i < TICKS_PER_ROUND; i++) {
        double part = (double)i / TICKS_PER_ROUND;

        *cut = hybrid_rounds_tick(&res->policy,
                                  (res->seconds + seconds * part) * 1e6,
                                  res->policy.bytes + bytes * part, false);
        if (*cut != HYBRID_REASON_NONE) {
            return part;
        }
    }
    return 1;
}

void sim_run(const SimGuest *g, const HybridRoundsConfig *cfg, SimResult *res)
{
    GRand *rand = g_rand_new_with_seed(g->seed);
    double todo = g->pages, zero = g->zero_pages;

    memset(res, 0, sizeof(*res));
    hybrid_rounds_init(&res->policy, cfg, g->pages);
    do {
        HybridRoundRecord *rec = &res->record[res->rounds++];
        double data = todo - zero, begin = res->seconds;
        double seconds = round_seconds(g, begin, data, zero);
        double bytes = data * (SIM_PAGE_SIZE + PAGE_HEADER) +
                       zero * PAGE_HEADER;
        double part = part_done(res, seconds, bytes, &rec->cut_reason);
        double new_dirty, unsent = todo * (1 - part);

        res->seconds += seconds * part;
        new_dirty = dirtied(g, begin, res->seconds);
        new_dirty *= 1 + g->noise * g_rand_double_range(rand, -1, 1);
        new_dirty = floor(CLAMP(new_dirty, 0, g->pages));

        rec->cut = part < 1;
        rec->pages = todo * part;
        rec->zero_pages = zero * part;
        rec->bytes = bytes * part;
        rec->time_us = seconds * part * 1e6;
        rec->unsent_pages = unsent;
        rec->dirtied_pages = new_dirty * (1 - unsent / g->pages);
        rec->remaining_pages = rec->unsent_pages + rec->dirtied_pages;
        hybrid_rounds_end(&res->policy, rec);

        g_assert_cmpuint(rec->round, ==, res->rounds);
        res->sent += rec->pages;
        res->last = rec;
        todo = rec->remaining_pages;
        zero = 0;
    } while (res->last->action == HYBRID_ACTION_CONTINUE &&
             res->rounds < SIM_MAX_ROUNDS);

    res->next_remaining = dirtied(g, res->seconds, res->seconds +
                                  round_seconds(g, res->seconds, todo, 0));
    g_rand_free(rand);
}

void sim_write(const SimResult *res, const char *file, const char *comment)
{
    const HybridRoundsConfig *cfg = &res->policy.cfg;
    FILE *f = fopen(file, "w");

    g_assert_nonnull(f);
    fprintf(f, "# %s\n", comment);
    fprintf(f, "hybrid-rounds page-size=%" PRIu64 " total-pages=%" PRIu64
            " max-rounds=%u min-gain=%u max-resend=%u max-time-us=%" PRIu64
            " max-bytes=%" PRIu64 " downtime-limit-us=%" PRIu64 "\n",
            cfg->page_size, res->policy.total_pages, cfg->max_rounds,
            cfg->min_gain, cfg->max_resend, cfg->max_time_us, cfg->max_bytes,
            cfg->downtime_limit_us);
    for (unsigned i = 0; i < res->rounds; i++) {
        const HybridRoundRecord *r = &res->record[i];

        fprintf(f, "round=%u pages=%" PRIu64 " zero-pages=%" PRIu64
                " bytes=%" PRIu64 " remaining-pages=%" PRIu64
                " dirtied-pages=%" PRIu64 " unsent-pages=%" PRIu64
                " time-us=%" PRIu64 " bandwidth=%" PRIu64
                " cut=%s cut-reason=%s action=%s reason=%s\n",
                r->round, r->pages, r->zero_pages, r->bytes,
                r->remaining_pages, r->dirtied_pages, r->unsent_pages,
                r->time_us, r->bandwidth, r->cut ? "true" : "false",
                hybrid_reason_str(r->cut_reason),
                hybrid_action_str(r->action), hybrid_reason_str(r->reason));
    }
    g_assert_cmpint(fclose(f), ==, 0);
}
