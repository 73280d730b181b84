/*
 * Hybrid live migration, source: the page bitmap's glue.
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
#include "migration/hybrid/policy/hot.h"
#include "migration/hybrid/source/defer.h"
#include "migration/hybrid/source/log.h"
#include "migration/hybrid/source/pages.h"

/* Looks just before the switch; see hybrid_recent_add() */
#define HYBRID_RECENT_SAMPLES 5
#define HYBRID_RECENT_US      3000
/* How many pages may go first: more would keep each other waiting */
#define HYBRID_RECENT_MAX     512

struct HybridDefer {
    unsigned threshold;         /* 0: off */
    HybridSampler sampler;
    int64_t cleared_us;         /* when the log was */
    bool read_clears;           /* the log cannot be read without that */

    /* the order of the first round */
    GArray *parts;              /* of HybridPart, the blocks */
    size_t chunks;              /* of all of them */
    HybridScan scan;
    bool scanning;
    uint32_t version;           /* of the list of blocks that parts is of */
};

/* Chunks @first to @first + @chunks - 1 of the scan are those of @rb */
typedef struct HybridPart {
    RAMBlock *rb;
    size_t first;
    size_t chunks;
} HybridPart;

HybridDefer *hybrid_defer_new(void)
{
    return g_new0(HybridDefer, 1);
}

void hybrid_defer_free(HybridDefer *d)
{
    if (d) {
        g_clear_pointer(&d->parts, g_array_unref);
        g_free(d);
    }
}

static unsigned hybrid_block_ratio(RAMBlock *rb)
{
    return MAX(1, rb->page_size >> TARGET_PAGE_BITS);
}

static int hybrid_defer_alloc(RAMBlock *rb, void *opaque)
{
    HybridBlock *hb = rb->hybrid;
    size_t pages = rb->max_length >> TARGET_PAGE_BITS;

    hb->deferred = bitmap_new(pages);
    hb->pending = bitmap_new(pages);
    hb->fresh = bitmap_new(pages);
    hybrid_heat_init(&hb->heat, pages);
    hybrid_log_begin(rb);
    return 0;
}

static int hybrid_defer_add_part(RAMBlock *rb, void *opaque)
{
    HybridDefer *d = opaque;
    HybridPart part = {
        .rb = rb,
        .first = d->chunks,
        .chunks = DIV_ROUND_UP(hybrid_block_pages(rb), HYBRID_HOT_CHUNK),
    };

    g_array_append_val(d->parts, part);
    d->chunks += part.chunks;
    return 0;
}

static void hybrid_defer_begin_scan(HybridDefer *d)
{
    g_clear_pointer(&d->parts, g_array_unref);
    d->parts = g_array_new(false, false, sizeof(HybridPart));
    d->chunks = 0;
    d->version = ram_list.version;
    smp_rmb();                  /* the version, then the list */
    foreach_not_ignored_block(hybrid_defer_add_part, d);
    hybrid_scan_init(&d->scan, d->chunks);
    d->scanning = hybrid_scan_next(&d->scan);
}

/*
 * In the current chunk, the first page to be sent.  A host page that is larger
 * than a chunk goes as a whole: the destination can replace it only whole, so
 * a part of it alone would be sent in vain.
 */
static bool hybrid_defer_in_chunk(HybridDefer *d, RAMBlock **block,
                                  unsigned long *page)
{
    for (guint i = 0; i < d->parts->len; i++) {
        HybridPart *part = &g_array_index(d->parts, HybridPart, i);
        size_t chunk = d->scan.chunk - part->first;
        size_t begin = chunk * HYBRID_HOT_CHUNK, end, size;

        if (d->scan.chunk < part->first || chunk >= part->chunks) {
            continue;
        }
        size = MAX(HYBRID_HOT_CHUNK, hybrid_block_ratio(part->rb));
        begin = QEMU_ALIGN_DOWN(begin, size);
        end = MIN(begin + size, hybrid_block_pages(part->rb));
        *page = find_next_bit(part->rb->bmap, end, begin);
        *block = part->rb;
        return *page < end;
    }
    g_assert_not_reached();
}

