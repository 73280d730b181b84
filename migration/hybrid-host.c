/*
 * Hybrid live migration, destination: can this host take the guest?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reads what the host says and leaves the arithmetic to hybrid-reserve.c.
 * Nothing is allocated here: ADVISE discards all guest memory, so memory that
 * was touched before would not stay.  What keeps two incoming guests from
 * counting on the same memory is the host's ledger.
 */

#include "hybrid-internal.h"
#include <sys/mman.h>
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/rcu.h"
#include "qemu/units.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "exec/target_page.h"
#include "migration.h"
#include "options.h"
#include "ram.h"
#include "hybrid-reserve.h"

/* Listen, fault and preempt thread, with their stacks and stream buffers */
#define HYBRID_THREAD_BYTES (1 * MiB)
#define HYBRID_THREADS      3

/* How many pages one mincore() call looks at */
#define HYBRID_MINCORE_PAGES 65536

typedef struct HybridNeed {
    HybridMemoryNeed memory;
    GHashTable *pools;          /* huge page size -> HybridHugePool */
} HybridNeed;

static uint64_t hybrid_resident_bytes(RAMBlock *rb)
{
    g_autofree unsigned char *vec = g_malloc(HYBRID_MINCORE_PAGES);
    size_t page = qemu_real_host_page_size();
    size_t len = ROUND_UP(qemu_ram_get_used_length(rb), page);
    uint8_t *host = qemu_ram_get_host_addr(rb);
    uint64_t resident = 0;

    for (size_t done = 0; done < len; ) {
        size_t n = MIN(len - done, HYBRID_MINCORE_PAGES * page);

        if (mincore(host + done, n, vec)) {
            return 0;           /* count too much rather than too little */
        }
        for (size_t i = 0; i < n / page; i++) {
            resident += (vec[i] & 1) * page;
        }
        done += n;
    }
    return MIN(resident, qemu_ram_get_used_length(rb));
}

static int hybrid_need_block(RAMBlock *rb, void *opaque)
{
    HybridNeed *need = opaque;
    uint64_t page_size = qemu_ram_pagesize(rb);
    uint64_t bytes = qemu_ram_get_used_length(rb);
    HybridHugePool *pool;

    if (page_size == qemu_real_host_page_size()) {
        need->memory.guest_bytes += bytes;
        need->memory.resident_bytes += hybrid_resident_bytes(rb);
        return 0;
    }
    /* The kernel has set aside what a mapping reserves, or mmap() failed */
    if (!(rb->flags & RAM_NORESERVE)) {
        return 0;
    }
    pool = g_hash_table_lookup(need->pools, GSIZE_TO_POINTER(page_size));
    if (!pool) {
        pool = g_new0(HybridHugePool, 1);
        pool->page_size = page_size;
        g_hash_table_insert(need->pools, GSIZE_TO_POINTER(page_size), pool);
    }
    bytes = ROUND_UP(bytes, page_size);
    pool->needed += bytes - MIN(bytes, hybrid_resident_bytes(rb));
    return 0;
}

static uint64_t hybrid_read_number(const char *path, uint64_t if_missing)
{
    g_autofree char *text = NULL;

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return if_missing;
    }
    return hybrid_reserve_parse_limit(text);
}

static uint64_t hybrid_cgroup_number(const char *dir, const char *file,
                                     uint64_t if_missing)
{
    g_autofree char *path = g_build_filename(dir, file, NULL);

    return hybrid_read_number(path, if_missing);
}

/* File pages that the kernel can drop, from memory.stat */
static uint64_t hybrid_cgroup_reclaimable(const char *dir, bool v1)
{
    /* Only in version 1 the plain figures leave out the groups below */
    const char *prefix = v1 ? "total_" : "";
    g_autofree char *path = g_build_filename(dir, "memory.stat", NULL);
    g_autofree char *text = NULL;
    uint64_t sum = 0;

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return 0;
    }
    for (char *line = text; line; line = strchr(line, '\n')) {
        uint64_t v;

        line += *line == '\n';
        if (!g_str_has_prefix(line, prefix)) {
            continue;
        }
        line += strlen(prefix);
        if (sscanf(line, "inactive_file %" SCNu64, &v) == 1 ||
            sscanf(line, "active_file %" SCNu64, &v) == 1) {
            sum += v;
        }
    }
    return sum;
}

/*
 * The group with the least room counts: a limit holds for all below it.
 * @names: files of limit, usage, swap limit and swap usage.  Returns that
 * group's path, NULL if none has a limit.
 */
static char *hybrid_cgroup_walk(const char *root, const char *group,
                                const char *const names[4],
                                HybridHostMemory *host)
{
    char *tightest = NULL;
    g_autofree char *dir = g_build_filename(root, group, NULL);
    uint64_t least = UINT64_MAX;

    while (strlen(dir) >= strlen(root)) {
        uint64_t limit = hybrid_cgroup_number(dir, names[0], UINT64_MAX);
        uint64_t used = hybrid_cgroup_number(dir, names[1], 0);
        uint64_t file = hybrid_cgroup_reclaimable(dir, !*names[2]);
        uint64_t room = limit - MIN(limit, used - MIN(used, file));
        char *parent;

        if (limit != UINT64_MAX && room < least) {
            least = room;
            g_free(tightest);
            tightest = g_strdup(dir[strlen(root)] ? dir + strlen(root) : "/");
            host->cgroup_limit = limit;
            host->cgroup_used = used;
            host->cgroup_reclaimable = file;
            host->cgroup_swap_limit =
                hybrid_cgroup_number(dir, names[2], UINT64_MAX);
            host->cgroup_swap_used = hybrid_cgroup_number(dir, names[3], 0);
        }
        parent = g_path_get_dirname(dir);
        g_free(dir);
        dir = parent;
    }
    return tightest;
}

