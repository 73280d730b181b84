/*
 * Hybrid live migration, source: which pages are worth a base (policy:
 * policy/worth.h).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The sample is of all pages that looks at the dirty log have found lately,
 * hot or not: what is dirty in the end is both.
 */

#include "migration/hybrid/source/state.h"
#include "qemu/bitmap.h"
#include "qemu/lockable.h"
#include "qemu/rcu.h"
#include "exec/ramblock.h"
#include "exec/ramlist.h"
#include "exec/target_page.h"
#include "migration/migration.h"
#include "migration/options.h"
#include "migration/ram.h"
#include "migration/xbzrle.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/common/clock.h"
#include "migration/hybrid/common/params.h"
#include "migration/hybrid/policy/delta.h"
#include "migration/hybrid/source/block.h"
#include "migration/hybrid/source/worth.h"

/* Between two attempts to find enough pages for a sample; chosen */
#define HYBRID_WORTH_LOOK_US 20000

typedef struct HybridPick {
    uint64_t key;
    const uint8_t *host;
} HybridPick;

struct HybridWorth {
    HybridWorthSample samples[2];   /* one at work, one complete */
    unsigned complete HYBRID_SOURCE_OWNED;
    HybridPick pick[HYBRID_WORTH_PICKS];
    /* of the picks as they were; then a page and what it differs by */
    uint8_t *copies HYBRID_SOURCE_OWNED;
    size_t page_size HYBRID_SOURCE_OWNED;
    int64_t copied_us HYBRID_SOURCE_OWNED;
    int64_t retry_us HYBRID_SOURCE_OWNED;
    unsigned version HYBRID_SOURCE_OWNED;   /* of the list of blocks */
    bool ended HYBRID_SOURCE_OWNED;

    Stat64 spent_us;            /* CPU time */
    const HybridWorthSample *decided_by HYBRID_SOURCE_OWNED;
    HybridWorthVerdict verdict HYBRID_SOURCE_GUARDED;
};

HybridWorth *hybrid_worth_new(void)
{
    return g_new0(HybridWorth, 1);
}

void TSA_NO_TSA hybrid_worth_end(HybridWorth *w)
{
    g_clear_pointer(&w->copies, g_free);
    w->ended = true;
}

void hybrid_worth_free(HybridWorth *w)
{
    if (w) {
        hybrid_worth_end(w);
        g_free(w);
    }
}

/* A huge page is placed as a whole, so it is sent as a whole */
static bool hybrid_worth_block(RAMBlock *rb)
{
    return rb->hybrid && hybrid_block_ratio(rb) == 1;
}

static int hybrid_worth_add_memory(RAMBlock *rb, void *opaque)
{
    if (hybrid_worth_block(rb)) {
        *(uint64_t *)opaque += qemu_ram_get_used_length(rb);
    }
    return 0;
}

uint64_t hybrid_worth_memory(void)
{
    uint64_t bytes = 0;

    RCU_READ_LOCK_GUARD();
    foreach_not_ignored_block(hybrid_worth_add_memory, &bytes);
    return bytes;
}

/* ---- the sample ---- */

typedef struct HybridPicking {
    uint64_t seen;              /* pages that might be picked */
    uint64_t nth[HYBRID_WORTH_PICKS];   /* which of them are */
    HybridPick *pick;
    unsigned wanted;
    unsigned picks;
} HybridPicking;

static int hybrid_worth_pick_block(RAMBlock *rb, void *opaque)
{
    HybridPicking *p = opaque;
    uint64_t page[HYBRID_WORTH_PICKS];
    unsigned found;

    if (!hybrid_worth_block(rb) || !rb->hybrid->deferred) {
        return 0;
    }
    p->seen = hybrid_heat_take(&rb->hybrid->heat, hybrid_block_pages(rb), 1,
                               p->seen, p->nth + p->picks,
                               p->wanted - p->picks, page, &found);
    for (unsigned i = 0; i < found; i++) {
        p->pick[p->picks++] = (HybridPick) {
            .key = hybrid_block_key(rb, page[i]),
            .host = rb->host + (page[i] << qemu_target_page_bits()),
        };
    }
    return 0;
}

