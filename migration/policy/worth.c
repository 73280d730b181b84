/*
 * Hybrid live migration: is it worth sending pages as differences?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../osdep.h"
#include "worth.h"

/*
 * From the last base to the stop: looks at the dirty log, 15 ms, and what is
 * dropped at the destination.  Chosen.
 */
#define STOP_US 30000

/* D(t) is taken at so many ages of those that the bases will have */
#define STEPS 8

/* In vain goes a 16th of a page at least, or else it is not worth it; chosen */
#define LEAST_SHARE 16

void hybrid_worth_begin(HybridWorthSample *s, const uint64_t *page, unsigned n)
{
    s->picks = n < HYBRID_WORTH_LEAST ? 0 : MIN(n, HYBRID_WORTH_PICKS);
    s->ages = 0;
    memcpy(s->page, page, s->picks * sizeof(*page));
}

bool hybrid_worth_due(const HybridWorthSample *s, int64_t age_us)
{
    return s->picks && s->ages < HYBRID_WORTH_AGES &&
           age_us >= (int64_t)HYBRID_WORTH_AGE_US << s->ages;
}

void hybrid_worth_compare(HybridWorthSample *s, int64_t age_us)
{
    g_assert(s->ages < HYBRID_WORTH_AGES);
    s->at[s->ages++] = (HybridWorthPoint) { .age_us = age_us };
}

static unsigned region_of_pick(const HybridWorthSample *s, unsigned pick)
{
    return MIN(pick / HYBRID_WORTH_REGION, hybrid_worth_regions(s) - 1);
}

void hybrid_worth_add(HybridWorthSample *s, unsigned pick, uint32_t bytes)
{
    HybridWorthPoint *p = &s->at[s->ages - 1];
    unsigned r = region_of_pick(s, pick);

    g_assert(s->ages && pick < s->picks);
    p->region[r].changed += !!bytes;
    p->region[r].bytes += bytes;
}

bool hybrid_worth_complete(const HybridWorthSample *s, unsigned n)
{
    return s->ages >= MIN(3 + 2 * MIN(n, HYBRID_WORTH_AGES),
                          HYBRID_WORTH_AGES);
}

static int64_t oldest_us(const HybridWorthSample *s)
{
    return s->picks && s->ages ? s->at[s->ages - 1].age_us : 0;
}

const HybridWorthSample *hybrid_worth_better(const HybridWorthSample *now,
                                             const HybridWorthSample *last)
{
    /* With half of the age the younger one knows better what the guest does */
    return oldest_us(now) >= oldest_us(last) / 2 ? now : last;
}

unsigned hybrid_worth_regions(const HybridWorthSample *s)
{
    return s->picks / HYBRID_WORTH_REGION;
}

unsigned hybrid_worth_region(const HybridWorthSample *s, uint64_t page)
{
    unsigned low = 0, high = hybrid_worth_regions(s);

    while (high - low > 1) {
        unsigned middle = (low + high) / 2;

        if (page < s->page[middle * HYBRID_WORTH_REGION]) {
            high = middle;
        } else {
            low = middle;
        }
    }
    return low;
}

static unsigned picks_in(const HybridWorthSample *s, unsigned r)
{
    return r + 1 < hybrid_worth_regions(s) ? HYBRID_WORTH_REGION :
           s->picks - r * HYBRID_WORTH_REGION;
}

/* A line through two points, at @x; never falling */
static double line(double x0, double y0, double x1, double y1, double x)
{
    return x1 > x0 ? y0 + MAX(0.0, y1 - y0) * (x - x0) / (x1 - x0) : y1;
}

/* Bytes of a difference, or the part that has changed, at @age_us */
static double at_age(const HybridWorthSample *s, unsigned r, bool bytes,
                     double most, double age_us)
{
    double x0 = 0.0, y0 = 0.0, x1 = 0.0, y1 = 0.0;

    for (unsigned i = 0; i < s->ages && x1 <= age_us; i++) {
        const HybridWorthPoint *p = &s->at[i];

        x0 = x1;
        y0 = y1;
        x1 = p->age_us;
        y1 = (double)(bytes ? p->region[r].bytes : p->region[r].changed) /
             picks_in(s, r);
    }
    return CLAMP(line(x0, y0, x1, y1, age_us), 0.0, most);
}

/* The mean over bases that have been sent in @pass_us, until the stop */
static double mean(const HybridWorthSample *s, unsigned r, bool bytes,
                   double most, double pass_us)
{
    double sum = 0.0;

    for (unsigned i = 0; i < STEPS; i++) {
        sum += at_age(s, r, bytes, most,
                      STOP_US + pass_us * (2 * i + 1) / (2 * STEPS));
    }
    return sum / STEPS;
}

/*
 * Is a page changed, and not overwritten?  Small changes add up, so the first
 * age tells at which there is something to be seen: in a quarter of the pages.
 */
static bool changes_little(const HybridWorthSample *s, unsigned r, double size)
{
    uint32_t changed = 0, bytes = 0;

    for (unsigned i = 0; i < s->ages && changed * 4 < picks_in(s, r); i++) {
        changed = s->at[i].region[r].changed;
        bytes = s->at[i].region[r].bytes;
    }
    return bytes <= changed * size / 2.0;
}

void hybrid_worth_judge(const HybridWorthSample *s, const HybridWorthAsk *ask,
                        HybridWorthVerdict *v)
{
    unsigned regions = hybrid_worth_regions(s);
    double size = ask->page_size;
    double bytes[HYBRID_WORTH_REGIONS];
    double pass_us, in_vain = 0.0;

    *v = (HybridWorthVerdict) {
        .known = s->picks && s->ages && ask->bandwidth > 0.0,
    };
    if (!v->known) {
        return;
    }
    pass_us = ask->pages * size / ask->bandwidth * 1e6;
    for (unsigned r = 0; r < regions; r++) {
        double part = (double)picks_in(s, r) / s->picks;

        bytes[r] = mean(s, r, true, size, pass_us);
        v->all_bytes += part * bytes[r];
        v->changed += part * mean(s, r, false, 1.0, pass_us);
        v->pays[r] = changes_little(s, r, size);
    }
    /* What pays best first, until too much would be sent in vain */
    for (unsigned share = 2; share <= LEAST_SHARE; share *= 2) {
        v->share = v->bytes = 0.0;
        for (unsigned r = 0; r < regions; r++) {
            double part = (double)picks_in(s, r) / s->picks;

            v->pays[r] = v->pays[r] && bytes[r] <= size / share;
            if (v->pays[r]) {
                v->share += part;
                v->bytes += part * bytes[r];
            }
        }
        in_vain = v->bytes * ask->pages;
        if (in_vain <= ask->spare) {
            break;
        }
    }
    v->worth = v->share * ask->pages >= HYBRID_WORTH_LEAST &&
               in_vain <= ask->spare;
    v->bytes = v->share > 0.0 ? v->bytes / v->share : 0.0;
}

bool hybrid_worth_affordable(int64_t spent_us, int64_t elapsed_us)
{
    return spent_us <= 2000 + elapsed_us / 200;
}
