/*
 * Hybrid live migration: which pages were sent, and why.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "hybrid-internal.h"
#include "qemu/bitmap.h"
#include "qemu/bitops.h"
#include "qemu/rcu.h"
#include "exec/ramblock.h"
#include "exec/target_page.h"
#include "migration.h"
#include "ram.h"

static int hybrid_pages_alloc(RAMBlock *rb, void *opaque)
{
    rb->hybrid_sentmap = bitmap_new(qemu_ram_get_max_length(rb) >>
                                    qemu_target_page_bits());
    return 0;
}

static int hybrid_pages_free(RAMBlock *rb, void *opaque)
{
    g_clear_pointer(&rb->hybrid_sentmap, g_free);
    return 0;
}

/* BQL held: blocks can neither come nor go during a migration */
void hybrid_pages_init(void)
{
    hybrid_pages_cleanup();
    RCU_READ_LOCK_GUARD();
    foreach_not_ignored_block(hybrid_pages_alloc, NULL);
}

void hybrid_pages_cleanup(void)
{
    RCU_READ_LOCK_GUARD();
    foreach_not_ignored_block(hybrid_pages_free, NULL);
}

void hybrid_pages_sent(RAMBlock *rb, unsigned long page, int pages,
                       bool requested)
{
    HybridSrc *h = &hybrid_src;

    if (!h->active || !rb->hybrid_sentmap || !pages) {
        return;
    }
    /* Two threads send with a preempt channel, never the same page at once */
    if (!test_bit(page, rb->hybrid_sentmap)) {
        set_bit_atomic(page, rb->hybrid_sentmap);
        stat64_add(&h->pages_first, 1);
    }
    stat64_add(&h->pages_total, 1);
    if (requested) {
        stat64_add(&h->pages_on_demand, 1);
        hybrid_flow_kick();     /* it may have been the last */
    } else if (h->times.package_us >= 0) {
        stat64_add(&h->pages_pushed, 1);
    }
}
