/*
 * Hybrid live migration, source: what is kept of each block of RAM, and which
 * pages were sent and why.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migration/hybrid/source/state.h"
#include "qapi/error.h"
#include "qemu/bitmap.h"
#include "qemu/bitops.h"
#include "qemu/rcu.h"
#include "exec/ramblock.h"
#include "exec/target_page.h"
#include "migration/migration.h"
#include "migration/ram.h"
#include "migration/hybrid/source/kick.h"
#include "migration/hybrid/source/block.h"

static int block_alloc(RAMBlock *rb, void *opaque)
{
    rb->hybrid = g_new0(HybridBlock, 1);
    rb->hybrid->sent = bitmap_new(qemu_ram_get_max_length(rb) >>
                                  qemu_target_page_bits());
    rb->hybrid->discarded = bitmap_new(qemu_ram_get_max_length(rb) >>
                                       qemu_target_page_bits());
    return 0;
}

uint64_t hybrid_block_key(RAMBlock *rb, unsigned long page)
{
    return (rb->offset >> qemu_target_page_bits()) + page;
}

size_t hybrid_block_pages(RAMBlock *rb)
{
    return qemu_ram_get_used_length(rb) >> qemu_target_page_bits();
}

unsigned hybrid_block_ratio(RAMBlock *rb)
{
    return MAX(1, qemu_ram_pagesize(rb) >> qemu_target_page_bits());
}

void hybrid_block_free(RAMBlock *rb)
{
    HybridBlock *hb = g_steal_pointer(&rb->hybrid);

    if (hb) {
        g_free(hb->sent);
        g_free(hb->discarded);
        g_free(hb->deferred);
        g_free(hb->pending);
        g_free(hb->fresh);
        g_free(hb->armed);
        g_free(hb->once);
        g_free(hb->recent);
        hybrid_heat_destroy(&hb->heat);
        g_free(hb);
    }
}

static int block_free(RAMBlock *rb, void *opaque)
{
    hybrid_block_free(rb);
    return 0;
}

void hybrid_blocks_init(void)
{
    hybrid_blocks_cleanup();
    RCU_READ_LOCK_GUARD();
    foreach_not_ignored_block(block_alloc, NULL);
}

void hybrid_blocks_cleanup(void)
{
    RCU_READ_LOCK_GUARD();
    foreach_not_ignored_block(block_free, NULL);
}

void hybrid_pages_sent(RAMBlock *rb, unsigned long page, int pages,
                       bool requested)
{
    HybridSource *h = hybrid_source();

    if (!h->active || !rb->hybrid || !pages) {
        return;
    }
    /* Two threads send with a preempt channel, never the same page at once */
    if (!test_bit(page, rb->hybrid->sent)) {
        set_bit_atomic(page, rb->hybrid->sent);
        stat64_add(&h->pages_first, 1);
    }
    if (test_bit(page, rb->hybrid->discarded)) {
        clear_bit_atomic(page, rb->hybrid->discarded);
    }
    stat64_add(&h->pages_total, 1);
    if (migration_thread_is_self()) {
        hybrid_source_in_thread();
        h->pages_main++;
    }
    if (requested) {
        stat64_add(&h->pages_on_demand, 1);
        hybrid_kick(h->kick);     /* it may have been the last */
    } else if (hybrid_shared_get(&h->package_sent)) {
        stat64_add(&h->pages_pushed, 1);
    }
}
