/*
 * Does the destination have room: arithmetic, parsers, the refusal's text.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "policy/reserve.h"

#define GIB (1024ull * 1024 * 1024)
#define MIB (1024ull * 1024)

static uint64_t needed, available;

static HybridHostMemory host_with(uint64_t mem_available)
{
    HybridHostMemory host;

    hybrid_reserve_host_init(&host);
    host.mem_available = mem_available;
    return host;
}

static void test_host(void)
{
    HybridMemoryNeed need = { .guest_bytes = 4 * GIB,
                              .buffers_bytes = 16 * MIB };
    HybridHostMemory host = host_with(4 * GIB + 16 * MIB);

    g_assert_true(hybrid_reserve_check(&need, &host, 0, &needed, &available));
    g_assert_cmpuint(needed, ==, 4 * GIB + 16 * MIB);
    g_assert_cmpuint(available, ==, needed);
    host.mem_available--;
    g_assert_false(hybrid_reserve_check(&need, &host, 0, &needed, &available));
    g_assert_cmpuint(available, ==, needed - 1);

    /* Swap helps, what others have claimed does not */
    host.swap_free = 1;
    g_assert_true(hybrid_reserve_check(&need, &host, 0, &needed, &available));
    host.claimed_by_others = 2 * GIB;
    g_assert_false(hybrid_reserve_check(&need, &host, 0, &needed, &available));
    g_assert_cmpuint(available, ==, 2 * GIB + 16 * MIB);

    /* A guest that is half there already needs only the other half */
    need.resident_bytes = 2 * GIB;
    g_assert_true(hybrid_reserve_check(&need, &host, 0, &needed, &available));
    g_assert_cmpuint(needed, ==, 2 * GIB + 16 * MIB);

    /* Nonsense stays harmless */
    need.resident_bytes = UINT64_MAX;
    hybrid_reserve_check(&need, &host, 0, &needed, &available);
    g_assert_cmpuint(needed, ==, 16 * MIB);
    host.claimed_by_others = UINT64_MAX;
    hybrid_reserve_check(&need, &host, 0, &needed, &available);
    g_assert_cmpuint(available, ==, 0);
}

static void test_overcommit(void)
{
    HybridMemoryNeed need = { .guest_bytes = 1100 };
    HybridHostMemory host = host_with(1000);

    g_assert_false(hybrid_reserve_check(&need, &host, 9, &needed, &available));
    g_assert_cmpuint(available, ==, 1090);
    g_assert_true(hybrid_reserve_check(&need, &host, 10, &needed, &available));
    g_assert_cmpuint(available, ==, 1100);
    hybrid_reserve_check(&need, &host, 1000, &needed, &available);
    g_assert_cmpuint(available, ==, 11000);

    host.mem_available = 155;
    hybrid_reserve_check(&need, &host, 10, &needed, &available);
    g_assert_cmpuint(available, ==, 170);

    /* Of nothing, any percentage is nothing */
    host.mem_available = 0;
    g_assert_false(hybrid_reserve_check(&need, &host, 1000, &needed,
                                        &available));
    g_assert_cmpuint(available, ==, 0);
    host.mem_available = UINT64_MAX / 2;
    g_assert_true(hybrid_reserve_check(&need, &host, UINT32_MAX, &needed,
                                       &available));
    g_assert_cmpuint(available, ==, UINT64_MAX);
}

static void test_cgroup(void)
{
    HybridMemoryNeed need = { .guest_bytes = 2 * GIB };
    HybridHostMemory host = host_with(64 * GIB);

    /* Without a limit, usage means nothing */
    host.cgroup_used = UINT64_MAX;
    g_assert_true(hybrid_reserve_check(&need, &host, 0, &needed, &available));

    host.cgroup_limit = 3 * GIB;
    host.cgroup_used = 1 * GIB;
    g_assert_true(hybrid_reserve_check(&need, &host, 0, &needed, &available));
    g_assert_cmpuint(available, ==, 2 * GIB);
    host.cgroup_used++;
    g_assert_false(hybrid_reserve_check(&need, &host, 0, &needed, &available));

    /* Page cache gives way */
    host.cgroup_reclaimable = 512 * MIB;
    g_assert_true(hybrid_reserve_check(&need, &host, 0, &needed, &available));
    g_assert_cmpuint(available, ==, 2 * GIB + 512 * MIB - 1);
    host.cgroup_reclaimable = UINT64_MAX;
    hybrid_reserve_check(&need, &host, 0, &needed, &available);
    g_assert_cmpuint(available, ==, 3 * GIB);

    /* Swap: what the group may use, and what there is */
    host.cgroup_used = 3 * GIB;
    host.cgroup_reclaimable = 0;
    host.cgroup_swap_limit = 5 * GIB;
    host.cgroup_swap_used = 1 * GIB;
    host.swap_free = 1 * GIB;
    hybrid_reserve_check(&need, &host, 0, &needed, &available);
    g_assert_cmpuint(available, ==, 1 * GIB);
    host.swap_free = 10 * GIB;
    hybrid_reserve_check(&need, &host, 0, &needed, &available);
    g_assert_cmpuint(available, ==, 4 * GIB);
    host.cgroup_claimed_by_others = 3 * GIB;
    hybrid_reserve_check(&need, &host, 0, &needed, &available);
    g_assert_cmpuint(available, ==, 1 * GIB);
    host.cgroup_used = 100 * GIB;
    hybrid_reserve_check(&need, &host, 0, &needed, &available);
    g_assert_cmpuint(available, ==, 1 * GIB);

    /* The host may have less than the group */
    host.mem_available = 100 * MIB;
    host.swap_free = 0;
    host.cgroup_claimed_by_others = host.cgroup_used = 0;
    host.claimed_by_others = 50 * MIB;
    hybrid_reserve_check(&need, &host, 0, &needed, &available);
    g_assert_cmpuint(available, ==, 50 * MIB);
}