/* The limits that this process lives under, and what others claim of them */
static void hybrid_read_cgroup(HybridHostMemory *host, HybridLedger *ledger)
{
    static const char *const v2[4] = {
        "memory.max", "memory.current", "memory.swap.max",
        "memory.swap.current",
    };
    /* v1 limits memory and swap together; its swap figure is not separate */
    static const char *const v1[4] = {
        "memory.limit_in_bytes", "memory.usage_in_bytes", "", "",
    };
    g_autofree char *text = NULL, *v2_path = NULL, *v1_path = NULL;
    g_autofree char *tightest = NULL;

    if (!g_file_get_contents("/proc/self/cgroup", &text, NULL, NULL) ||
        !hybrid_reserve_parse_cgroup_path(text, &v2_path, &v1_path)) {
        return;
    }
    if (v1_path) {
        tightest = hybrid_cgroup_walk("/sys/fs/cgroup/memory", v1_path, v1,
                                      host);
    } else if (v2_path) {
        tightest = hybrid_cgroup_walk("/sys/fs/cgroup", v2_path, v2, host);
    }
    if (tightest) {
        hybrid_ledger_set_cgroup(ledger, v1_path ?: v2_path);
        host->cgroup_claimed_by_others =
            hybrid_ledger_others_in(ledger, tightest);
    }
}

uint64_t hybrid_host_rss(void)
{
    g_autofree char *text = NULL;
    uint64_t pages = 0;

    if (!g_file_get_contents("/proc/self/statm", &text, NULL, NULL) ||
        sscanf(text, "%*u %" SCNu64, &pages) != 1) {
        return 0;
    }
    return pages * qemu_real_host_page_size();
}

static uint64_t hybrid_pool_pages(uint64_t page_size, const char *file)
{
    g_autofree char *path =
        g_strdup_printf("/sys/kernel/mm/hugepages/hugepages-%" PRIu64
                        "kB/%s", page_size / KiB, file);

    return hybrid_read_number(path, 0);
}

static bool hybrid_check_pools(HybridNeed *need, uint64_t *needed,
                               uint64_t *available, Error **errp)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, need->pools);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        HybridHugePool *pool = value;

        pool->free = hybrid_pool_pages(pool->page_size, "free_hugepages");
        pool->reserved = hybrid_pool_pages(pool->page_size, "resv_hugepages");
        if (!hybrid_reserve_check_pool(pool, needed, available)) {
            g_autofree char *what =
                g_strdup_printf("huge pages of %" PRIu64 " KiB",
                                pool->page_size / KiB);
            g_autofree char *text =
                hybrid_reserve_refusal(what, *needed, *available);

            error_setg(errp, "%s", text);
            return false;
        }
    }
    return true;
}

static bool hybrid_check_memory(HybridNeed *need, HybridLedger *ledger,
                                uint32_t overcommit, uint64_t *needed,
                                uint64_t *available, Error **errp)
{
    g_autofree char *meminfo = NULL;
    g_autofree char *text = NULL;
    HybridHostMemory host;

    hybrid_reserve_host_init(&host);
    if (!g_file_get_contents("/proc/meminfo", &meminfo, NULL, NULL) ||
        !hybrid_reserve_parse_meminfo(meminfo, &host)) {
        /* A host that does not tell cannot be a reason to refuse */
        warn_report("hybrid migration: cannot read the host's free memory");
        return true;
    }
    host.claimed_by_others = hybrid_ledger_others(ledger);
    hybrid_read_cgroup(&host, ledger);
    if (hybrid_reserve_check(&need->memory, &host, overcommit, needed,
                             available)) {
        return true;
    }
    text = hybrid_reserve_refusal("memory", *needed, *available);
    error_setg(errp, "%s", text);
    return false;
}

bool hybrid_host_reserve(uint32_t overcommit, uint64_t *needed,
                         uint64_t *available, HybridLedger **ledger,
                         Error **errp)
{
    HybridNeed need = {
        .memory.buffers_bytes = HYBRID_THREADS * HYBRID_THREAD_BYTES +
                                2 * qemu_ram_pagesize_largest(),
        .pools = g_hash_table_new_full(NULL, NULL, NULL, g_free),
    };
    g_autoptr(GError) err = NULL;
    bool ok;

    WITH_RCU_READ_LOCK_GUARD() {
        foreach_not_ignored_block(hybrid_need_block, &need);
    }

    *ledger = hybrid_ledger_open(HYBRID_LEDGER_DEFAULT_DIR, &err);
    if (*ledger && !hybrid_ledger_lock(*ledger)) {
        g_clear_pointer(ledger, hybrid_ledger_close);
    }
    if (!*ledger) {
        warn_report("hybrid migration: no ledger of incoming guests: %s",
                    err ? err->message : "it cannot be locked");
    }
    ok = hybrid_check_pools(&need, needed, available, errp) &&
         hybrid_check_memory(&need, *ledger, overcommit, needed, available,
                             errp);
    if (*ledger && ok && !hybrid_ledger_claim(*ledger, *needed, &err)) {
        warn_report("hybrid migration: cannot claim memory for the incoming "
                    "guest: %s", err->message);
    }
    if (*ledger && ok) {
        hybrid_ledger_unlock(*ledger);
    } else {
        g_clear_pointer(ledger, hybrid_ledger_close);
    }
    g_hash_table_destroy(need.pools);
    return ok;
}
