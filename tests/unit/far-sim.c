/*
 * A guest, page by page, that is migrated over a link with a delay.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include <math.h>
#include "policy/page-bitmap.h"
#include "policy/sampler.h"
#include "policy/scan.h"
#include "far-sim.h"

#define BITS (8 * sizeof(unsigned long))
#define DIV_ROUND_UP(n, d) (((n) + (d) - 1) / (d))
#define HOT 3                   /* of four samples */
#define LOOK_US 100             /* of CPU time */
#define KERNEL_RATE 200.0       /* pages a second */
#define KERNEL_PAGES 64
/* Between two looks at the clock a round sends so many */
#define PIECE 16

typedef struct Far {
    const FarGuest *g;
    GRand *rand;
    double *zipf;               /* of the set: the sum of what comes first */
    unsigned long *bmap, *deferred, *pending, *log, *fresh;
    HybridHeat heat;
    HybridSampler sampler;
    double now, writes, ticks;  /* seconds: now, the next write, the kernel's */
    double cleared;
    size_t next;                /* of the writer in order */
    bool first;                 /* round */
    FarResult *res;
} Far;

static bool get(const unsigned long *map, size_t page)
{
    return map[page / BITS] >> page % BITS & 1;
}

static void set(unsigned long *map, size_t page)
{
    map[page / BITS] |= 1ul << page % BITS;
}

static bool take(unsigned long *map, size_t page)
{
    bool was = get(map, page);

    map[page / BITS] &= ~(1ul << page % BITS);
    return was;
}

static size_t words(const Far *f)
{
    return DIV_ROUND_UP(f->g->pages, BITS);
}

static uint64_t count(const Far *f, const unsigned long *map)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < words(f); i++) {
        sum += __builtin_popcountl(map[i]);
    }
    return sum;
}

static double page_seconds(const Far *f)
{
    bool dip = f->now >= f->g->dip_from && f->now < f->g->dip_to;

    return (dip ? 10 : 1) / f->g->link;
}

/* The set lies in the middle of memory */
static size_t written(Far *f)
{
    const FarGuest *g = f->g;
    size_t low = 0, high = g->set, n = 0;
    double at;

    switch (g->writer) {
    case FAR_IN_ORDER:
        n = f->next++ % g->set;
        break;
    case FAR_RANDOM:
        n = g_rand_int_range(f->rand, 0, g->set);
        break;
    case FAR_ZIPF:
        at = g_rand_double(f->rand) * f->zipf[g->set - 1];
        while (low < high) {
            n = (low + high) / 2;
            if (f->zipf[n] < at) {
                low = n + 1;
            } else {
                high = n;
            }
        }
        n = low * 7919 % g->set;        /* hot ones are no neighbours */
        break;
    }
    return (g->pages - g->set) / 2 + n;
}

/* The kernel's few pages, all over memory */
static size_t kernel_page(Far *f)
{
    return g_rand_int_range(f->rand, 0, KERNEL_PAGES) *
           (f->g->pages / KERNEL_PAGES);
}

static void guest_runs(Far *f, double seconds)
{
    f->now += seconds;
    for (; f->g->set && f->writes <= f->now; f->writes += 1 / f->g->rate) {
        set(f->log, written(f));
    }
    for (; f->ticks <= f->now; f->ticks += 1 / KERNEL_RATE) {
        set(f->log, kernel_page(f));
    }
}

