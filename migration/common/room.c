/*
 * Hybrid live migration: memory that this QEMU may still take.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include "migration/hybrid/common/room.h"
#include "migration/hybrid/policy/cgroup.h"

bool hybrid_room_read_host(HybridHostMemory *host)
{
    g_autofree char *meminfo = NULL;

    hybrid_reserve_host_init(host);
    return g_file_get_contents("/proc/meminfo", &meminfo, NULL, NULL) &&
           hybrid_reserve_parse_meminfo(meminfo, host);
}

char *hybrid_room_read_groups(HybridHostMemory *host, HybridLedger *ledger)
{
    HybridCgroups groups;
    char *problem;

    hybrid_cgroup_memory("", &groups);
    if (ledger && groups.path) {
        hybrid_ledger_set_cgroup(ledger, groups.path);
    }
    for (guint i = 0; i < groups.levels->len; i++) {
        HybridCgroupLevel *l = &g_array_index(groups.levels,
                                              HybridCgroupLevel, i);

        hybrid_reserve_add_group(host, l, !ledger ? 0 :
                                 hybrid_ledger_others_in(ledger, l->path));
    }
    problem = g_steal_pointer(&groups.problem);
    hybrid_cgroup_clear(&groups);
    return problem;
}

uint64_t hybrid_room_bytes(void)
{
    HybridMemoryNeed none = { 0 };
    uint64_t needed, available;
    HybridHostMemory host;

    if (!hybrid_room_read_host(&host)) {
        return 0;
    }
    g_free(hybrid_room_read_groups(&host, NULL));
    host.swap_free = 0;
    hybrid_reserve_check(&none, &host, 0, &needed, &available);
    return available;
}

/*
 * Threads are still to be made, some eight, each with 8 MiB for its stack and 64
 * MiB for what it allocates: a destination that had 40 MiB left died of that.
 * Chosen.
 */
#define HYBRID_ROOM_LEFT (256ull << 20)

void *hybrid_room_map(size_t size)
{
    size_t all = 2 * size + HYBRID_ROOM_LEFT;
    void *area;

    if (!size || size > SIZE_MAX / 4) {
        return NULL;
    }
    /* RLIMIT_AS: where it is there twice, and more, some is left */
    area = mmap(NULL, all, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED) {
        return NULL;
    }
    munmap(area + size, all - size);
    return area;
}

void hybrid_room_unmap(void *area, size_t size)
{
    if (area) {
        munmap(area, size);
    }
}