static int hybrid_pick_compare(const void *a, const void *b)
{
    const HybridPick *x = a, *y = b;

    return x->key < y->key ? -1 : x->key > y->key;
}

/* Evenly among all that were found dirty, but not at a fixed distance */
static unsigned hybrid_worth_pick(HybridPick *pick)
{
    HybridPicking p = { .pick = pick };
    uint64_t all;

    foreach_not_ignored_block(hybrid_worth_pick_block, &p);
    all = p.seen;
    if (all < HYBRID_WORTH_LEAST) {
        return 0;
    }
    p.seen = 0;
    p.wanted = MIN(all, HYBRID_WORTH_PICKS);
    for (unsigned i = 0; i < p.wanted; i++) {
        uint64_t from = all * i / p.wanted;
        uint64_t to = all * (i + 1) / p.wanted;

        p.nth[i] = from + (uint64_t)(g_random_double() * (to - from));
    }
    foreach_not_ignored_block(hybrid_worth_pick_block, &p);
    qsort(pick, p.picks, sizeof(*pick), hybrid_pick_compare);
    return p.picks;
}

static HybridWorthSample *HYBRID_SOURCE_THREAD hybrid_worth_now(HybridWorth *w)
{
    return &w->samples[w->complete % 2];
}

static void HYBRID_SOURCE_THREAD hybrid_worth_copy(HybridWorth *w)
{
    uint64_t key[HYBRID_WORTH_PICKS];
    unsigned n;

    w->version = ram_list.version;
    w->page_size = qemu_target_page_size();
    if (!w->copies) {
        w->copies = g_try_malloc((HYBRID_WORTH_PICKS + 1) * w->page_size +
                                 HYBRID_DELTA_MAX);
        if (!w->copies) {
            w->ended = true;
            return;
        }
    }
    n = hybrid_worth_pick(w->pick);
    w->copied_us = hybrid_now_us();
    for (unsigned i = 0; i < n; i++) {
        key[i] = w->pick[i].key;
        memcpy(w->copies + i * w->page_size, w->pick[i].host, w->page_size);
    }
    hybrid_worth_begin(hybrid_worth_now(w), key, n);
}

static void HYBRID_SOURCE_THREAD
hybrid_worth_differences(HybridWorth *w, HybridWorthSample *s, int64_t age_us)
{
    uint8_t *page = w->copies + HYBRID_WORTH_PICKS * w->page_size;

    hybrid_worth_compare(s, age_us);
    for (unsigned i = 0; i < s->picks; i++) {
        int bytes;

        /* The guest writes meanwhile, and the encoder looks twice */
        memcpy(page, w->pick[i].host, w->page_size);
        bytes = xbzrle_encode_buffer(w->copies + i * w->page_size, page,
                                     w->page_size, page + w->page_size,
                                     HYBRID_DELTA_SHARE(w->page_size));
        hybrid_worth_add(s, i, bytes < 0 ? w->page_size :
                               bytes ? HYBRID_DELTA_HEAD + bytes : 0);
    }
    trace_hybrid_worth_sample(s->picks, age_us);
}

void hybrid_worth_look(HybridWorth *w, int64_t rounds_us)
{
    HybridWorthSample *s = hybrid_worth_now(w);
    int64_t now_us = hybrid_now_us();
    int64_t cpu_us;

    if (w->ended ||
        (s->picks ? !hybrid_worth_due(s, now_us - w->copied_us) :
                    now_us < w->retry_us) ||
        !hybrid_worth_affordable(stat64_get(&w->spent_us), rounds_us)) {
        return;
    }
    cpu_us = hybrid_thread_us();
    WITH_RCU_READ_LOCK_GUARD() {
        if (s->picks && w->version != ram_list.version) {
            s->picks = 0;       /* a block may have left with its device */
        }
        if (!s->picks) {
            hybrid_worth_copy(w);
            w->retry_us = now_us + HYBRID_WORTH_LOOK_US;
        } else {
            hybrid_worth_differences(w, s, now_us - w->copied_us);
        }
    }
    if (s->picks && hybrid_worth_complete(s, w->complete)) {
        w->complete++;
        hybrid_worth_now(w)->picks = 0;
    }
    stat64_add(&w->spent_us, hybrid_thread_us() - cpu_us);
}

