/*
 * Hybrid live migration: the sizes of pages, which have to be the same at both
 * ends.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/rcu.h"
#include "exec/ramblock.h"
#include "exec/target_page.h"
#include "migration/migration.h"
#include "migration/ram.h"
#include "migration/hybrid/common/page-sizes.h"
#include "migration/hybrid/common/wire.h"

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
                   "postcopy needs the same", rb->idstr, here / 1024, there / 1024);
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