void hybrid_defer_pick(RAMBlock **block, unsigned long *page)
{
    HybridDefer *d = hybrid_source()->defer;
    unsigned long found;
    RAMBlock *rb;

    /*
     * A device that was unplugged has taken its memory along (or more has
     * come): what is left of the round goes in the order of addresses.  A
     * block that goes now stays until the caller's RCU section ends.
     */
    if (d->scanning && ram_list.version != d->version) {
        d->scanning = false;
    }
    while (d->scanning) {
        if (hybrid_defer_in_chunk(d, &rb, &found)) {
            *block = rb;
            *page = found;
            return;
        }
        d->scanning = hybrid_scan_next(&d->scan);
    }
}

void hybrid_defer_begin(unsigned threshold)
{
    HybridDefer *d = hybrid_source()->defer;

    d->threshold = threshold;
    d->scanning = false;
    if (!threshold) {
        return;
    }
    BQL_LOCK_GUARD();
    RCU_READ_LOCK_GUARD();
    foreach_not_ignored_block(hybrid_defer_alloc, NULL);
    hybrid_defer_begin_scan(d);
    d->read_clears = hybrid_log_read_clears();
    d->cleared_us = hybrid_now_us();
    hybrid_sampler_start(&d->sampler, d->cleared_us);
}

/* CPU time of this thread */
static int64_t hybrid_thread_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1000000ll + t.tv_nsec / 1000;
}

typedef struct HybridFound {
    HybridLook look;
    uint64_t whole;             /* look.fresh in whole host pages */
    bool next_heat;
    bool warm;
    bool recent;
} HybridFound;

static int hybrid_defer_look_block(RAMBlock *rb, void *opaque)
{
    HybridFound *found = opaque;
    HybridBlock *hb = rb->hybrid;
    size_t pages = hybrid_block_pages(rb);
    uint64_t known;

    if (found->look.cleared) {
        hybrid_log_clear(rb);
    }
    found->whole += hybrid_hot_whole(hb->fresh, pages, hybrid_block_ratio(rb));
    if (found->next_heat) {
        hybrid_heat_next(&hb->heat);
    }
    /* What is not cleared will be found once more */
    found->look.fresh += hybrid_hot_sample(
        found->look.cleared ? &hb->heat : NULL, hb->fresh, rb->bmap,
        hb->deferred, hb->pending, pages, hybrid_block_ratio(rb), &known);
    found->look.known += known;
    if (found->warm) {
        hybrid_hot_defer_warm(rb->bmap, hb->deferred, hb->pending, pages,
                              hybrid_block_ratio(rb));
    }
    if (found->recent) {
        hybrid_recent_add(hb->once, hb->recent, hb->fresh, pages);
    }
    bitmap_zero(hb->fresh, pages);
    return 0;
}

static int hybrid_defer_read_block(RAMBlock *rb, void *opaque)
{
    *(uint64_t *)opaque += hybrid_log_read(rb);
    return 0;
}

/* Read the log, unless that is to clear it; true: it is to be cleared, too */
static bool hybrid_defer_read(HybridDefer *d, int64_t now_us,
                              int64_t cpu_begin_us)
{
    uint64_t pages = 0;

    if (d->read_clears) {
        return true;            /* it is paid before the next look */
    }
    foreach_not_ignored_block(hybrid_defer_read_block, &pages);
    return hybrid_sampler_may_clear(&d->sampler, now_us,
                                    hybrid_thread_us() - cpu_begin_us, pages);
}

/* With look.cleared set before, the log is cleared whatever it costs */
static void hybrid_defer_look(HybridDefer *d, HybridFound *found)
{
    int64_t now_us = hybrid_now_us();
    /* CPU time: to wait for the BQL costs nobody any */
    int64_t cpu_begin_us = hybrid_thread_us();

    bql_lock();
    memory_global_dirty_log_sync(false);
    WITH_QEMU_LOCK_GUARD(ram_bitmap_mutex()) {
        RCU_READ_LOCK_GUARD();
        found->look.cleared = found->look.cleared ||
                              hybrid_defer_read(d, now_us, cpu_begin_us);
        found->next_heat = found->look.cleared && !found->recent &&
            hybrid_sampler_next_heat(&d->sampler, now_us);
        foreach_not_ignored_block(hybrid_defer_look_block, found);
    }
    if (found->look.cleared) {
        memory_global_after_dirty_log_sync();
    }
    bql_unlock();
    found->look.cost_us = hybrid_thread_us() - cpu_begin_us;
}