/* Version 1: memory and swap together have a limit of their own */
static void test_total(void)
{
    HybridHostMemory host = host_with(64 * GIB);
    HybridCgroupLevel level = { .limit = 4 * GIB, .used = 1 * GIB,
                                .swap_limit = UINT64_MAX,
                                .total_limit = 5 * GIB, .total_used = GIB };
    HybridMemoryNeed need = { .guest_bytes = GIB };

    host.swap_free = 8 * GIB;
    hybrid_reserve_add_group(&host, &level, 0);
    hybrid_reserve_check(&need, &host, 0, &needed, &available);
    g_assert_cmpuint(available, ==, 4 * GIB);
    hybrid_reserve_host_init(&host);
    host.mem_available = 64 * GIB;
    hybrid_reserve_add_group(&host, &level, 0);
    hybrid_reserve_check(&need, &host, 0, &needed, &available);
    g_assert_cmpuint(available, ==, 3 * GIB);
    level.limit = UINT64_MAX;
    level.total_used = 4 * GIB;
    level.reclaimable = 512 * MIB;
    hybrid_reserve_add_group(&host, &level, 0);
    hybrid_reserve_check(&need, &host, 0, &needed, &available);
    g_assert_cmpuint(available, ==, GIB + 512 * MIB);
}

/* What the others have claimed decides which group has the least room */
static void test_groups(void)
{
    HybridHostMemory host = host_with(64 * GIB);
    HybridCgroupLevel own = { .limit = 5 * GIB, .swap_limit = UINT64_MAX,
                              .total_limit = UINT64_MAX };
    HybridCgroupLevel slice = own;
    HybridMemoryNeed need = { .guest_bytes = GIB };

    slice.limit = 8 * GIB;
    hybrid_reserve_add_group(&host, &own, 0);
    hybrid_reserve_add_group(&host, &slice, 2 * GIB);
    hybrid_reserve_check(&need, &host, 0, &needed, &available);
    g_assert_cmpuint(available, ==, 5 * GIB);
    hybrid_reserve_add_group(&host, &slice, 6 * GIB);
    hybrid_reserve_check(&need, &host, 0, &needed, &available);
    g_assert_cmpuint(available, ==, 2 * GIB);
}

static void test_node(void)
{
    uint64_t bytes = 0;

    g_assert_true(hybrid_reserve_parse_node(
        "Node 1 MemTotal:       16384000 kB\n"
        "Node 1 MemFree:            1024 kB\n"
        "Node 1 Active(anon):        999 kB\n"
        "Node 1 Active(file):         10 kB\n"
        "Node 1 Inactive(file):       20 kB\n"
        "Node 1 SReclaimable:          4 kB\n", &bytes));
    g_assert_cmpuint(bytes, ==, 1056 * 1024);
    g_assert_false(hybrid_reserve_parse_node("Node 1 MemTotal: 5 kB\n",
                                             &bytes));
    g_assert_false(hybrid_reserve_parse_node("", &bytes));
}

static uint64_t any_u64(void)
{
    uint64_t v = (uint64_t)g_test_rand_int() << 32 |
                 (uint32_t)g_test_rand_int();

    return v >> g_test_rand_int_range(0, 64);
}

