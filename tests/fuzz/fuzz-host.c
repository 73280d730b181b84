/*
 * Fuzz target: what is read from the host's files.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The kernel writes most of them, but names in them (groups, mounts) are not
 * its choice, and a claim in the ledger is any process's of the same user.
 */

#include "../unit/remove-all.h"
#include "fuzz.h"
#include "policy/cgroup.h"
#include "policy/ledger.h"
#include "policy/reserve.h"

static char *base;
static int claim_fd = -1;

static void clean_up(void)
{
    remove_all(base);
    g_free(base);
}

static void put_file(const char *name, const char *text)
{
    g_autofree char *path = g_strconcat(base, name, NULL);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ssize_t n = strlen(text);

    FUZZ_CHECK(fd >= 0 && write(fd, text, n) == n);
    close(fd);
}

/* A claim that lives, and the folders of a host */
static void prepare(void)
{
    static const char *const folders[] = { "ledger", "proc/self", "cg/a/b" };
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    g_autofree char *claim = NULL;

    base = g_dir_make_tmp("hybrid-fuzz-XXXXXX", NULL);
    FUZZ_CHECK(base);
    atexit(clean_up);
    for (unsigned i = 0; i < G_N_ELEMENTS(folders); i++) {
        g_autofree char *path = g_build_filename(base, folders[i], NULL);

        FUZZ_CHECK(!g_mkdir_with_parents(path, 0755));
    }
    claim = g_strdup_printf("%s/ledger/claim-%u-1", base, geteuid());
    claim_fd = open(claim, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    FUZZ_CHECK(claim_fd >= 0 && !fcntl(claim_fd, F_OFD_SETLK, &lock));
    put_file("/cg/a/cgroup.procs", "");
    put_file("/cg/a/b/cgroup.procs", "");
    put_file("/cg/a/memory.max", "1000000\n");
    put_file("/cg/a/memory.current", "1000\n");
}

static void ledger(const char *text)
{
    g_autofree char *dir = g_build_filename(base, "ledger", NULL);
    HybridLedger *l = hybrid_ledger_open(dir, NULL);
    size_t n = strlen(text);
    uint64_t all;

    FUZZ_CHECK(l && !ftruncate(claim_fd, 0));
    FUZZ_CHECK(pwrite(claim_fd, text, n, 0) == (ssize_t)n);
    FUZZ_CHECK(hybrid_ledger_lock(l));
    all = hybrid_ledger_others(l);
    FUZZ_CHECK(hybrid_ledger_others_in(l, "/a") <= all);
    FUZZ_CHECK(hybrid_ledger_others_in(l, "/") <= all);
    hybrid_ledger_others_of(l, "huge-2048");
    hybrid_ledger_close(l);
}

static void control_groups(FuzzInput *in)
{
    g_autofree char *groups = fuzz_text(in), *mounts = fuzz_text(in);
    g_autofree char *limit = fuzz_text(in), *stat = fuzz_text(in);
    g_autofree char *problem = NULL;
    HybridCgroups out;

    put_file("/proc/self/cgroup", groups);
    put_file("/proc/self/mountinfo", mounts);
    put_file("/cg/a/b/memory.max", limit);
    put_file("/cg/a/b/memory.current", limit);
    put_file("/cg/a/b/memory.limit_in_bytes", limit);
    put_file("/cg/a/b/memory.stat", stat);
    hybrid_cgroup_memory(base, &out);
    for (guint i = 0; i < out.levels->len; i++) {
        HybridCgroupLevel *level = &g_array_index(out.levels,
                                                  HybridCgroupLevel, i);

        FUZZ_CHECK(level->path);
        FUZZ_CHECK(level->limit != UINT64_MAX ||
                   level->total_limit != UINT64_MAX);
    }
    hybrid_cgroup_clear(&out);
    hybrid_cgroup_huge(base, 2 << 20, &problem);
}

static void texts(const char *text)
{
    HybridHostMemory host;
    uint64_t value, memory;
    bool v1;
    size_t top;
    g_autofree char *path = hybrid_cgroup_parse_path(text, "memory", &v1);

    hybrid_reserve_host_init(&host);
    hybrid_reserve_parse_meminfo(text, &host);
    hybrid_reserve_parse_node(text, &memory);
    hybrid_cgroup_number(text, &value);
    hybrid_reserve_parse_nodes(text);
    FUZZ_CHECK(!path || path[0] == '/');
    for (unsigned i = 0; i < 2; i++) {
        g_autofree char *dir = hybrid_cgroup_parse_mount(text, "memory", i,
                                                         path ?: "/a/b", &top);

        FUZZ_CHECK(!dir || top <= strlen(dir));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = { data, size };
    g_autofree char *text = NULL;

    if (!base) {
        prepare();
    }
    text = fuzz_text(&in);
    texts(text);
    ledger(text);
    if (in.size) {
        control_groups(&in);
    }
    return 0;
}
