/*
 * Hybrid live migration, destination: can this host take the guest?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reads what the host says and leaves the arithmetic to policy/reserve.c and
 * policy/account.c.  Nothing is allocated here: ADVISE discards all guest
 * memory, so memory that was touched before would not stay.  What keeps two
 * incoming guests from counting on the same memory is the host's ledger.
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/rcu.h"
#include "qemu/units.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "migration/migration.h"
#include "migration/options.h"
#include "migration/ram.h"
#include "migration/hybrid/common/clock.h"
#include "migration/hybrid/common/params.h"
#include "migration/hybrid/common/room.h"
#include "migration/hybrid/destination/host.h"
#include "migration/hybrid/destination/use.h"
#include "migration/hybrid/policy/account.h"
#include "migration/hybrid/policy/cgroup.h"
#include "migration/hybrid/policy/reserve.h"

/*
 * Listen, fault and preempt thread, with their stacks and stream buffers: an
 * estimate of what each touches
 */
#define HYBRID_THREAD_BYTES (1 * MiB)
#define HYBRID_THREADS      3

/* How often claims on other memory than the host's are looked at; chosen */
#define HYBRID_UPDATE_US    200000

/* What the guest needs, and what it claims in the ledger */
typedef struct HybridNeed {
    const HybridToldNeed *told;
    uint64_t process_nodes;
    HybridMemoryNeed memory;
    uint64_t private_held;      /* part of memory.resident_bytes */
    GArray *accounts;           /* of HybridAccount */
    GPtrArray *blocks;          /* a RAMBlock of each, for its file system */
} HybridNeed;

static void hybrid_need_use(RAMBlock *rb, HybridBlockUse *use,
                            const HybridToldNeed *told, uint64_t nodes)
{
    *use = (HybridBlockUse) { .nodes = nodes };
    if (told) {
        use->unplugged = hybrid_need_unplugged(told, rb);
    }
    hybrid_host_use(rb, use);
}

static int hybrid_need_block(RAMBlock *rb, void *opaque)
{
    HybridNeed *need = opaque;
    HybridBlockUse use;

    hybrid_need_use(rb, &use, need->told, need->process_nodes);
    hybrid_account_add(need->accounts, &use);
    if (!use.huge_size && !use.readonly && !use.shared) {
        need->private_held += MIN(use.held, hybrid_account_need(&use));
    }
    while (need->blocks->len < need->accounts->len) {
        g_ptr_array_add(need->blocks, rb);
    }
    return 0;
}

/* "VmRSS:  N kB" and the like, of this process */
static uint64_t hybrid_status_bytes(const char *name)
{
    g_autofree char *text = NULL;
    const char *line;
    uint64_t kib;

    if (!g_file_get_contents("/proc/self/status", &text, NULL, NULL)) {
        return UINT64_MAX;
    }
    line = strstr(text, name);
    return line && sscanf(line + strlen(name), " %" SCNu64, &kib) == 1 ?
           kib * KiB : UINT64_MAX;
}

