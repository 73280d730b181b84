/*
 * Hybrid live migration, source: memory that a destination reads while it
 * loads devices.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A page that is missing when a device is loaded is requested, and LOADED
 * waits for it, while no vCPU runs anywhere: a round trip at least for each.
 * So a device that knows what it will read says so when it is saved, and
 * these pages go ahead of the package.
 *
 * The devices are saved and the pages are sent in the same thread.
 */

#include "migration/hybrid/source/state.h"
#include "qemu/bitops.h"
#include "qemu/rcu.h"
#include "exec/address-spaces.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "exec/target_page.h"
#include "migration/migration.h"
#include "migration/qemu-file.h"
#include "migration/savevm.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/source/devices.h"

typedef struct HybridDevicePage {
    RAMBlock *rb;
    unsigned long page;         /* first of a host page */
} HybridDevicePage;

struct HybridDevices {
    GArray *pages HYBRID_SOURCE_OWNED; /* of HybridDevicePage */
    guint next HYBRID_SOURCE_OWNED; /* that is looked at */
};

HybridDevices *hybrid_devices_new(void)
{
    HybridDevices *d = g_new(HybridDevices, 1);

    *d = (HybridDevices) {
        .pages = g_array_new(false, false, sizeof(HybridDevicePage)),
    };
    return d;
}

void TSA_NO_TSA hybrid_devices_free(HybridDevices *d)
{
    if (d) {
        g_array_unref(d->pages);
        g_free(d);
    }
}

void hybrid_src_load_reads(AddressSpace *as, hwaddr addr)
{
    HybridSource *h = hybrid_source();
    HybridDevicePage page;
    MemoryRegion *mr;
    hwaddr offset, len = 1;

    /*
     * Behind an IOMMU: it is saved already, and a translation that fails
     * would change it.
     */
    if (!hybrid_src_agreed() || hybrid_src_completing() ||
        as != &address_space_memory ||
        !hybrid_src_still_stopped()) {
        return;
    }
    hybrid_source_in_thread();
    RCU_READ_LOCK_GUARD();
    mr = address_space_translate(as, addr, &offset, &len, false,
                                 MEMTXATTRS_UNSPECIFIED);
    if (!memory_region_is_ram(mr) || !mr->ram_block->bmap) {
        return;
    }
    page.rb = mr->ram_block;
    page.page = QEMU_ALIGN_DOWN(offset, qemu_ram_pagesize(page.rb)) >>
                qemu_target_page_bits();
    g_array_append_val(h->devices->pages, page);
}

bool hybrid_devices_pick(RAMBlock **block, unsigned long *page)
{
    HybridDevices *d = hybrid_source()->devices;

    while (d->next < d->pages->len) {
        HybridDevicePage *p = &g_array_index(d->pages, HybridDevicePage,
                                             d->next++);
        unsigned long end = p->page + (qemu_ram_pagesize(p->rb) >>
                                       qemu_target_page_bits());

        if (find_next_bit(p->rb->bmap, end, p->page) < end) {
            *block = p->rb;
            *page = p->page;
            return true;
        }
    }
    return false;
}

void hybrid_devices_send(MigrationState *s)
{
    HybridSource *h = hybrid_source();
    HybridDevices *d = h->devices;
    uint64_t before = stat64_get(&h->pages_total);
    guint known = d->pages->len;

    while (d->next < known && hybrid_src_still_stopped() &&
           !qemu_file_get_error(s->to_dst_file)) {
        guint next = d->next;

        qemu_savevm_state_iterate(s->to_dst_file, true);
        if (d->next == next) {
            break;              /* no more may be sent now: on request */
        }
    }
    trace_hybrid_devices(known, stat64_get(&h->pages_total) - before);
    d->next = known;            /* what is left is sent on request */
}
