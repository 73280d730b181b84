/*
 * Hybrid live migration, source: the page bitmap (policy:
 * policy/page-bitmap.h).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reads the dirty log between the bitmap syncs, without what makes a sync a
 * round for the rest of QEMU (dirty-sync-count, MIGRATION_PASS, throttling).
 */

#include "migration/hybrid/source/state.h"
#include "qemu/bitmap.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "exec/memory.h"
#include "exec/ram_addr.h"
#include "exec/target_page.h"
#include "migration/migration.h"
#include "migration/ram.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/policy/page-bitmap.h"
#include "migration/hybrid/policy/sampler.h"
#include "migration/hybrid/source/block.h"
#include "migration/hybrid/source/dirty-log.h"
#include "migration/hybrid/source/page-bitmap.h"
#include "migration/hybrid/source/scan.h"

/*
 * Looks just before the switch, see hybrid_recent_add(): so many, so far apart.
 * Chosen: 15 ms are a few ticks of the guest's timer.  Measured is what they
 * bring, with the rest of what goes first: the guest is silent for 34 ms in
 * place of 55 (1 Gbit/s), and 164 in place of 1712 (WAN).
 */
#define HYBRID_RECENT_SAMPLES 5
#define HYBRID_RECENT_US      3000
/*
 * How many pages may go first: more would keep each other waiting.  Chosen:
 * 2 MiB, 17 ms of a link of 1 Gbit/s.
 */
#define HYBRID_RECENT_MAX     512

struct HybridPageBitmap {
    /* 0: off */
    unsigned threshold HYBRID_SOURCE_OWNED;
    HybridSampler sampler HYBRID_SOURCE_OWNED;
    /* when the log was */
    int64_t cleared_us HYBRID_SOURCE_OWNED;
    /* the log cannot be read without that */
    bool read_clears HYBRID_SOURCE_OWNED;
};

HybridPageBitmap *hybrid_src_page_bitmap_new(void)
{
    return g_new0(HybridPageBitmap, 1);
}

void hybrid_src_page_bitmap_free(HybridPageBitmap *b)
{
    g_free(b);
}

static int page_bitmap_alloc(RAMBlock *rb, void *opaque)
{
    HybridBlock *hb = rb->hybrid;
    size_t pages = rb->max_length >> TARGET_PAGE_BITS;

    hb->deferred = bitmap_new(pages);
    hb->pending = bitmap_new(pages);
    hb->fresh = bitmap_new(pages);
    hybrid_heat_init(&hb->heat, pages);
    hybrid_dirty_log_begin(rb);
    return 0;
}

void hybrid_src_page_bitmap_begin(unsigned threshold)
{
    HybridPageBitmap *b = hybrid_source()->page_bitmap;

    b->threshold = threshold;
    if (!threshold) {
        return;
    }
    BQL_LOCK_GUARD();
    RCU_READ_LOCK_GUARD();
    foreach_not_ignored_block(page_bitmap_alloc, NULL);
    hybrid_src_scan_begin();
    b->read_clears = hybrid_dirty_log_read_clears();
    b->cleared_us = hybrid_now_us();
    hybrid_sampler_start(&b->sampler, b->cleared_us);
}

typedef struct HybridFound {
    HybridLook look;
    uint64_t whole;             /* look.fresh in whole host pages */
    bool count_runs;
    uint64_t runs;              /* of neighbours in look.fresh */
    bool next_heat;
    bool warm;
    bool recent;
} HybridFound;

static int page_bitmap_look_block(RAMBlock *rb, void *opaque)
{
    HybridFound *found = opaque;
    HybridBlock *hb = rb->hybrid;
    size_t pages = hybrid_block_pages(rb);
    unsigned ratio = hybrid_block_ratio(rb);
    uint64_t known;

    if (found->look.cleared) {
        hybrid_dirty_log_clear(rb);
    }
    found->whole += hybrid_page_bitmap_whole(hb->fresh, pages, ratio);
    if (found->count_runs) {
        found->runs += hybrid_page_bitmap_runs(hb->fresh, pages);
    }
    if (found->next_heat) {
        hybrid_heat_next(&hb->heat);
    }
    /* What is not cleared will be found once more */
    found->look.fresh += hybrid_page_bitmap_sample(found->look.cleared ?
                                                   &hb->heat : NULL, hb->fresh,
                                                   rb->bmap, hb->deferred,
                                                   hb->pending, pages, ratio,
                                                   &known);
    found->look.known += known;
    if (found->warm) {
        hybrid_page_bitmap_defer_warm(rb->bmap, hb->deferred, hb->pending,
                                      pages, ratio);
    }
    if (found->recent) {
        hybrid_recent_add(hb->once, hb->recent, hb->fresh, pages);
    }
    bitmap_zero(hb->fresh, pages);
    return 0;
}

static int page_bitmap_read_block(RAMBlock *rb, void *opaque)
{
    *(uint64_t *)opaque += hybrid_dirty_log_read(rb);
    return 0;
}