/* ---- what is worth it ---- */

typedef struct HybridWorthWalk {
    const HybridWorthSample *sample;
    HybridWorthVerdict verdict;
    bool hot;                           /* the hot ones, or all others */
    HybridWorthTake *take;
    void *opaque;
} HybridWorthWalk;

/* False: no more */
static bool hybrid_worth_page(HybridWorthWalk *walk, RAMBlock *rb,
                              unsigned long page)
{
    unsigned r = hybrid_worth_region(walk->sample,
                                     hybrid_block_key(rb, page));

    return !walk->verdict.pays[r] || walk->take(rb, page, walk->opaque);
}

static int hybrid_worth_walk_block(RAMBlock *rb, void *opaque)
{
    HybridWorthWalk *walk = opaque;
    size_t pages = hybrid_block_pages(rb);
    g_autofree unsigned long *cold = NULL;
    g_autofree unsigned long *hot = NULL;
    unsigned long *map;

    if (!rb->bmap || !hybrid_worth_block(rb)) {
        return 0;
    }
    cold = bitmap_try_new(pages);
    hot = bitmap_try_new(pages);
    if (!cold || !hot) {
        return -ENOMEM;
    }
    bitmap_copy(cold, rb->bmap, pages);
    if (rb->hybrid->deferred) {
        /* It may have been set to 0 meanwhile */
        hybrid_page_bitmap_defer_hot(&rb->hybrid->heat, cold, hot, pages, 1,
                                     MAX(1, migrate_hybrid_hot_threshold()));
    }
    map = walk->hot ? hot : cold;
    for (size_t page = find_first_bit(map, pages); page < pages;
         page = find_next_bit(map, pages, page + 1)) {
        if (!hybrid_worth_page(walk, rb, page)) {
            return 1;
        }
    }
    return 0;
}

static const HybridWorthSample *HYBRID_SOURCE_THREAD
hybrid_worth_best(HybridWorth *w)
{
    return hybrid_worth_better(&w->samples[w->complete % 2],
                               &w->samples[(w->complete + 1) % 2]);
}

double hybrid_worth_saves(HybridWorth *w, const HybridWorthAsk *ask)
{
    HybridWorthVerdict v;

    hybrid_worth_judge(hybrid_worth_best(w), ask, &v);
    return v.known && v.worth ? v.share * (1.0 - v.bytes / ask->page_size) :
                                0.0;
}

const HybridWorthVerdict *TSA_NO_TSA
hybrid_worth_decide(HybridWorth *w, const HybridWorthAsk *ask)
{
    HybridWorthVerdict v;

    w->decided_by = hybrid_worth_best(w);
    hybrid_worth_judge(w->decided_by, ask, &v);
    trace_hybrid_worth_verdict(v.known, v.worth, v.share * 100, v.bytes,
                               v.changed * 100, v.all_bytes,
                               stat64_get(&w->spent_us));
    WITH_HYBRID_SOURCE_LOCK(hybrid_source()) {
        w->verdict = v;
    }
    /* Who changes it is this thread */
    return &w->verdict;
}

bool TSA_NO_TSA hybrid_worth_each(HybridWorth *w, bool hot,
                                  HybridWorthTake *take, void *opaque)
{
    HybridWorthWalk walk = {
        .sample = w->decided_by,
        .verdict = w->verdict,
        .hot = hot,
        .take = take,
        .opaque = opaque,
    };

    QEMU_LOCK_GUARD(ram_bitmap_mutex());
    RCU_READ_LOCK_GUARD();
    return foreach_not_ignored_block(hybrid_worth_walk_block, &walk) >= 0;
}

void HYBRID_SOURCE_LOCKED
hybrid_worth_info(HybridWorth *w, MigrationHybridDeltas *info)
{
    info->has_sample_time_us = true;
    info->sample_time_us = stat64_get(&w->spent_us);
    info->has_sample_bytes = info->has_sample_share = w->verdict.known;
    if (w->verdict.known) {
        info->sample_bytes = w->verdict.all_bytes;
        info->sample_share = w->verdict.share * 100;
    }
}
