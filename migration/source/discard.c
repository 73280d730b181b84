/*
 * Hybrid live migration, source: discards.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Postcopy can place a page only where there is none, so what was sent and
 * is dirty again has to be dropped at the destination.  Upstream does all of
 * that while the guest stands still, twelve ranges to a flushed command and a
 * madvise() for each.  Here
 *   - pages that were never sent are not discarded by the source: huge pages
 *     are kept off, and what they have filled dropped, where it receives them
 *   - most is discarded just before the stop, while the guest runs: the stop
 *     is left with what the guest has dirtied since and had not before
 *   - thousands of ranges fit a message, and a thousand a system call; where
 *     they are more, several threads make these calls
 */

#include "migration/hybrid/source/state.h"
#include "qemu/bitmap.h"
#include "qemu/rcu.h"
#include "exec/ramblock.h"
#include "exec/target_page.h"
#include "migration/migration.h"
#include "migration/postcopy-ram.h"
#include "migration/qemu-file.h"
#include "migration/ram.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/common/point.h"
#include "migration/hybrid/policy/ranges.h"
#include "migration/hybrid/source/discard.h"
#include "migration/hybrid/source/block.h"
#include "migration/hybrid/source/probe.h"

typedef struct HybridDiscarder {
    QEMUFile *f;
    bool each;                  /* a message for each block, also if empty */
    uint64_t pages;
    uint64_t ranges;
    uint64_t messages;
} HybridDiscarder;

static HybridMessage hybrid_discard_new(RAMBlock *rb, HybridRangeWriter *w)
{
    HybridMessage m = hybrid_msg_new(HYBRID_MSG_DISCARD);

    hybrid_msg_put_text(&m, rb->idstr);
    *w = (HybridRangeWriter) { .out = m.bytes, .limit = HYBRID_MSG_MAX_BODY };
    return m;
}

static int hybrid_discard_block(RAMBlock *rb, void *opaque)
{
    HybridDiscarder *d = opaque;
    size_t page_size = qemu_target_page_size();
    HybridStale stale = {
        .dirty = rb->bmap,
        .sent = rb->hybrid->sent,
        .discarded = rb->hybrid->discarded,
        .pages = rb->used_length / page_size,
        .ratio = MAX(1, rb->page_size / page_size),
    };
    HybridMessage m = { 0 };
    HybridRangeWriter w;
    size_t first = 0, n;

    if (d->each) {
        m = hybrid_discard_new(rb, &w);
        d->messages++;
    }
    for (; (n = hybrid_stale_next(&stale, &first)); first += n) {
        if (m.bytes && !hybrid_range_put(&w, first, n)) {
            hybrid_msg_put_to_dst(d->f, &m);
        }
        if (!m.bytes) {
            m = hybrid_discard_new(rb, &w);
            hybrid_range_put(&w, first, n);
            d->messages++;
        }
        bitmap_set_atomic(rb->hybrid->discarded, first, n);
        d->ranges++;
        d->pages += n;
    }
    if (m.bytes) {
        hybrid_msg_put_to_dst(d->f, &m);
    }
    return 0;
}

bool hybrid_src_discard(MigrationState *s, RAMBlock *rb)
{
    HybridSource *h = hybrid_source();
    HybridDiscarder d = { .f = s->to_dst_file };

    if (!h->active || !(hybrid_shared_get(&h->flags) & HYBRID_FLAG_DISCARD) ||
        !rb->hybrid) {
        return false;
    }
    hybrid_source_in_thread();
    /* Of a migration that completes nothing is missing but what it sends */
    d.each = !h->discards_begun && !hybrid_shared_get(&h->completing);
    WITH_HYBRID_SOURCE_LOCK(h) {
        if (h->times.synced_us < 0) {
            h->times.synced_us = hybrid_now_us();
        }
    }
    hybrid_discard_block(rb, &d);
    hybrid_src_stamp(h, discarded_us);
    stat64_add(&h->discards_stopped, d.pages);
    trace_hybrid_discard("stopped", rb->idstr, d.pages, d.ranges, d.messages);
    return true;
}

void hybrid_discard_before_stop(MigrationState *s)
{
    /* The first message has the destination drop what no page was sent for */
    HybridDiscarder d = { .f = s->to_dst_file, .each = true };
    HybridSource *h = hybrid_source();

    if (!(hybrid_shared_get(&h->flags) & HYBRID_FLAG_DISCARD)) {
        return;
    }
    WITH_RCU_READ_LOCK_GUARD() {
        foreach_not_ignored_block(hybrid_discard_block, &d);
    }
    h->discards_begun = true;
    stat64_add(&h->discards_early, d.pages);
    trace_hybrid_discard("running", "", d.pages, d.ranges, d.messages);
    /*
     * The answer also says that nothing is left in the socket that the stop
     * would have to wait for.
     */
    hybrid_src_probe_rtt(s, INT64_MAX);
    hybrid_point("src-discarded");
}
