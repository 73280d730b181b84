/*
 * Control groups: found by what is mounted, in trees made up for the purpose.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "policy/cgroup.h"

#define MIB (1024ull * 1024)
#define GIB (1024 * MIB)

static char *root;

static void put(const char *path, const char *text)
{
    g_autofree char *file = g_build_filename(root, path, NULL);
    g_autofree char *dir = g_path_get_dirname(file);

    g_assert_cmpint(g_mkdir_with_parents(dir, 0755), ==, 0);
    g_assert_true(g_file_set_contents(file, text, -1, NULL));
}

static void group(const char *dir, const char *limit, const char *used)
{
    static const char *const names[] = { "memory.max", "memory.current",
                                         "cgroup.procs" };
    const char *const texts[] = { limit, used, "" };

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(dir, names[i], NULL);

        if (texts[i]) {
            put(path, texts[i]);
        }
    }
}

static void group_v1(const char *dir, const char *limit, const char *stat)
{
    static const char *const names[] = {
        "memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat",
        "cgroup.procs", "memory.memsw.limit_in_bytes",
        "memory.memsw.usage_in_bytes",
    };
    const char *const texts[] = { limit, "1048576", stat, "",
                                  "9223372036854771712", "1048576" };

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(dir, names[i], NULL);

        put(path, texts[i]);
    }
}

static void namespace(const char *link)
{
    g_autofree char *dir = g_build_filename(root, "proc/self/ns", NULL);
    g_autofree char *file = g_build_filename(dir, "cgroup", NULL);

    g_assert_cmpint(g_mkdir_with_parents(dir, 0755), ==, 0);
    g_assert_cmpint(symlink(link, file), ==, 0);
}

static void set_up(void)
{
    root = g_dir_make_tmp("hybrid-cgroup-XXXXXX", NULL);
    g_assert_nonnull(root);
}

static void tear_down(void)
{
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", root);

    g_assert_cmpint(system(command), ==, 0);
    g_clear_pointer(&root, g_free);
}

static const HybridCgroupLevel *level(const HybridCgroups *g, guint i)
{
    g_assert_cmpuint(i, <, g->levels->len);
    return &g_array_index(g->levels, HybridCgroupLevel, i);
}

#define MOUNT2 "30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 " \
               "cgroup2 rw,nsdelegate\n"

/* As libvirt has it: threads in a group below, limits further up */
static void test_v2(void)
{
    HybridCgroups g;

    set_up();
    put("proc/self/cgroup", "0::/machine.slice/a.scope/emulator\n");
    put("proc/self/mountinfo", MOUNT2);
    group("sys/fs/cgroup", NULL, NULL);
    group("sys/fs/cgroup/machine.slice", "8388608\n", "2097152\n");
    put("sys/fs/cgroup/machine.slice/memory.stat",
        "anon 5\nactive_file 1000\ninactive_file 24\n");
    put("sys/fs/cgroup/machine.slice/memory.swap.max", "4096\n");
    put("sys/fs/cgroup/machine.slice/memory.swap.current", "96\n");
    group("sys/fs/cgroup/machine.slice/a.scope", "max\n", "1048576\n");
    group("sys/fs/cgroup/machine.slice/a.scope/emulator", NULL, NULL);
    hybrid_cgroup_memory(root, &g);
    g_assert_null(g.problem);
    g_assert_cmpstr(g.path, ==, "/machine.slice/a.scope/emulator");
    g_assert_cmpuint(g.levels->len, ==, 1);
    g_assert_cmpstr(level(&g, 0)->path, ==, "/machine.slice");
    g_assert_cmpuint(level(&g, 0)->limit, ==, 8 * MIB);
    g_assert_cmpuint(level(&g, 0)->used, ==, 2 * MIB);
    g_assert_cmpuint(level(&g, 0)->reclaimable, ==, 1024);
    g_assert_cmpuint(level(&g, 0)->swap_limit, ==, 4096);
    g_assert_cmpuint(level(&g, 0)->swap_used, ==, 96);
    g_assert_cmpuint(level(&g, 0)->total_limit, ==, UINT64_MAX);
    hybrid_cgroup_clear(&g);

    /* memory.high stops a guest as well as a limit does */
    put("sys/fs/cgroup/machine.slice/a.scope/memory.high", "3145728\n");
    hybrid_cgroup_memory(root, &g);
    g_assert_cmpuint(g.levels->len, ==, 2);
    g_assert_cmpstr(level(&g, 0)->path, ==, "/machine.slice/a.scope");
    g_assert_cmpuint(level(&g, 0)->limit, ==, 3 * MIB);
    hybrid_cgroup_clear(&g);

    /* A limit that cannot be read is not "no limit" */
    put("sys/fs/cgroup/machine.slice/a.scope/memory.max", "garbage\n");
    hybrid_cgroup_memory(root, &g);
    g_assert_nonnull(strstr(g.problem, "a.scope/memory.max"));
    hybrid_cgroup_clear(&g);
    tear_down();
}

