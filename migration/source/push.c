/*
 * Hybrid live migration, source: what is pushed next in postcopy (policy:
 * policy/push.h).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The migration thread picks with ram.c's bitmap_mutex held; the return path
 * thread brings the faults without it.  The pusher's lock nests inside that
 * mutex and inside the source's; nothing but RCU is taken inside it.
 * The policy reads the bitmaps only to pick (then no other thread changes
 * them) and to see whether a requested page was sent: that may be seen a
 * moment too early or too late and only counts.
 */

#include "migration/hybrid/source/state.h"
#include "qemu/rcu.h"
#include "exec/ramblock.h"
#include "exec/target_page.h"
#include "migration/migration.h"
#include "migration/ram.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/common/params.h"
#include "migration/hybrid/policy/page-bitmap.h"
#include "migration/hybrid/policy/push.h"
#include "migration/hybrid/source/block.h"
#include "migration/hybrid/source/kick.h"
#include "migration/hybrid/source/push.h"

/*
 * About the least time in which a destination loads the state of devices: so
 * long it took for the small guest of docs/qmp-reference.md (stop.load-us 2986)
 */
#define HYBRID_PUSH_LOAD_US   3000
/* And at most so many pages go meanwhile, whatever the link carries; chosen */
#define HYBRID_PUSH_EARLY_MAX 1024

HYBRID_LOCK_NAME(hybrid_pusher);
#define HYBRID_PUSHER_GUARDED TSA_GUARDED_BY(hybrid_pusher_locked)

struct HybridPusher {
    QemuMutex lock;
    /* from the first fault or pick on */
    HybridPush *policy HYBRID_PUSHER_GUARDED;
    /* of RAMBlock *, in the policy's order */
    GArray *blocks HYBRID_PUSHER_GUARDED;
};

HYBRID_LOCK_OF(HybridPusher, hybrid_pusher)

HybridPusher *hybrid_pusher_new(void)
{
    HybridPusher *push = g_new0(HybridPusher, 1);

    qemu_mutex_init(&push->lock);
    return push;
}

void TSA_NO_TSA hybrid_pusher_free(HybridPusher *push)
{
    if (push) {
        g_clear_pointer(&push->policy, hybrid_push_free);
        g_clear_pointer(&push->blocks, g_array_unref);
        qemu_mutex_destroy(&push->lock);
        g_free(push);
    }
}

static int TSA_NO_TSA hybrid_push_add(RAMBlock *rb, void *opaque)
{
    HybridPusher *push = opaque;

    if (rb->bmap) {
        g_array_append_val(push->blocks, rb);
    }
    return 0;
}

/* The guest runs elsewhere: blocks neither come nor go any more */
static void TSA_REQUIRES(hybrid_pusher_locked)
hybrid_push_begin(HybridPusher *push)
{
    g_autofree HybridPushBlock *blocks = NULL;

    push->blocks = g_array_new(false, false, sizeof(RAMBlock *));
    WITH_RCU_READ_LOCK_GUARD() {
        foreach_not_ignored_block(hybrid_push_add, push);
    }
    blocks = g_new0(HybridPushBlock, push->blocks->len);
    for (guint i = 0; i < push->blocks->len; i++) {
        RAMBlock *rb = g_array_index(push->blocks, RAMBlock *, i);

        blocks[i].dirty = rb->bmap;
        blocks[i].pages = rb->used_length >> qemu_target_page_bits();
        blocks[i].ratio = qemu_ram_pagesize(rb) >> qemu_target_page_bits();
        if (rb->hybrid) {
            blocks[i].heat = rb->hybrid->heat.chunk;
            blocks[i].recent = rb->hybrid->recent;
        }
    }
    push->policy = hybrid_push_new(blocks, push->blocks->len,
                                   HYBRID_HEAT_CHUNK);
}

bool hybrid_push_active(void)
{
    HybridSource *h = hybrid_source();

    return h->active && !h->observe &&
           migrate_get_current()->state == MIGRATION_STATUS_POSTCOPY_ACTIVE;
}

