/*
 * Hybrid live migration: where the guest sees the blocks of its memory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/rcu.h"
#include "exec/address-spaces.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "hw/boards.h"
#include "hw/mem/memory-device.h"
#include "hw/qdev-core.h"
#include "qom/object.h"
#include "migration/hybrid/common/places.h"
#include "migration/hybrid/protocol/blocks.h"

static void hybrid_places_put(GHashTable *places, RAMBlock *rb, uint64_t at)
{
    uint64_t *place = g_new(uint64_t, 1);

    *place = at;
    g_hash_table_insert(places, rb, place);
}

static int hybrid_places_find_device(Object *obj, void *opaque)
{
    GHashTable *places = opaque;
    MemoryDeviceState *md;
    MemoryDeviceClass *mdc;
    MemoryRegion *mr;

    if (!object_dynamic_cast(obj, TYPE_MEMORY_DEVICE) ||
        !DEVICE(obj)->realized) {
        return 0;
    }
    md = MEMORY_DEVICE(obj);
    mdc = MEMORY_DEVICE_GET_CLASS(obj);
    mr = mdc->get_memory_region(md, NULL);
    while (mr && !mr->ram_block) {
        mr = mr->alias;         /* an NVDIMM shows all but its label */
    }
    if (mr) {
        hybrid_places_put(places, mr->ram_block, mdc->get_addr(md));
    }
    return 0;
}

/*
 * The machine's own memory, which may lie in two pieces, below 4 GiB and above:
 * counted back from its end.  If the guest has hidden that (as SMRAM) it is not
 * told.
 */
static bool hybrid_places_find_end(Int128 start, Int128 len,
                                   const MemoryRegion *mr,
                                   hwaddr offset, void *opaque)
{
    GHashTable *places = opaque;
    RAMBlock *rb = mr->ram_block;
    uint64_t end = offset + int128_get64(len);

    if (rb && rb->used_length == end && current_machine->ram &&
        (mr == current_machine->ram ||
         mr->container == current_machine->ram)) {
        hybrid_places_put(places, rb,
                          int128_get64(start) + int128_get64(len) - end);
    }
    return false;
}

GHashTable *hybrid_places_find(void)
{
    GHashTable *places = g_hash_table_new_full(NULL, NULL, NULL, g_free);

    WITH_RCU_READ_LOCK_GUARD() {
        flatview_for_each_range(address_space_to_flatview(
                                    &address_space_memory),
                                hybrid_places_find_end, places);
    }
    object_child_foreach_recursive(object_get_root(),
                                   hybrid_places_find_device, places);
    return places;
}

uint64_t hybrid_places_of(GHashTable *places, RAMBlock *rb)
{
    uint64_t *place = g_hash_table_lookup(places, rb);

    return place ? *place : HYBRID_NO_PLACE;
}