/* As hybrid_src_page_bitmap_sample() does it */
static void look(Far *f, bool now)
{
    HybridLook l = { .cost_us = LOOK_US, .round_end = now };
    int64_t us = f->now * 1e6;
    uint64_t over_us = (f->now - f->cleared) * 1e6, runs;

    if (!now && !hybrid_sampler_due(&f->sampler, us)) {
        return;
    }
    memcpy(f->fresh, f->log, words(f) * sizeof(*f->log));
    l.cleared = now || hybrid_sampler_may_clear(&f->sampler, us, LOOK_US,
                                                count(f, f->log));
    if (l.cleared && hybrid_sampler_next_heat(&f->sampler, us)) {
        hybrid_heat_next(&f->heat);
    }
    runs = hybrid_page_bitmap_runs(f->fresh, f->g->pages);
    l.fresh = hybrid_page_bitmap_sample(l.cleared ? &f->heat : NULL, f->fresh,
                                        f->bmap, f->deferred, f->pending,
                                        f->g->pages, 1, &l.known);
    if (f->first) {
        hybrid_page_bitmap_defer_warm(f->bmap, f->deferred, f->pending,
                                      f->g->pages, 1);
    }
    hybrid_rounds_sample(&f->res->policy, over_us, l.fresh, l.fresh);
    hybrid_rounds_sample_runs(&f->res->policy, over_us, l.fresh, runs);
    hybrid_sampler_done(&f->sampler, us, &l);
    if (l.cleared) {
        memset(f->log, 0, words(f) * sizeof(*f->log));
        f->cleared = f->now;
    }
}

static uint64_t send_chunk(Far *f, size_t begin, size_t end)
{
    uint64_t sent = 0, piece = 0;

    for (size_t page = begin; page < MIN(end, f->g->pages); page++) {
        if (!take(f->bmap, page)) {
            continue;
        }
        sent++;
        if (++piece == PIECE) {
            guest_runs(f, piece * page_seconds(f));
            look(f, false);
            piece = 0;
        }
    }
    guest_runs(f, piece * page_seconds(f));
    look(f, false);
    return sent;
}

static uint64_t send_round(Far *f)
{
    uint64_t sent = 0;
    HybridScan scan;

    hybrid_scan_init(&scan, DIV_ROUND_UP(f->g->pages, HYBRID_HEAT_CHUNK));
    while (f->first ? hybrid_scan_next(&scan) : scan.done < scan.chunks) {
        size_t chunk = f->first ? scan.chunk : scan.done++;

        sent += send_chunk(f, chunk * HYBRID_HEAT_CHUNK,
                           (chunk + 1) * HYBRID_HEAT_CHUNK);
    }
    return sent;
}

static bool one_round(Far *f)
{
    FarResult *res = f->res;
    double begin = f->now;
    HybridRoundRecord *rec = &res->last;
    uint64_t whole;

    *rec = (HybridRoundRecord) { .pages = send_round(f) };
    rec->time_us = (f->now - begin) * 1e6;
    rec->bytes = rec->pages * 4104;
    look(f, true);
    rec->deferred_pages = count(f, f->deferred);
    rec->dirtied_pages = count(f, f->pending);
    hybrid_page_bitmap_merge(f->bmap, f->deferred, f->pending, f->g->pages);
    rec->remaining_pages = count(f, f->bmap);
    rec->hot_pages = hybrid_page_bitmap_count_hot(&f->heat, f->bmap,
                                                  f->g->pages, 1, HOT, &whole);
    if (f->g->differs > 0) {
        rec->handoff_pages = 1 + rec->remaining_pages * f->g->differs;
    }
    rec->bandwidth = hybrid_rounds_link(rec, 0);
    hybrid_rounds_end(&res->policy, rec);
    g_test_message("%s: round %u, %" PRIu64 " sent in %.3f s, %" PRIu64
                   " left (%" PRIu64 " hot), waits %.3f s, then %.3f s: %s%s%s",
                   f->g->name, rec->round, rec->pages, rec->time_us / 1e6,
                   rec->remaining_pages, rec->hot_pages, rec->wait_us / 1e6,
                   rec->eased_us / 1e6, hybrid_action_str(rec->action),
                   rec->all ? ", all" : "", rec->answers.ease ? ", eases" : "");
    res->eased += rec->all && rec->answers.ease && !rec->answers.converge;
    if (rec->action == HYBRID_ACTION_CONTINUE && !rec->all) {
        hybrid_page_bitmap_defer_hot(&f->heat, f->bmap, f->deferred,
                                     f->g->pages, 1, HOT);
    }
    f->first = false;
    return rec->action == HYBRID_ACTION_CONTINUE;
}