bool hybrid_push_pick_early(RAMBlock **block, unsigned long *page)
{
    HybridSource *h = hybrid_source();
    HybridPusher *push = h->push;
    uint64_t found, pages;
    unsigned n;

    HYBRID_LOCK_GUARD(hybrid_pusher, push);
    if (!h->early_pages) {
        return false;
    }
    if (!push->policy) {
        hybrid_push_begin(push);
    }
    if (!hybrid_push_next_recent(push->policy, h->early_pages, &n, &found,
                                 &pages)) {
        h->early_pages = 0;
        return false;
    }
    *block = g_array_index(push->blocks, RAMBlock *, n);
    *page = found;
    h->early_pages -= pages;
    return true;
}

void hybrid_push_early_begin(void)
{
    HybridSource *h = hybrid_source();
    double bandwidth = hybrid_rounds_bandwidth(h->rounds);
    int64_t us = HYBRID_PUSH_LOAD_US;

    WITH_HYBRID_SOURCE_LOCK(h) {
        us += 2 * MAX(0, hybrid_rtt_one_way(&h->rtt));
    }
    h->early_pages = 0;
    if (migrate_hybrid_push_policy() == MIGRATION_HYBRID_PUSH_POLICY_BUBBLE) {
        h->early_pages = MIN(HYBRID_PUSH_EARLY_MAX, bandwidth * us / 1000000 /
                                                    qemu_target_page_size());
    }
}

void hybrid_push_pick(RAMBlock **block, unsigned long *page)
{
    HybridSource *h = hybrid_source();
    HybridPusher *push = h->push;
    uint64_t found;
    unsigned n;

    HYBRID_LOCK_GUARD(hybrid_pusher, push);
    if (!push->policy) {
        hybrid_push_begin(push);
    }
    if (hybrid_push_next(push->policy, &n, &found, hybrid_now_us())) {
        *block = g_array_index(push->blocks, RAMBlock *, n);
        *page = found;
    }
}

void hybrid_push_fault(RAMBlock *rb, unsigned long page)
{
    HybridSource *h = hybrid_source();
    HybridPusher *push = h->push;

    if (!h->active || h->observe) {
        return;
    }
    hybrid_kick(h->kick);
    HYBRID_LOCK_GUARD(hybrid_pusher, push);
    if (!push->policy) {
        hybrid_push_begin(push);
    }
    trace_hybrid_push_fault(rb->idstr, page);
    for (guint i = 0; i < push->blocks->len; i++) {
        if (g_array_index(push->blocks, RAMBlock *, i) == rb) {
            hybrid_push_note_fault(push->policy, i, page, hybrid_now_us());
            break;
        }
    }
}

bool hybrid_push_idle(void)
{
    return hybrid_push_active() && ram_bytes_remaining() &&
           migrate_hybrid_push_policy() ==
           MIGRATION_HYBRID_PUSH_POLICY_ON_DEMAND;
}

MigrationHybridPush *hybrid_push_info(void)
{
    HybridPusher *push = hybrid_source()->push;
    MigrationHybridPush *info;
    HybridPushStats s;

    HYBRID_LOCK_GUARD(hybrid_pusher, push);
    if (!push->policy) {
        return NULL;
    }
    hybrid_push_stats(push->policy, &s);
    info = g_new0(MigrationHybridPush, 1);
    info->policy = migrate_hybrid_push_policy();
    info->remaining_pages = ram_bytes_remaining() / qemu_target_page_size();
    info->faults = s.faults;
    info->late = s.late;
    info->hits = s.hits;
    info->hit_ratio = s.hit_percent;
    info->recent_pages = s.picked[HYBRID_PUSH_RECENT];
    info->bubble_pages = s.picked[HYBRID_PUSH_BUBBLE];
    info->heat_pages = s.picked[HYBRID_PUSH_HEAT];
    info->rest_pages = s.picked[HYBRID_PUSH_REST];
    info->pivots_begun = s.begun;
    info->pivots_merged = s.merged;
    info->pivots_retired = s.retired;
    info->window = s.window;
    return info;
}