/* Read the log, unless that is to clear it; true: it is to be cleared, too */
static bool HYBRID_SOURCE_THREAD
page_bitmap_read(HybridPageBitmap *b, int64_t now_us, int64_t cpu_begin_us)
{
    uint64_t pages = 0;

    if (b->read_clears) {
        return true;            /* it is paid before the next look */
    }
    foreach_not_ignored_block(page_bitmap_read_block, &pages);
    return hybrid_sampler_may_clear(&b->sampler, now_us,
                                    hybrid_thread_us() - cpu_begin_us, pages);
}

/* With look.cleared set before, the log is cleared whatever it costs */
static void HYBRID_SOURCE_THREAD
page_bitmap_look(HybridPageBitmap *b, HybridFound *found)
{
    int64_t now_us = hybrid_now_us();
    /* CPU time: to wait for the BQL costs nobody any */
    int64_t cpu_begin_us = hybrid_thread_us();

    bql_lock();
    memory_global_dirty_log_sync(false);
    WITH_QEMU_LOCK_GUARD(ram_bitmap_mutex()) {
        RCU_READ_LOCK_GUARD();
        found->look.cleared = found->look.cleared ||
                              page_bitmap_read(b, now_us, cpu_begin_us);
        found->next_heat = found->look.cleared && !found->recent &&
            hybrid_sampler_next_heat(&b->sampler, now_us);
        foreach_not_ignored_block(page_bitmap_look_block, found);
    }
    if (found->look.cleared) {
        memory_global_after_dirty_log_sync();
    }
    bql_unlock();
    found->look.cost_us = hybrid_thread_us() - cpu_begin_us;
}

bool hybrid_src_page_bitmap_sample(bool now, bool warm, uint64_t *over_us,
                                   uint64_t *fresh, uint64_t *whole,
                                   uint64_t *runs)
{
    HybridPageBitmap *b = hybrid_source()->page_bitmap;
    int64_t begin_us = hybrid_now_us();
    HybridFound found = {
        .look.cleared = now,
        .look.round_end = now,
        .warm = warm,
        .count_runs = runs,
    };

    if (!b->threshold ||
        !(now || hybrid_sampler_due(&b->sampler, begin_us))) {
        return false;
    }
    page_bitmap_look(b, &found);
    hybrid_sampler_done(&b->sampler, hybrid_now_us(), &found.look);
    *over_us = begin_us - b->cleared_us;
    *fresh = found.look.fresh;
    *whole = found.whole;
    if (runs) {
        *runs = found.runs;
    }
    if (found.look.cleared) {
        b->cleared_us = begin_us;
    }
    trace_hybrid_page_bitmap_sample(*over_us, found.look.fresh,
                                    found.look.known, found.look.cost_us,
                                    found.look.cleared);
    if (found.whole != found.look.fresh) {
        trace_hybrid_page_bitmap_sample_whole(found.whole);
    }
    if (runs) {
        trace_hybrid_page_bitmap_sample_runs(found.runs);
    }
    return true;
}

/* Target pages, and all those of the host pages that they are in */
typedef struct HybridCount {
    uint64_t pages;
    uint64_t whole;
} HybridCount;

static uint64_t HYBRID_SOURCE_THREAD
page_bitmap_each(RAMBlockIterFunc *func, uint64_t *whole)
{
    HybridCount count = { 0 };

    if (hybrid_source()->page_bitmap->threshold) {
        QEMU_LOCK_GUARD(ram_bitmap_mutex());
        RCU_READ_LOCK_GUARD();
        foreach_not_ignored_block(func, &count);
    }
    if (whole) {
        *whole = count.whole;
    }
    return count.pages;
}

static void count_add(HybridCount *count, RAMBlock *rb,
                             const unsigned long *map)
{
    size_t pages = hybrid_block_pages(rb);

    count->pages += bitmap_count_one(map, pages);
    count->whole += hybrid_page_bitmap_whole(map, pages,
                                             hybrid_block_ratio(rb));
}

static int recent_alloc(RAMBlock *rb, void *opaque)
{
    HybridBlock *hb = rb->hybrid;
    size_t pages = rb->max_length >> TARGET_PAGE_BITS;

    g_free(hb->once);
    g_free(hb->recent);
    hb->once = bitmap_new(pages);
    hb->recent = bitmap_new(pages);
    return 0;
}

static int count_recent(RAMBlock *rb, void *opaque)
{
    count_add(opaque, rb, rb->hybrid->recent);
    return 0;
}

static int recent_only_lone(RAMBlock *rb, void *opaque)
{
    g_autofree unsigned long *all = g_steal_pointer(&rb->hybrid->recent);

    rb->hybrid->recent = bitmap_new(rb->max_length >> TARGET_PAGE_BITS);
    hybrid_recent_lone(all, rb->hybrid->recent, hybrid_block_pages(rb));
    return 0;
}

/* Huge pages keep each other waiting: their heat has to do */
static int recent_no_huge(RAMBlock *rb, void *opaque)
{
    if (hybrid_block_ratio(rb) > 1) {
        bitmap_zero(rb->hybrid->recent, hybrid_block_pages(rb));
    }
    return 0;
}