bool hybrid_defer_sample(bool now, bool warm, uint64_t *over_us,
                         uint64_t *fresh, uint64_t *whole)
{
    HybridDefer *d = hybrid_source()->defer;
    int64_t begin_us = hybrid_now_us();
    HybridFound found = {
        .look.cleared = now,
        .look.round_end = now,
        .warm = warm,
    };

    if (!d->threshold ||
        !(now || hybrid_sampler_due(&d->sampler, begin_us))) {
        return false;
    }
    hybrid_defer_look(d, &found);
    hybrid_sampler_done(&d->sampler, hybrid_now_us(), &found.look);
    *over_us = begin_us - d->cleared_us;
    *fresh = found.look.fresh;
    *whole = found.whole;
    if (found.look.cleared) {
        d->cleared_us = begin_us;
    }
    trace_hybrid_sample(*over_us, found.look.fresh, found.look.known,
                        found.look.cost_us, found.look.cleared);
    if (found.whole != found.look.fresh) {
        trace_hybrid_sample_whole(found.whole);
    }
    return true;
}

/* Target pages, and all those of the host pages that they are in */
typedef struct HybridCount {
    uint64_t pages;
    uint64_t whole;
} HybridCount;

static uint64_t hybrid_defer_each(RAMBlockIterFunc *func, uint64_t *whole)
{
    HybridCount count = { 0 };

    if (hybrid_source()->defer->threshold) {
        QEMU_LOCK_GUARD(ram_bitmap_mutex());
        RCU_READ_LOCK_GUARD();
        foreach_not_ignored_block(func, &count);
    }
    if (whole) {
        *whole = count.whole;
    }
    return count.pages;
}

static void hybrid_count_add(HybridCount *count, RAMBlock *rb,
                             const unsigned long *map)
{
    size_t pages = hybrid_block_pages(rb);

    count->pages += bitmap_count_one(map, pages);
    count->whole += hybrid_hot_whole(map, pages, hybrid_block_ratio(rb));
}

static int hybrid_recent_alloc(RAMBlock *rb, void *opaque)
{
    HybridBlock *hb = rb->hybrid;
    size_t pages = rb->max_length >> TARGET_PAGE_BITS;

    g_free(hb->once);
    g_free(hb->recent);
    hb->once = bitmap_new(pages);
    hb->recent = bitmap_new(pages);
    return 0;
}

static int hybrid_recent_count(RAMBlock *rb, void *opaque)
{
    hybrid_count_add(opaque, rb, rb->hybrid->recent);
    return 0;
}

static int hybrid_recent_only_lone(RAMBlock *rb, void *opaque)
{
    g_autofree unsigned long *all = g_steal_pointer(&rb->hybrid->recent);

    rb->hybrid->recent = bitmap_new(rb->max_length >> TARGET_PAGE_BITS);
    hybrid_recent_lone(all, rb->hybrid->recent, hybrid_block_pages(rb));
    return 0;
}

/* Huge pages keep each other waiting: their heat has to do */
static int hybrid_recent_no_huge(RAMBlock *rb, void *opaque)
{
    if (hybrid_block_ratio(rb) > 1) {
        bitmap_zero(rb->hybrid->recent, hybrid_block_pages(rb));
    }
    return 0;
}

static int hybrid_dirty_count_lone(RAMBlock *rb, void *opaque)
{
    HybridCount *count = opaque;

    if (hybrid_block_ratio(rb) == 1) {
        count->pages += hybrid_recent_lone(rb->bmap, NULL,
                                           hybrid_block_pages(rb));
    }
    return 0;
}

static int hybrid_dirty_add_lone(RAMBlock *rb, void *opaque)
{
    if (hybrid_block_ratio(rb) == 1) {
        hybrid_recent_lone(rb->bmap, rb->hybrid->recent,
                           hybrid_block_pages(rb));
    }
    return 0;
}

