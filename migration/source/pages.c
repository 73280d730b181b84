/*
 * Hybrid live migration: which pages were sent, and why; how large they are.
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
#include "migration/hybrid/source/pages.h"

static int hybrid_pages_alloc(RAMBlock *rb, void *opaque)
{
    rb->hybrid = g_new0(HybridBlock, 1);
    rb->hybrid->sent = bitmap_new(qemu_ram_get_max_length(rb) >>
                                  qemu_target_page_bits());
    rb->hybrid->discarded = bitmap_new(qemu_ram_get_max_length(rb) >>
                                       qemu_target_page_bits());
    return 0;
}

size_t hybrid_block_pages(RAMBlock *rb)
{
    return qemu_ram_get_used_length(rb) >> qemu_target_page_bits();
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

static int hybrid_pages_free(RAMBlock *rb, void *opaque)
{
    hybrid_block_free(rb);
    return 0;
}

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
    if (requested) {
        stat64_add(&h->pages_on_demand, 1);
        hybrid_flow_kick();     /* it may have been the last */
    } else if (h->times.package_us >= 0) {
        stat64_add(&h->pages_pushed, 1);
    }
}

/* ---- page sizes ---- */

static int hybrid_page_sizes_find(RAMBlock *rb, void *opaque)
{
    GPtrArray *huge = opaque;

    if (qemu_ram_pagesize(rb) != qemu_target_page_size()) {
        g_ptr_array_add(huge, rb);
    }
    return 0;
}

void hybrid_page_sizes_put(HybridMessage *m)
{
    g_autoptr(GPtrArray) huge = g_ptr_array_new();

    RCU_READ_LOCK_GUARD();
    foreach_not_ignored_block(hybrid_page_sizes_find, huge);
    if (huge->len > HYBRID_SIZED_BLOCKS) {
        return;                 /* no guest has so many: not told */
    }
    hybrid_msg_put_be16(m, huge->len);
    for (guint i = 0; i < huge->len; i++) {
        RAMBlock *rb = g_ptr_array_index(huge, i);

        hybrid_msg_put_be64(m, qemu_ram_pagesize(rb));
        hybrid_msg_put_text(m, rb->idstr);
    }
}

typedef struct HybridPageSizes {
    GHashTable *theirs;         /* name -> size */
    Error **errp;
} HybridPageSizes;

static int hybrid_page_sizes_compare(RAMBlock *rb, void *opaque)
{
    HybridPageSizes *sizes = opaque;
    uint64_t *found = g_hash_table_lookup(sizes->theirs, rb->idstr);
    uint64_t here = qemu_ram_pagesize(rb);
    uint64_t there = found ? *found : qemu_target_page_size();

    if (here != there) {
        error_setg(sizes->errp, "Memory block '%s' has pages of %" PRIu64 " KiB at "
                   "the source and of %" PRIu64 " KiB at the destination: "
                   "post-copy needs the same", rb->idstr, here / 1024, there / 1024);
    }
    return here != there;
}

bool hybrid_page_sizes_same(HybridMessage *m, Error **errp)
{
    g_autoptr(GHashTable) theirs = hybrid_msg_get_sizes(m,
                                                    hybrid_msg_get_be16(m));
    HybridPageSizes sizes = { theirs, errp };

    RCU_READ_LOCK_GUARD();
    return m->overrun ||        /* an error of its own */
           !foreach_not_ignored_block(hybrid_page_sizes_compare, &sizes);
}
