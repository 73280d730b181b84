/*
 * Hybrid live migration: is it worth sending pages as differences?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A base replaces a page that is sent after the switch by one that is sent
 * before it, and what is sent after it is the difference.  So it costs the
 * bytes of the difference, which are sent in vain, and where these are as many
 * as the page has it costs a page and wins nothing.  What a guest does cannot
 * be known but measured: of the pages that it dirties while the rounds run a
 * sample is copied, and compared after 20 ms, 40 ms, and so on, with what is
 * there then.  That gives D(t), the mean bytes of a difference to a base of
 * age t.
 *
 * A guest may have some memory that it overwrites, and some of which it changes
 * little.  The sample is divided into regions of as many pages each, in the
 * order of addresses, and each region is judged by itself.  It pays if
 *
 * - the pages that have changed differ by no more than half of the page when
 *   that is first seen: who overwrites pages, and be it seldom, is not sent one
 *   more round, as the rounds' policy has decided against that;
 * - D(t), over the ages that the bases will have at the stop, is a small part
 *   of the page: half of it, or less if the bytes of all differences would be
 *   more than may be sent in vain.
 *
 * As each page is dirtied again and again, D(t) is concave: beyond the oldest
 * age the line through the last two is not too low.
 *
 * Units: pages are target pages, known by any number that grows with the
 * address; times are microseconds.  Locking: none.
 */

#ifndef QEMU_MIGRATION_HYBRID_WORTH_H
#define QEMU_MIGRATION_HYBRID_WORTH_H

#include "../osdep.h"

/*
 * Pages of a sample, and of a region at least.  Chosen: 16 pages tell a half
 * from little, and a look at 256 takes under a millisecond.
 */
#define HYBRID_WORTH_PICKS   256
#define HYBRID_WORTH_REGION  16
#define HYBRID_WORTH_REGIONS (HYBRID_WORTH_PICKS / HYBRID_WORTH_REGION)

/* Fewer pages are not worth the trouble: 256 KiB.  Chosen. */
#define HYBRID_WORTH_LEAST   64

/* A sample is compared at this age, and at each double of it; chosen */
#define HYBRID_WORTH_AGES    8
#define HYBRID_WORTH_AGE_US  20000

typedef struct HybridWorthPoint {
    int64_t age_us;
    struct {
        uint32_t changed;       /* pages */
        uint32_t bytes;         /* of all differences */
    } region[HYBRID_WORTH_REGIONS];
} HybridWorthPoint;

typedef struct HybridWorthSample {
    unsigned picks;             /* 0: there is none */
    uint64_t page[HYBRID_WORTH_PICKS]; /* ascending */
    unsigned ages;
    HybridWorthPoint at[HYBRID_WORTH_AGES];
} HybridWorthSample;

/* A new sample of the @n pages at @page, which differ and ascend */
void hybrid_worth_begin(HybridWorthSample *s, const uint64_t *page, unsigned n);

/* Is it time, at @age_us, to compare it? */
bool hybrid_worth_due(const HybridWorthSample *s, int64_t age_us);

/* It is compared at @age_us: then, for each pick, what it differs by */
void hybrid_worth_compare(HybridWorthSample *s, int64_t age_us);

/* @bytes: 0, no change; or as a difference, or a page, takes in the stream */
void hybrid_worth_add(HybridWorthSample *s, unsigned pick, uint32_t bytes);

/*
 * A guest changes, and what is sampled early is what it wrote just then: the
 * samples become longer, 80 ms the first one.  Is the sample number @n (from 0)
 * complete?
 */
bool hybrid_worth_complete(const HybridWorthSample *s, unsigned n);

/* Of the sample at work and the complete one before it, which tells more? */
const HybridWorthSample *hybrid_worth_better(const HybridWorthSample *now,
                                             const HybridWorthSample *last);

unsigned hybrid_worth_regions(const HybridWorthSample *s);
unsigned hybrid_worth_region(const HybridWorthSample *s, uint64_t page);

typedef struct HybridWorthAsk {
    uint32_t page_size;         /* bytes */
    uint64_t pages;             /* that might get a base */
    double bandwidth;           /* bytes/s */
    uint64_t spare;             /* bytes that may be sent in vain */
} HybridWorthAsk;

typedef struct HybridWorthVerdict {
    bool known;                 /* there was a sample */
    bool worth;                 /* some regions are */
    bool pays[HYBRID_WORTH_REGIONS];
    double share;               /* part of the pages that are in these */
    double bytes;               /* D, a page of these */
    /* of all that was sampled */
    double all_bytes;           /* D */
    double changed;             /* part of the pages that will have changed */
} HybridWorthVerdict;

void hybrid_worth_judge(const HybridWorthSample *s, const HybridWorthAsk *ask,
                        HybridWorthVerdict *verdict);

/*
 * What sampling costs is CPU time of the migration thread: may it take more
 * now?  Half a percent of the time since the rounds began, and 2 ms in the
 * beginning.  Chosen.
 */
bool hybrid_worth_affordable(int64_t spent_us, int64_t elapsed_us);

#endif