/* More room never refuses what was accepted, more need never the reverse */
static void test_monotone(void)
{
    for (unsigned i = 0; i < 20000; i++) {
        HybridMemoryNeed need = { any_u64(), any_u64(), any_u64() };
        HybridHostMemory host = {
            .mem_available = any_u64(), .swap_free = any_u64(),
            .cgroup_limit = any_u64(), .cgroup_used = any_u64(),
            .cgroup_reclaimable = any_u64(), .cgroup_swap_limit = any_u64(),
            .cgroup_swap_used = any_u64(), .claimed_by_others = any_u64(),
            .cgroup_claimed_by_others = any_u64(),
            .cgroup_total_limit = any_u64(), .cgroup_total_used = any_u64(),
        };
        uint64_t *less[] = { &host.cgroup_used, &host.cgroup_swap_used,
                             &host.cgroup_total_used,
                             &host.claimed_by_others,
                             &host.cgroup_claimed_by_others };
        uint64_t *more[] = { &host.mem_available, &host.swap_free,
                             &host.cgroup_limit, &host.cgroup_reclaimable,
                             &host.cgroup_swap_limit,
                             &host.cgroup_total_limit };
        uint32_t pct = any_u64() % 1001;
        bool fits = hybrid_reserve_check(&need, &host, pct, &needed,
                                         &available);
        uint64_t before = available, *p;
        HybridHostMemory saved = host;

        g_assert_true(fits == (needed <= available));
        p = more[i % G_N_ELEMENTS(more)];
        *p += any_u64() % (UINT64_MAX - *p);
        hybrid_reserve_check(&need, &host, pct, &needed, &available);
        g_assert_cmpuint(available, >=, before);
        host = saved;
        p = less[i % G_N_ELEMENTS(less)];
        *p += any_u64() % (UINT64_MAX - *p);
        hybrid_reserve_check(&need, &host, pct, &needed, &available);
        g_assert_cmpuint(available, <=, before);
        host = saved;
        hybrid_reserve_check(&need, &host, pct + 1, &needed, &available);
        g_assert_cmpuint(available, >=, before);
        before = needed;
        need.guest_bytes += any_u64() % (UINT64_MAX - need.guest_bytes);
        hybrid_reserve_check(&need, &host, pct, &needed, &available);
        g_assert_cmpuint(needed, >=, before);
    }
}

static void test_meminfo(void)
{
    static const char *const bad[] = {
        "", "MemFree: 1 kB\n", "MemAvailable:\n", "MemAvailable: x kB\n",
        "MemAvailable: 5\n", "XMemAvailable: 5 kB\n", "MemAvailable: -5 kB\n",
        "MemAvailableX: 5 kB\n", "MemAvailable 5 kB\n",
        "MemAvailable: 5 MB\n",
    };
    HybridHostMemory host = { .cgroup_limit = 7 };

    g_assert_true(hybrid_reserve_parse_meminfo(
        "MemTotal:       24611148 kB\n"
        "MemFree:        12345678 kB\n"
        "MemAvailable:   20000000 kB\n"
        "SwapCached:            0 kB\n"
        "SwapTotal:       2097148 kB\n"
        "SwapFree:        2097140 kB\n"
        "HugePages_Total:       0\n", &host));
    g_assert_cmpuint(host.mem_available, ==, 20000000ull * 1024);
    g_assert_cmpuint(host.swap_free, ==, 2097140ull * 1024);
    g_assert_cmpuint(host.cgroup_limit, ==, 7);

    /* No newline at the end, no swap line, a number that is too large */
    g_assert_true(hybrid_reserve_parse_meminfo(
        "MemAvailable: 99999999999999999999 kB", &host));
    g_assert_cmpuint(host.mem_available, ==, UINT64_MAX);
    g_assert_cmpuint(host.swap_free, ==, 0);

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        host.mem_available = 42;
        g_assert_false(hybrid_reserve_parse_meminfo(bad[i], &host));
        g_assert_cmpuint(host.mem_available, ==, 42);
    }
}

static void test_refusal(void)
{
    g_autofree char *mib = hybrid_reserve_refusal("memory", 4 * GIB,
                                                  1200 * MIB + 5);
    g_autofree char *bytes = hybrid_reserve_refusal("huge pages of 2048 KiB",
                                                    GIB + 2, GIB + 1);

    g_assert_cmpstr(mib, ==, "not enough memory for the guest: 4096 MiB are "
                    "needed, 1200 MiB are available");
    g_assert_cmpstr(bytes, ==, "not enough huge pages of 2048 KiB for the "
                    "guest: 1073741826 bytes are needed, 1073741825 bytes "
                    "are available");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hybrid/reserve/host", test_host);
    g_test_add_func("/hybrid/reserve/overcommit", test_overcommit);
    g_test_add_func("/hybrid/reserve/cgroup", test_cgroup);
    g_test_add_func("/hybrid/reserve/total", test_total);
    g_test_add_func("/hybrid/reserve/monotone", test_monotone);
    g_test_add_func("/hybrid/reserve/meminfo", test_meminfo);
    g_test_add_func("/hybrid/reserve/groups", test_groups);
    g_test_add_func("/hybrid/reserve/node", test_node);
    g_test_add_func("/hybrid/reserve/refusal", test_refusal);
    return g_test_run();
}