/* A page that is sent arrives half a round trip later */
static void push(Far *f, double until, double *link, size_t *at, double *there)
{
    while (*link <= until) {
        size_t n = 0;

        while (n < f->g->pages && !take(f->bmap, *at)) {
            *at = (*at + 1) % f->g->pages;
            n++;
        }
        if (n == f->g->pages) {
            return;
        }
        there[*at] = *link + f->g->rtt_us / 2e6;
        *link += 1 / f->g->link;
    }
}

/*
 * The guest runs at the destination: one channel, and the push goes on behind
 * what was asked for last.  A page that is on its way is waited for, too.
 */
static void after_handoff(Far *f)
{
    g_autofree double *there = g_new0(double, f->g->pages);
    double link = 0, now = f->g->rtt_us / 2e6, one_way = now;
    size_t at = 0;

    for (size_t page = 0; page < f->g->pages; page++) {
        there[page] = get(f->bmap, page) ? HUGE_VAL : 0;
    }
    while (f->g->set && count(f, f->bmap)) {
        size_t page = written(f);

        push(f, now, &link, &at, there);
        if (there[page] > now) {
            double begin = now;

            if (there[page] == HUGE_VAL) {
                push(f, now + one_way, &link, &at, there);
                if (take(f->bmap, page)) {
                    link = MAX(link, now + one_way);
                    there[page] = link + one_way;
                    link += 1 / f->g->link;
                }
                at = page;
                f->res->faults++;
            }
            now = there[page];
            f->res->wait += now - begin;
        }
        now += 1 / f->g->rate;
    }
}

void far_run(const FarGuest *g, bool weigh, uint32_t max_resend,
             FarResult *res)
{
    Far f = {
        .g = g, .rand = g_rand_new_with_seed(1), .res = res, .first = true,
        .writes = g->begin,
    };
    HybridRoundsConfig cfg = {
        .max_rounds = 32, .min_gain = 25, .max_resend = max_resend,
        .downtime_limit_us = 30000, .page_size = 4096,
        .rtt_us = weigh ? g->rtt_us : 0,
    };
    unsigned long **maps[] = { &f.bmap, &f.deferred, &f.pending, &f.log,
                               &f.fresh };
    double sum = 0;
    uint64_t sent;
    bool more;

    *res = (FarResult) {};
    hybrid_rounds_init(&res->policy, &cfg, g->pages);
    hybrid_heat_init(&f.heat, g->pages);
    hybrid_sampler_start(&f.sampler, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(maps); i++) {
        *maps[i] = g_new0(unsigned long, words(&f));
    }
    for (size_t page = 0; page < g->pages; page++) {
        set(f.bmap, page);
    }
    f.zipf = g_new0(double, MAX(1, g->set));
    for (size_t n = 0; n < g->set; n++) {
        f.zipf[n] = sum += 1.0 / (n + 1);
    }
    do {
        more = one_round(&f);
    } while (more);
    res->seconds = f.now + res->last.remaining_pages / g->link;
    sent = res->policy.pages;
    res->again = sent - MIN(sent, g->pages);
    sent += res->last.remaining_pages;
    res->resends = sent - MIN(sent, g->pages);
    if (res->last.action == HYBRID_ACTION_HANDOFF) {
        after_handoff(&f);
    }
    g_test_message("%s, %s: %.2f s, %" PRIu64 " resends, %s, %" PRIu64
                   " left; %u faults, waits %.3f s", g->name,
                   weigh ? "weighed" : "as before", res->seconds, res->resends,
                   hybrid_action_str(res->last.action),
                   res->last.remaining_pages, res->faults, res->wait);
    hybrid_heat_destroy(&f.heat);
    for (size_t i = 0; i < G_N_ELEMENTS(maps); i++) {
        g_free(*maps[i]);
    }
    g_free(f.zipf);
    g_rand_free(f.rand);
}
