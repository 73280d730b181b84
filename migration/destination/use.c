/*
 * Hybrid live migration, destination: what a block of guest memory takes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Nothing is looked for page by page: that would hold the main loop, and an
 * incoming QEMU has touched nothing but firmware and what it was told to
 * allocate beforehand.
 */

#include "qemu/osdep.h"
#include <sys/statfs.h>
#include <sys/syscall.h>
#include "qemu/bitmap.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "exec/target_page.h"
#include "system/hostmem.h"
#include "system/system.h"
#include "migration/hybrid/destination/use.h"
#include "migration/hybrid/policy/reserve.h"

/* As <linux/magic.h> has them */
#ifndef TMPFS_MAGIC
#define TMPFS_MAGIC         0x01021994
#endif
#ifndef HUGETLBFS_MAGIC
#define HUGETLBFS_MAGIC     0x958458f6
#endif
#define HYBRID_MPOL_BIND    2   /* <linux/mempolicy.h> */
#define HYBRID_NODES_MAX    1024    /* as many as the kernel can have */

uint64_t hybrid_host_nodes(void)
{
    g_autofree char *status = NULL, *have = NULL;
    unsigned long mask[HYBRID_NODES_MAX / (8 * sizeof(long))] = { 0 };
    uint64_t all, allowed;
    const char *line;
    int mode = 0;

    if (!g_file_get_contents("/proc/self/status", &status, NULL, NULL) ||
        !g_file_get_contents("/sys/devices/system/node/has_memory", &have,
                             NULL, NULL)) {
        return 0;
    }
    all = hybrid_reserve_parse_nodes(have);
    line = strstr(status, "\nMems_allowed_list:");
    if (!line) {
        return 0;
    }
    line += strlen("\nMems_allowed_list:");
    allowed = all & hybrid_reserve_parse_nodes(line + strspn(line, " \t"));
#ifdef SYS_get_mempolicy
    /* "numactl --membind" */
    if (!syscall(SYS_get_mempolicy, &mode, mask, (unsigned long)
                 HYBRID_NODES_MAX, NULL, 0ul) && mode == HYBRID_MPOL_BIND) {
        allowed &= mask[0];
    }
#endif
    return allowed == all ? 0 : allowed;
}

static HostMemoryBackend *hybrid_backend(RAMBlock *rb)
{
    Object *owner = rb->mr ? rb->mr->owner : NULL;

    return (HostMemoryBackend *)
           (owner ? object_dynamic_cast(owner, TYPE_MEMORY_BACKEND) : NULL);
}

static void hybrid_use_nodes(RAMBlock *rb, HybridBlockUse *use)
{
    HostMemoryBackend *backend = hybrid_backend(rb);
    uint64_t bound;

    if (backend && backend->policy == HOST_MEM_POLICY_BIND) {
        bound = backend->host_nodes[0];
        if (bound) {
            use->nodes = use->nodes ? use->nodes & bound : bound;
        }
    }
}

static void hybrid_use_file(RAMBlock *rb, HybridBlockUse *use)
{
    struct statfs fs;
    struct stat st;

    if (rb->fd < 0 || fstat(rb->fd, &st) || fstatfs(rb->fd, &fs)) {
        return;
    }
    if (!S_ISREG(st.st_mode)) {
        use->readonly = true;   /* a device's memory, it is there */
        return;
    }
    if (use->shared) {
        /* Those of the whole file, if it has more than this block */
        use->held = (uint64_t)st.st_blocks * 512;
        use->on_disk = fs.f_type != TMPFS_MAGIC && fs.f_type != HUGETLBFS_MAGIC;
    }
    /* A private page is a copy of the file's, which is made first */
    use->twice = !use->shared && fs.f_type == TMPFS_MAGIC;
    /* The kernel's own, of memfds, have no size */
    if (fs.f_blocks && (use->shared || use->twice || use->huge_size)) {
        use->device = st.st_dev;
    }
}

bool hybrid_host_locks(void)
{
    return should_mlock(mlock_state) && !is_mlock_on_fault(mlock_state);
}

void hybrid_host_use(RAMBlock *rb, HybridBlockUse *use)
{
    HostMemoryBackend *backend = hybrid_backend(rb);
    bool locked = hybrid_host_locks();

    use->length = rb->used_length;
    use->shared = rb->flags & RAM_SHARED;
    use->readonly = rb->flags & RAM_READONLY;
    if (rb->page_size != qemu_real_host_page_size()) {
        use->huge_size = rb->page_size;
        use->reserved = !(rb->flags & RAM_NORESERVE);
    }
    if (locked) {
        use->unplugged = 0;
    }
    if (locked || (backend && backend->prealloc)) {
        use->held = use->length;
    }
    hybrid_use_nodes(rb, use);
    hybrid_use_file(rb, use);
}

uint64_t hybrid_host_came(RAMBlock *rb)
{
    uint64_t pages = rb->used_length / qemu_target_page_size();

    return rb->receivedmap ? bitmap_count_one(rb->receivedmap, pages) *
                             qemu_target_page_size() : 0;
}

uint64_t hybrid_host_statfs(RAMBlock *rb)
{
    struct statfs fs;

    return fstatfs(rb->fd, &fs) ? UINT64_MAX :
           (uint64_t)fs.f_bavail * fs.f_bsize;
}