static void test_v1(void)
{
    HybridCgroups g;

    set_up();
    put("proc/self/cgroup", "9:name=systemd:/x\n4:memory:/a/b\n0::/x\n");
    put("proc/self/mountinfo",
        "31 20 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
        "32 20 0:31 / /mnt/with\\040space rw - cgroup cgroup rw,memory\n");
    group_v1("mnt/with space", "9223372036854771712", "");
    group_v1("mnt/with space/a", "9223372036854771712", "");
    group_v1("mnt/with space/a/b", "4194304",
             "active_file 7\ntotal_active_file 100\ntotal_inactive_file 1\n"
             "hierarchical_memory_limit 4194304\n");
    put("mnt/with space/a/memory.memsw.limit_in_bytes", "2097152");
    hybrid_cgroup_memory(root, &g);
    g_assert_null(g.problem);
    g_assert_cmpuint(g.levels->len, ==, 2);
    g_assert_cmpstr(level(&g, 0)->path, ==, "/a/b");
    g_assert_cmpuint(level(&g, 0)->limit, ==, 4 * MIB);
    g_assert_cmpuint(level(&g, 0)->reclaimable, ==, 101);
    g_assert_cmpstr(level(&g, 1)->path, ==, "/a");
    g_assert_cmpuint(level(&g, 1)->limit, ==, UINT64_MAX);
    g_assert_cmpuint(level(&g, 1)->total_limit, ==, 2 * MIB);
    g_assert_cmpuint(level(&g, 1)->total_used, ==, 1 * MIB);
    hybrid_cgroup_clear(&g);
    tear_down();
}

/* A container sees its own part only, and what holds above it in a number */
static void test_container(void)
{
    HybridCgroups g;

    set_up();
    put("proc/self/cgroup", "4:memory:/docker/0123/qemu\n");
    put("proc/self/mountinfo",
        "32 20 0:31 /docker/9999 /other rw - cgroup cgroup rw,memory\n"
        "32 20 0:31 /docker/012 /short rw - cgroup cgroup rw,memory\n"
        "32 20 0:31 /docker/0123 /sys/fs/cgroup/memory rw - cgroup cgroup "
        "rw,memory\n");
    group_v1("sys/fs/cgroup/memory", "9223372036854771712", "");
    group_v1("sys/fs/cgroup/memory/qemu", "9223372036854771712",
             "hierarchical_memory_limit 5242880\n");
    hybrid_cgroup_memory(root, &g);
    g_assert_null(g.problem);
    g_assert_cmpuint(g.levels->len, ==, 1);
    g_assert_cmpstr(level(&g, 0)->path, ==, "/docker/0123/qemu");
    g_assert_cmpuint(level(&g, 0)->limit, ==, 5 * MIB);
    hybrid_cgroup_clear(&g);
    tear_down();
}

/* /sys was mounted anew: what is hidden here is seen by the first process */
static void test_hidden(void)
{
    HybridCgroups g;

    set_up();
    put("proc/self/cgroup", "0::/a\n");
    put("proc/self/mountinfo", "20 1 0:22 / /sys rw - sysfs sysfs rw\n");
    hybrid_cgroup_memory(root, &g);
    g_assert_nonnull(strstr(g.problem, "control group /a of version 2"));
    g_assert_cmpuint(g.levels->len, ==, 0);
    hybrid_cgroup_clear(&g);

    /* Mounted, and hidden by another mount */
    put("proc/self/mountinfo", MOUNT2 "20 1 0:22 / /sys rw - sysfs s rw\n");
    hybrid_cgroup_memory(root, &g);
    g_assert_nonnull(g.problem);
    hybrid_cgroup_clear(&g);

    put("proc/1/mountinfo", MOUNT2);
    group("proc/1/root/sys/fs/cgroup", NULL, NULL);
    group("proc/1/root/sys/fs/cgroup/a", "1048576\n", "0\n");
    hybrid_cgroup_memory(root, &g);
    g_assert_null(g.problem);
    g_assert_cmpuint(g.levels->len, ==, 1);
    g_assert_cmpuint(level(&g, 0)->limit, ==, 1 * MIB);
    hybrid_cgroup_clear(&g);
    tear_down();
}

/* What is known to have no limit, and what only looks like it */
static void test_none(void)
{
    HybridCgroups g;

    set_up();
    hybrid_cgroup_memory(root, &g);
    g_assert_nonnull(strstr(g.problem, "/proc is not there"));
    hybrid_cgroup_clear(&g);

    /* A kernel without control groups */
    put("proc/self/status", "");
    hybrid_cgroup_memory(root, &g);
    g_assert_null(g.problem);
    hybrid_cgroup_clear(&g);

    /* Of a namespace nobody knows what is above it */
    put("proc/self/cgroup", "0::/\n");
    put("proc/self/mountinfo", "");
    namespace("cgroup:[4026532001]");
    hybrid_cgroup_memory(root, &g);
    g_assert_nonnull(g.problem);
    hybrid_cgroup_clear(&g);
    tear_down();

    set_up();
    put("proc/self/cgroup", "0::/\n");
    namespace("cgroup:[4026531835]");
    hybrid_cgroup_memory(root, &g);
    g_assert_null(g.problem);
    hybrid_cgroup_clear(&g);
    tear_down();

    /* Outside of the own namespace */
    set_up();
    put("proc/self/cgroup", "0::/../b\n");
    put("proc/self/mountinfo", MOUNT2);
    group("sys/fs/cgroup", NULL, NULL);
    hybrid_cgroup_memory(root, &g);
    g_assert_nonnull(g.problem);
    hybrid_cgroup_clear(&g);
    tear_down();
}