static void hybrid_need_sum(HybridNeed *need)
{
    uint64_t page = qemu_real_host_page_size();
    uint64_t largest = qemu_ram_pagesize_largest();
    /* One for each channel, and one of zeroes */
    uint64_t pages = 1 + migrate_postcopy_preempt() + (largest != page);

    need->memory.buffers_bytes = HYBRID_THREADS * HYBRID_THREAD_BYTES +
                                 pages * largest;
    WITH_RCU_READ_LOCK_GUARD() {
        foreach_not_ignored_block(hybrid_need_block, need);
    }
    if (need->told && !hybrid_host_locks()) {
        hybrid_account_balloon(need->accounts, need->told->ballooned);
    }
    for (guint i = 0; i < need->accounts->len; i++) {
        HybridAccount *a = &g_array_index(need->accounts, HybridAccount, i);

        if (a->purse == HYBRID_PURSE_MEMORY) {
            uint64_t rss = hybrid_status_bytes("\nRssAnon:");
            uint64_t more = need->private_held - MIN(need->private_held, rss);

            /* What was to be allocated and is not: count what is */
            need->memory.resident_bytes = a->held - MIN(a->held, more);
            need->memory.guest_bytes = a->needed + a->held;
        }
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

/* ---- what there is ---- */

/*
 * A file with a number.  What cannot be read is said to be a @problem, and
 * false is returned: then it is no reason to refuse a guest.
 */
static bool hybrid_read_number(const char *path, uint64_t *value,
                               char **problem)
{
    g_autofree char *text = NULL;

    if (g_file_get_contents(path, &text, NULL, NULL) &&
        hybrid_cgroup_number(text, value)) {
        return true;
    }
    if (!*problem) {
        *problem = g_strdup(path);
    }
    return false;
}

static bool hybrid_pool_pages(const char *below, uint64_t page_size,
                              const char *file, uint64_t *pages,
                              char **problem)
{
    g_autofree char *path =
        g_strdup_printf("%s/hugepages/hugepages-%" PRIu64 "kB/%s", below,
                        page_size / KiB, file);

    return hybrid_read_number(path, pages, problem);
}

/* Of the whole host: free and not set aside, or still to be made */
static uint64_t hybrid_pool_available(uint64_t size,
                                      const HybridHostMemory *host,
                                      char **problem)
{
    const char *mm = "/sys/kernel/mm";
    uint64_t unused, reserved, may, made;

    if (!hybrid_pool_pages(mm, size, "free_hugepages", &unused, problem) ||
        !hybrid_pool_pages(mm, size, "resv_hugepages", &reserved, problem) ||
        !hybrid_pool_pages(mm, size, "nr_overcommit_hugepages", &may,
                           problem) ||
        !hybrid_pool_pages(mm, size, "surplus_hugepages", &made, problem)) {
        return UINT64_MAX;
    }
    unused -= MIN(unused, reserved);
    may -= MIN(may, made);
    return (unused + MIN(may, host->mem_available / size)) * size;
}

static uint64_t hybrid_node_available(const HybridAccount *a, unsigned n,
                                      char **problem)
{
    g_autofree char *node =
        g_strdup_printf("/sys/devices/system/node/node%u", n);
    g_autofree char *path = g_strconcat(node, "/meminfo", NULL);
    g_autofree char *text = NULL;
    uint64_t value;

    if (a->purse == HYBRID_PURSE_HUGE) {
        return hybrid_pool_pages(node, a->huge_size, "free_hugepages", &value,
                                 problem) ? value * a->huge_size : UINT64_MAX;
    }
    if (g_file_get_contents(path, &text, NULL, NULL) &&
        hybrid_reserve_parse_node(text, &value)) {
        return value;
    }
    if (!*problem) {
        *problem = g_steal_pointer(&path);
    }
    return UINT64_MAX;
}

static uint64_t hybrid_nodes_available(const HybridAccount *a,
                                       const HybridHostMemory *host,
                                       char **problem)
{
    uint64_t sum = a->purse == HYBRID_PURSE_NODES ? host->swap_free : 0;

    for (unsigned n = 0; n < 64; n++) {
        uint64_t bytes = a->nodes >> n & 1 ?
                         hybrid_node_available(a, n, problem) : 0;

        if (bytes > UINT64_MAX - sum) {
            return UINT64_MAX;
        }
        sum += bytes;
    }
    return sum;
}

/* "memory" itself is another matter, see hybrid_check_memory() */
static uint64_t hybrid_available(const HybridAccount *a, RAMBlock *rb,
                                 const HybridHostMemory *host,
                                 HybridLedger *ledger, char **problem)
{
    g_autofree char *key = hybrid_account_key(a);
    uint64_t others = hybrid_ledger_others_of(ledger, key);
    uint64_t bytes;

    if (a->nodes) {
        bytes = hybrid_nodes_available(a, host, problem);
    } else if (a->purse == HYBRID_PURSE_HUGE) {
        bytes = hybrid_pool_available(a->huge_size, host, problem);
        bytes -= MIN(bytes, others);
        return MIN(bytes, hybrid_cgroup_huge("", a->huge_size, problem));
    } else {
        bytes = hybrid_host_statfs(rb);
    }
    return bytes - MIN(bytes, others);
}

/* ---- the check ---- */

static void hybrid_refusal(const HybridAccount *a, uint64_t needed,
                           uint64_t available, Error **errp)
{
    g_autofree char *what = hybrid_account_name(a);
    g_autofree char *text = hybrid_reserve_refusal(what, needed, available);

    error_setg(errp, "%s", text);
}

/* All but the host's memory as a whole; none of these can be over-committed */
static bool hybrid_check_accounts(HybridNeed *need, HybridLedger *ledger,
                                  const HybridHostMemory *host,
                                  HybridHostAnswer *answer, char **problem,
                                  Error **errp)
{
    for (guint i = 0; i < need->accounts->len; i++) {
        HybridAccount *a = &g_array_index(need->accounts, HybridAccount, i);
        uint64_t available;

        if (a->purse == HYBRID_PURSE_MEMORY || !a->needed) {
            continue;
        }
        available = hybrid_available(a, g_ptr_array_index(need->blocks, i),
                                     host, ledger, problem);
        if (a->needed > available) {
            answer->needed = a->needed;
            answer->available = available;
            hybrid_refusal(a, a->needed, available, errp);
            return false;
        }
    }
    return true;
}

static bool hybrid_check_memory(HybridNeed *need, HybridHostMemory *host,
                                uint32_t overcommit, HybridHostAnswer *answer,
                                Error **errp)
{
    HybridAccount a = { .purse = HYBRID_PURSE_MEMORY };

    if (hybrid_reserve_check(&need->memory, host, overcommit, &answer->needed,
                             &answer->available)) {
        return true;
    }
    hybrid_refusal(&a, answer->needed, answer->available, errp);
    return false;
}

/* What cannot be read is no reason to refuse, and not to be passed over */
static bool hybrid_check(HybridNeed *need, HybridLedger *ledger,
                         uint32_t overcommit, HybridHostAnswer *answer,
                         Error **errp)
{
    g_autofree char *problem = NULL;
    HybridHostMemory host;
    bool known = hybrid_room_read_host(&host);
    bool ok;

    host.claimed_by_others = hybrid_ledger_others(ledger);
    if (known) {
        problem = hybrid_room_read_groups(&host, ledger);
    } else {
        problem = g_strdup("/proc/meminfo");
        host.mem_available = host.swap_free = UINT64_MAX;
    }
    ok = hybrid_check_memory(need, &host, overcommit, answer, errp) &&
         hybrid_check_accounts(need, ledger, &host, answer, &problem, errp);
    answer->limits_known = !problem;
    if (problem) {
        warn_report("hybrid migration: a limit on this QEMU's memory cannot "
                    "be read, so the guest may be killed for lack of memory "
                    "(%s).  Let QEMU see its control groups (/sys/fs/cgroup) "
                    "and /proc, or compare the limit with the guest's size "
                    "(%" PRIu64 " MiB) yourself", problem,
                    answer->needed / MiB);
    }
    return ok;
}

void hybrid_host_answer_clear(HybridHostAnswer *answer)
{
    g_clear_pointer(&answer->warning, g_free);
    g_clear_pointer(&answer->accounts, g_array_unref);
}

/* ---- the ledger ---- */

static HybridLedger *hybrid_open_ledger(char **problem)
{
    g_autoptr(GError) err = NULL;
    HybridLedger *ledger = hybrid_ledger_open(HYBRID_LEDGER_DEFAULT_DIR, &err);

    if (ledger && !hybrid_ledger_lock(ledger)) {
        g_clear_pointer(&ledger, hybrid_ledger_close);
    }
    if (!ledger) {
        *problem = g_strdup(err ? err->message : "it cannot be locked");
    }
    return ledger;
}

static void hybrid_claim(HybridNeed *need, HybridHostAnswer *answer,
                         HybridLedger *ledger, char **problem)
{
    uint64_t bytes = hybrid_reserve_needed(&need->memory);
    g_autoptr(GError) err = NULL;

    for (guint i = 0; i < need->accounts->len; i++) {
        HybridAccount *a = &g_array_index(need->accounts, HybridAccount, i);
        g_autofree char *key = hybrid_account_key(a);

        if (a->purse != HYBRID_PURSE_MEMORY && a->claim) {
            hybrid_ledger_set(ledger, key, a->claim);
        }
    }
    answer->accounts = g_array_ref(need->accounts);
    answer->nodes = need->process_nodes;
    if (!hybrid_ledger_claim(ledger, bytes, &err)) {
        *problem = g_strdup(err->message);
    }
}

typedef struct HybridCame {
    const HybridAccount *account;
    uint64_t nodes;
    uint64_t bytes;
} HybridCame;

static int hybrid_came_block(RAMBlock *rb, void *opaque)
{
    HybridCame *came = opaque;
    HybridBlockUse use;

    hybrid_need_use(rb, &use, NULL, came->nodes);
    if (hybrid_account_concerns(came->account, &use)) {
        came->bytes += hybrid_host_came(rb);
    }
    return 0;
}

void hybrid_host_update(HybridHostAnswer *answer, HybridLedger *ledger,
                        uint64_t outstanding)
{
    int64_t now_us = hybrid_now_us();

    if (now_us - answer->updated_us < HYBRID_UPDATE_US) {
        goto out;               /* counting takes a while if there is much */
    }
    answer->updated_us = now_us;
    for (guint i = 0; answer->accounts && i < answer->accounts->len; i++) {
        HybridCame came = {
            .account = &g_array_index(answer->accounts, HybridAccount, i),
            .nodes = answer->nodes,
        };
        uint64_t claim = came.account->claim;
        g_autofree char *key = hybrid_account_key(came.account);

        if (came.account->purse == HYBRID_PURSE_MEMORY || !claim) {
            continue;
        }
        WITH_RCU_READ_LOCK_GUARD() {
            foreach_not_ignored_block(hybrid_came_block, &came);
        }
        hybrid_ledger_set(ledger, key, claim - MIN(claim, came.bytes));
    }
out:
    hybrid_ledger_update(ledger, outstanding);
}

/* ---- all of it ---- */

/* Whose word counts, and what it is */
static MigrationHybridMemoryCheck
hybrid_check_mode(const HybridToldNeed *told, uint32_t *overcommit)
{
    MigrationHybridMemoryCheck mode = migrate_hybrid_memory_check();
    uint32_t own = migrate_hybrid_memory_overcommit();

    if (own || mode != MIGRATION_HYBRID_MEMORY_CHECK_AUTO) {
        *overcommit = own;
    }
    if (mode == MIGRATION_HYBRID_MEMORY_CHECK_AUTO && told->told) {
        mode = told->check;
    }
    return mode == MIGRATION_HYBRID_MEMORY_CHECK_AUTO ?
           MIGRATION_HYBRID_MEMORY_CHECK_ENFORCE : mode;
}

static void hybrid_warn_ledger(const char *problem)
{
    warn_report("hybrid migration: this QEMU cannot note in "
                HYBRID_LEDGER_DEFAULT_DIR " what its guest will need (%s), so "
                "another guest that comes in at the same time may count on "
                "the same memory.  Allow QEMU to create and lock files there",
                problem);
}

bool hybrid_host_reserve(const HybridToldNeed *told, uint32_t overcommit,
                         HybridHostAnswer *answer, HybridLedger **ledger,
                         Error **errp)
{
    MigrationHybridMemoryCheck mode = hybrid_check_mode(told, &overcommit);
    HybridNeed need = {
        .told = told,
        .process_nodes = hybrid_host_nodes(),
        .accounts = g_array_new(false, true, sizeof(HybridAccount)),
        .blocks = g_ptr_array_new(),
    };
    g_autofree char *problem = NULL;
    Error *err = NULL;
    bool ok = true;

    hybrid_need_sum(&need);
    answer->ordinary = hybrid_reserve_needed(&need.memory);
    *ledger = hybrid_open_ledger(&problem);
    if (mode == MIGRATION_HYBRID_MEMORY_CHECK_OFF) {
        answer->needed = answer->ordinary;
    } else {
        ok = hybrid_check(&need, *ledger, overcommit, answer, &err);
        answer->checked = true;
    }
    if (!ok && mode == MIGRATION_HYBRID_MEMORY_CHECK_WARN) {
        warn_report("hybrid migration: %s", error_get_pretty(err));
        answer->warning = g_strdup(error_get_pretty(err));
        g_clear_pointer(&err, error_free);
        ok = true;
    }
    error_propagate(errp, err);
    if (ok && *ledger) {
        hybrid_claim(&need, answer, *ledger, &problem);
    }
    if (ok && problem) {
        hybrid_warn_ledger(problem);
    }
    if (*ledger && ok) {
        hybrid_ledger_unlock(*ledger);
    } else {
        g_clear_pointer(ledger, hybrid_ledger_close);
    }
    g_array_unref(need.accounts);
    g_ptr_array_unref(need.blocks);
    return ok;
}
