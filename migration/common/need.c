/*
 * Hybrid live migration: what the guest needs, as the source tells it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "hw/virtio/virtio-balloon.h"
#include "hw/virtio/virtio-mem.h"
#include "qom/object.h"
#include "migration/migration.h"
#include "migration/hybrid/common/need.h"
#include "migration/hybrid/common/params.h"

/* ---- source ---- */

typedef struct HybridNeedWriter {
    HybridMessage *m;
    uint64_t blocks;            /* 0, counted first; then as many are put */
    bool count;
} HybridNeedWriter;

/*
 * What is neither plugged nor asked for: the guest plugs up to the requested
 * size by itself.
 */
static uint64_t hybrid_need_unplugged_here(RAMBlock *rb)
{
    RamDiscardManager *rdm = memory_region_get_ram_discard_manager(rb->mr);
    Object *obj = rdm ? OBJECT(rdm) : NULL;
    uint64_t size, requested;

    if (!obj || !object_dynamic_cast(obj, TYPE_VIRTIO_MEM)) {
        return 0;
    }
    size = object_property_get_uint(obj, VIRTIO_MEM_SIZE_PROP, NULL);
    requested = object_property_get_uint(obj, VIRTIO_MEM_REQUESTED_SIZE_PROP,
                                         NULL);
    size = MAX(size, requested);
    return rb->used_length - MIN(rb->used_length, size);
}

static int hybrid_need_put_block(RAMBlock *rb, void *opaque)
{
    HybridNeedWriter *w = opaque;
    uint64_t unplugged = hybrid_need_unplugged_here(rb);

    /* Others than a few are left out, as if plugged: a body has its limit */
    if (!unplugged || (w->count && w->blocks == HYBRID_NEED_BLOCKS)) {
        return 0;
    }
    if (w->count) {
        w->blocks++;
    } else if (w->blocks) {
        w->blocks--;
        hybrid_msg_put_be64(w->m, unplugged);
        hybrid_msg_put_text(w->m, rb->idstr);
    }
    return 0;
}

/*
 * Up to the size that it was set to the guest takes memory back by itself:
 * while it is on its way there, the larger of both counts.
 */
static uint64_t hybrid_need_ballooned(void)
{
    Object *obj = object_resolve_path_type("", TYPE_VIRTIO_BALLOON, NULL);
    VirtIOBalloon *balloon = obj ? VIRTIO_BALLOON(obj) : NULL;

    return balloon ? (uint64_t)MIN(balloon->actual, balloon->num_pages) <<
                     VIRTIO_BALLOON_PFN_SHIFT : 0;
}

void hybrid_need_put(HybridMessage *m)
{
    HybridNeedWriter w = { .m = m, .count = true };

    hybrid_msg_put_be64(m, migrate_hybrid_memory_check());
    /* The devices change it with the BQL held */
    bql_lock();
    hybrid_msg_put_be64(m, hybrid_need_ballooned());
    WITH_RCU_READ_LOCK_GUARD() {
        foreach_not_ignored_block(hybrid_need_put_block, &w);
        hybrid_msg_put_be64(m, w.blocks);
        w.count = false;
        foreach_not_ignored_block(hybrid_need_put_block, &w);
    }
    bql_unlock();
}

/* ---- destination ---- */

void hybrid_need_get(HybridMessage *m, HybridToldNeed *need)
{
    uint64_t check = hybrid_msg_get_be64(m);

    /* What it does not know is taken for what is safe */
    need->check = check < MIGRATION_HYBRID_MEMORY_CHECK__MAX ?
                  check : MIGRATION_HYBRID_MEMORY_CHECK_ENFORCE;
    need->told = true;
    need->ballooned = hybrid_msg_get_be64(m);
    need->unplugged = hybrid_msg_get_sizes(m, hybrid_msg_get_be64(m));
}

uint64_t hybrid_need_unplugged(const HybridToldNeed *need, RAMBlock *rb)
{
    uint64_t *bytes = need->unplugged ?
                      g_hash_table_lookup(need->unplugged, rb->idstr) : NULL;

    return bytes ? *bytes : 0;
}

void hybrid_need_free(HybridToldNeed *need)
{
    g_clear_pointer(&need->unplugged, g_hash_table_destroy);
}