bool hybrid_defer_recent(void)
{
    HybridDefer *d = hybrid_source()->defer;
    HybridFound found = { .recent = true, .look.cleared = true };
    unsigned n;

    if (!d->threshold) {
        return false;
    }
    WITH_RCU_READ_LOCK_GUARD() {
        foreach_not_ignored_block(hybrid_recent_alloc, NULL);
    }
    /* With much memory a look takes long, and so close ones say nothing */
    for (n = 0; n < HYBRID_RECENT_SAMPLES &&
                found.look.cost_us < HYBRID_RECENT_US; n++) {
        g_usleep(HYBRID_RECENT_US);
        hybrid_defer_look(d, &found);
    }
    trace_hybrid_recent(n, found.look.fresh, found.look.cost_us);
    return true;
}

void hybrid_defer_recent_choose(void)
{
    uint64_t found, whole, lone;

    found = hybrid_defer_each(hybrid_recent_count, &whole);
    if (whole > found && whole > HYBRID_RECENT_MAX) {
        hybrid_defer_each(hybrid_recent_no_huge, NULL);
        found = hybrid_defer_each(hybrid_recent_count, NULL);
    }
    if (found > HYBRID_RECENT_MAX) {
        hybrid_defer_each(hybrid_recent_only_lone, NULL);
    }
    lone = hybrid_defer_each(hybrid_dirty_count_lone, NULL);
    if (lone <= HYBRID_RECENT_MAX) {
        hybrid_defer_each(hybrid_dirty_add_lone, NULL);
    }
    trace_hybrid_recent_chosen(found, lone,
                               hybrid_defer_each(hybrid_recent_count, NULL));
}

int64_t hybrid_defer_merge(RAMBlock *rb)
{
    HybridBlock *hb = rb->hybrid;

    if (!hb || !hb->deferred) {
        return 0;
    }
    return hybrid_hot_merge(rb->bmap, hb->deferred, hb->pending,
                            hybrid_block_pages(rb));
}

uint64_t hybrid_defer_kept(RAMBlock *rb)
{
    return rb->hybrid && rb->hybrid->deferred ?
           bitmap_count_one(rb->hybrid->deferred, hybrid_block_pages(rb)) : 0;
}

static int hybrid_defer_count_block(RAMBlock *rb, void *opaque)
{
    hybrid_count_add(opaque, rb, rb->hybrid->deferred);
    return 0;
}

static int hybrid_pending_count_block(RAMBlock *rb, void *opaque)
{
    hybrid_count_add(opaque, rb, rb->hybrid->pending);
    return 0;
}

static int hybrid_hot_count_block(RAMBlock *rb, void *opaque)
{
    HybridCount *count = opaque;
    uint64_t whole;

    count->pages += hybrid_hot_count(&rb->hybrid->heat, rb->bmap,
                                     hybrid_block_pages(rb),
                                     hybrid_block_ratio(rb),
                                     hybrid_source()->defer->threshold, &whole);
    count->whole += whole;
    return 0;
}

static int hybrid_hot_defer_block(RAMBlock *rb, void *opaque)
{
    hybrid_hot_defer(&rb->hybrid->heat, rb->bmap, rb->hybrid->deferred,
                     hybrid_block_pages(rb), hybrid_block_ratio(rb),
                     hybrid_source()->defer->threshold);
    return 0;
}

uint64_t hybrid_defer_deferred(void)
{
    return hybrid_defer_each(hybrid_defer_count_block, NULL);
}

uint64_t hybrid_defer_pending(uint64_t *whole)
{
    return hybrid_defer_each(hybrid_pending_count_block, whole);
}

uint64_t hybrid_defer_hot(uint64_t *whole)
{
    return hybrid_defer_each(hybrid_hot_count_block, whole);
}

void hybrid_defer_hot_pages(void)
{
    hybrid_defer_each(hybrid_hot_defer_block, NULL);
}

static int hybrid_whole_block(RAMBlock *rb, void *opaque)
{
    if (hybrid_block_ratio(rb) > 1) {
        HybridCount count = { 0 };

        hybrid_count_add(&count, rb, rb->bmap);
        *(uint64_t *)opaque += count.whole - count.pages;
    }
    return 0;
}

uint64_t hybrid_defer_whole(void)
{
    uint64_t more = 0;

    QEMU_LOCK_GUARD(ram_bitmap_mutex());
    RCU_READ_LOCK_GUARD();
    foreach_not_ignored_block(hybrid_whole_block, &more);
    return ram_bytes_remaining() / TARGET_PAGE_SIZE + more;
}
