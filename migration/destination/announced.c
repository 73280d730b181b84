/*
 * Hybrid live migration, destination: has it what the source says that it has
 * to have?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/rcu.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "exec/target_page.h"
#include "qapi/qapi-builtin-types.h"
#include "migration/savevm.h"
#include "migration/hybrid/common/places.h"
#include "migration/hybrid/destination/announced.h"
#include "migration/hybrid/protocol/blocks.h"
#include "migration/hybrid/protocol/sections.h"

void hybrid_sections_check(HybridMessage *m, HybridMisfits *misfits)
{
    HybridSection s;

    while (hybrid_section_get(m, &s)) {
        g_autofree char *idstr = s.idstr;
        uint32_t min, max;

        if (!hybrid_misfits_look(misfits)) {
            return;
        }
        if (!qemu_loadvm_knows_section(s.idstr, s.instance_id, &min, &max)) {
            hybrid_misfits_missing(misfits, &s);
        } else {
            hybrid_misfits_version(misfits, &s, min, max);
        }
    }
}

/* As qemu_ram_resize() has it, when the list of blocks comes */
static bool hybrid_blocks_may_become(RAMBlock *rb, uint64_t length)
{
    uint64_t page = MAX(qemu_target_page_size(), qemu_real_host_page_size());

    return length <= rb->max_length &&
           (ROUND_UP(length, page) == rb->used_length ||
            rb->flags & RAM_RESIZEABLE);
}

void hybrid_blocks_check(HybridMessage *m, HybridMisfits *misfits)
{
    g_autoptr(GHashTable) places = hybrid_places_find();
    HybridBlock b;

    RCU_READ_LOCK_GUARD();
    while (hybrid_block_get(m, &b)) {
        g_autofree char *name = b.name;
        RAMBlock *rb;

        if (!hybrid_misfits_look(misfits)) {
            return;
        }
        rb = qemu_ram_block_by_name(b.name);
        if (!rb || !qemu_ram_is_migratable(rb)) {
            hybrid_misfits_no_block(misfits, &b);
        } else if (!hybrid_blocks_may_become(rb, b.length)) {
            hybrid_misfits_length(misfits, &b, rb->used_length);
        } else {
            hybrid_misfits_place(misfits, &b, hybrid_places_of(places, rb));
        }
    }
}