static int count_lone(RAMBlock *rb, void *opaque)
{
    HybridCount *count = opaque;

    if (hybrid_block_ratio(rb) == 1) {
        count->pages += hybrid_recent_lone(rb->bmap, NULL,
                                           hybrid_block_pages(rb));
    }
    return 0;
}

static int recent_add_lone(RAMBlock *rb, void *opaque)
{
    if (hybrid_block_ratio(rb) == 1) {
        hybrid_recent_lone(rb->bmap, rb->hybrid->recent,
                           hybrid_block_pages(rb));
    }
    return 0;
}

bool hybrid_src_page_bitmap_recent(void)
{
    HybridPageBitmap *b = hybrid_source()->page_bitmap;
    HybridFound found = { .recent = true, .look.cleared = true };
    unsigned n;

    if (!b->threshold) {
        return false;
    }
    WITH_RCU_READ_LOCK_GUARD() {
        foreach_not_ignored_block(recent_alloc, NULL);
    }
    /* With much memory a look takes long, and so close ones say nothing */
    for (n = 0; n < HYBRID_RECENT_SAMPLES &&
                found.look.cost_us < HYBRID_RECENT_US; n++) {
        g_usleep(HYBRID_RECENT_US);
        page_bitmap_look(b, &found);
    }
    trace_hybrid_page_bitmap_recent(n, found.look.fresh, found.look.cost_us);
    return true;
}

void hybrid_src_page_bitmap_choose_recent(void)
{
    uint64_t found, whole, lone;

    found = page_bitmap_each(count_recent, &whole);
    if (whole > found && whole > HYBRID_RECENT_MAX) {
        page_bitmap_each(recent_no_huge, NULL);
        found = page_bitmap_each(count_recent, NULL);
    }
    if (found > HYBRID_RECENT_MAX) {
        page_bitmap_each(recent_only_lone, NULL);
    }
    lone = page_bitmap_each(count_lone, NULL);
    if (lone <= HYBRID_RECENT_MAX) {
        page_bitmap_each(recent_add_lone, NULL);
    }
    trace_hybrid_page_bitmap_recent_chosen(found, lone,
                                           page_bitmap_each(count_recent,
                                           NULL));
}

int64_t hybrid_src_page_bitmap_merge(RAMBlock *rb)
{
    HybridBlock *hb = rb->hybrid;

    if (!hb || !hb->deferred) {
        return 0;
    }
    return hybrid_page_bitmap_merge(rb->bmap, hb->deferred, hb->pending,
                                    hybrid_block_pages(rb));
}

uint64_t hybrid_src_page_bitmap_kept(RAMBlock *rb)
{
    return rb->hybrid && rb->hybrid->deferred ?
           bitmap_count_one(rb->hybrid->deferred, hybrid_block_pages(rb)) : 0;
}

static int count_deferred(RAMBlock *rb, void *opaque)
{
    count_add(opaque, rb, rb->hybrid->deferred);
    return 0;
}

static int count_pending(RAMBlock *rb, void *opaque)
{
    count_add(opaque, rb, rb->hybrid->pending);
    return 0;
}

static int HYBRID_SOURCE_THREAD count_hot(RAMBlock *rb, void *opaque)
{
    unsigned threshold = hybrid_source()->page_bitmap->threshold;
    HybridCount *count = opaque;
    uint64_t whole;

    count->pages += hybrid_page_bitmap_count_hot(&rb->hybrid->heat, rb->bmap,
                                                 hybrid_block_pages(rb),
                                                 hybrid_block_ratio(rb),
                                                 threshold, &whole);
    count->whole += whole;
    return 0;
}

static int HYBRID_SOURCE_THREAD defer_hot(RAMBlock *rb, void *opaque)
{
    hybrid_page_bitmap_defer_hot(&rb->hybrid->heat, rb->bmap,
                                 rb->hybrid->deferred, hybrid_block_pages(rb),
                                 hybrid_block_ratio(rb),
                                 hybrid_source()->page_bitmap->threshold);
    return 0;
}

uint64_t hybrid_src_page_bitmap_deferred(void)
{
    return page_bitmap_each(count_deferred, NULL);
}

uint64_t hybrid_src_page_bitmap_pending(uint64_t *whole)
{
    return page_bitmap_each(count_pending, whole);
}

uint64_t hybrid_src_page_bitmap_hot(uint64_t *whole)
{
    return page_bitmap_each(count_hot, whole);
}

void hybrid_src_page_bitmap_defer_hot(void)
{
    page_bitmap_each(defer_hot, NULL);
}

static int count_whole(RAMBlock *rb, void *opaque)
{
    if (hybrid_block_ratio(rb) > 1) {
        HybridCount count = { 0 };

        count_add(&count, rb, rb->bmap);
        *(uint64_t *)opaque += count.whole - count.pages;
    }
    return 0;
}

uint64_t hybrid_src_page_bitmap_whole(void)
{
    uint64_t more = 0;

    QEMU_LOCK_GUARD(ram_bitmap_mutex());
    RCU_READ_LOCK_GUARD();
    foreach_not_ignored_block(count_whole, &more);
    return ram_bytes_remaining() / TARGET_PAGE_SIZE + more;
}