static void test_huge(void)
{
    g_autofree char *problem = NULL;

    set_up();
    put("proc/self/cgroup", "0::/a/b\n");
    put("proc/self/mountinfo", MOUNT2);
    group("sys/fs/cgroup", NULL, NULL);
    group("sys/fs/cgroup/a", NULL, NULL);
    group("sys/fs/cgroup/a/b", NULL, NULL);
    g_assert_cmpuint(hybrid_cgroup_huge(root, 2 * MIB, &problem), ==,
                     UINT64_MAX);
    put("sys/fs/cgroup/a/b/hugetlb.2MB.max", "max\n");
    put("sys/fs/cgroup/a/hugetlb.2MB.max", "8388608\n");
    put("sys/fs/cgroup/a/hugetlb.2MB.current", "2097152\n");
    put("sys/fs/cgroup/a/hugetlb.1GB.max", "0\n");
    g_assert_cmpuint(hybrid_cgroup_huge(root, 2 * MIB, &problem), ==, 6 * MIB);
    g_assert_cmpuint(hybrid_cgroup_huge(root, 1024 * MIB, &problem), ==, 0);
    put("sys/fs/cgroup/a/hugetlb.2MB.rsvd.max", "4194304\n");
    put("sys/fs/cgroup/a/hugetlb.2MB.rsvd.current", "2097152\n");
    g_assert_cmpuint(hybrid_cgroup_huge(root, 2 * MIB, &problem), ==, 2 * MIB);
    g_assert_null(problem);
    tear_down();
}

static void test_paths(void)
{
    static const struct {
        const char *text, *path;
        bool v1;
    } cases[] = {
        { "0::/\n", "/", false },
        { "0::/machine.slice/qemu-1-a:b.scope/libvirt/emulator\n",
          "/machine.slice/qemu-1-a:b.scope/libvirt/emulator", false },
        { "9:name=systemd:/\n4:memory:/a/b\n1:cpu:/\n0::/c\n", "/a/b", true },
        { "0::/c\n4:memory:/a/b\n", "/a/b", true },
        { "5:cpuset,memory,pids:/x", "/x", true },
        { "5:hugememory:/x\n3:memory_x:/y\n", NULL, false },
        { "0::relative\n", NULL, false },
        { "0:\n::\nmemory\n", NULL, false },
        { "", NULL, false },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        bool v1 = false;
        g_autofree char *path = hybrid_cgroup_parse_path(cases[i].text,
                                                         "memory", &v1);

        g_assert_cmpstr(path, ==, cases[i].path);
        g_assert_true(v1 == cases[i].v1);
    }
}

static void test_mounts(void)
{
    static const char *const bad[] = {
        "", " - ", "1 2 3", "1 2 3 / /m rw cgroup2 c rw",
        "1 2 3 / /m rw - cgroup2", "1 2 3 - cgroup2 c rw",
        "1 2 3 / /m rw - tmpfs t rw", "1 2 3 /b /m rw - cgroup2 c rw",
        "1 2 3 /../.. /m rw - cgroup2 c rw",
    };
    size_t top;

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_null(hybrid_cgroup_parse_mount(bad[i], "memory", false, "/a",
                                                &top));
    }
}

static void test_number(void)
{
    static const struct {
        const char *text;
        uint64_t value;
    } cases[] = {
        { "max\n", UINT64_MAX },
        { "max", UINT64_MAX },
        { "0\n", 0 },
        { "1073741824\n", GIB },
        { "1073741824", GIB },
        { "9223372036854771712\n", UINT64_MAX },    /* 4 KiB pages */
        { "9223372036854710272\n", UINT64_MAX },    /* 64 KiB pages */
        { "9223372036854700000\n", 9223372036854700000ull },
        { "99999999999999999999999\n", UINT64_MAX },
    };
    static const char *const bad[] = {
        "-1\n", "12 apples", "", "\n", "maximum\n", " 5\n",
    };
    uint64_t value = 7;

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_true(hybrid_cgroup_number(cases[i].text, &value));
        g_assert_cmpuint(value, ==, cases[i].value);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_assert_false(hybrid_cgroup_number(bad[i], &value));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hybrid/cgroup/v2", test_v2);
    g_test_add_func("/hybrid/cgroup/v1", test_v1);
    g_test_add_func("/hybrid/cgroup/container", test_container);
    g_test_add_func("/hybrid/cgroup/hidden", test_hidden);
    g_test_add_func("/hybrid/cgroup/none", test_none);
    g_test_add_func("/hybrid/cgroup/huge", test_huge);
    g_test_add_func("/hybrid/cgroup/paths", test_paths);
    g_test_add_func("/hybrid/cgroup/mounts", test_mounts);
    g_test_add_func("/hybrid/cgroup/number", test_number);
    return g_test_run();
}
