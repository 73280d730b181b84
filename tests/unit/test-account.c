/*
 * What a guest needs of which purse: the table of docs/operators-guide.md.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "policy/account.h"

#define MIB (1024ull * 1024)
#define HUGE (2 * MIB)

/* One block, and what each purse is asked for, in MiB */
typedef struct Row {
    const char *what;
    HybridBlockUse use;
    uint64_t memory, nodes, huge, files;        /* needed */
    uint64_t huge_claim;
} Row;

static const Row rows[] = {
    { "ordinary", { .length = 64 * MIB }, .memory = 64 },
    { "virtio-mem, empty",
      { .length = 65536 * MIB, .unplugged = 65536 * MIB } },
    { "virtio-mem, partly plugged",
      { .length = 64 * MIB, .unplugged = 48 * MIB }, .memory = 16 },
    { "more unplugged than there is",
      { .length = 64 * MIB, .unplugged = UINT64_MAX } },
    { "preallocated", { .length = 64 * MIB, .held = 64 * MIB } },
    { "held, and more than can be claimed",
      { .length = 64 * MIB, .unplugged = 32 * MIB, .held = 64 * MIB } },
    { "read-only", { .length = 64 * MIB, .readonly = true } },
    { "memfd", { .length = 64 * MIB, .shared = true }, .memory = 64 },
    { "shared with others who have filled half of it",
      { .length = 64 * MIB, .shared = true, .held = 32 * MIB }, .memory = 32 },
    { "tmpfs with a size",
      { .length = 64 * MIB, .shared = true, .device = 9 }, .memory = 64,
      .files = 64 },
    { "tmpfs with a size, private: the file's pages, too",
      { .length = 64 * MIB, .twice = true, .device = 9 }, .memory = 128,
      .files = 64 },
    { "file on a disk",
      { .length = 64 * MIB, .shared = true, .device = 9, .on_disk = true },
      .files = 64 },
    { "bound to a node", { .length = 64 * MIB, .nodes = 2 }, .memory = 64,
      .nodes = 64 },
    { "huge pages, reserved",
      { .length = 64 * MIB, .huge_size = HUGE, .reserved = true } },
    { "huge pages, reserved and allocated, private",
      { .length = 64 * MIB, .huge_size = HUGE, .reserved = true,
        .held = 64 * MIB } },
    { "huge pages, reserved and allocated, shared",
      { .length = 64 * MIB, .huge_size = HUGE, .reserved = true,
        .held = 64 * MIB, .shared = true }, .huge_claim = 64 },
    { "huge pages, not reserved", { .length = 64 * MIB, .huge_size = HUGE },
      .huge = 64, .huge_claim = 64 },
    { "huge pages, not reserved, half allocated",
      { .length = 64 * MIB, .huge_size = HUGE, .held = 32 * MIB,
        .shared = true }, .huge = 32, .huge_claim = 64 },
    { "huge pages, virtio-mem",
      { .length = 64 * MIB, .unplugged = 48 * MIB, .huge_size = HUGE },
      .huge = 16, .huge_claim = 16 },
    { "huge pages, not whole ones", { .length = 63 * MIB, .huge_size = HUGE },
      .huge = 64, .huge_claim = 64 },
    { "huge pages in a file system with a size, reserved",
      { .length = 64 * MIB, .huge_size = HUGE, .reserved = true,
        .device = 9 } },
    { "huge pages in a file system with a size, not reserved",
      { .length = 64 * MIB, .huge_size = HUGE, .device = 9 }, .huge = 64,
      .huge_claim = 64, .files = 64 },
};

static uint64_t purse(GArray *accounts, HybridPurse which, uint64_t nodes,
                      bool claim)
{
    for (guint i = 0; i < accounts->len; i++) {
        HybridAccount *a = &g_array_index(accounts, HybridAccount, i);

        if (a->purse == which && a->nodes == nodes) {
            return (claim ? a->claim : a->needed) / MIB;
        }
    }
    return 0;
}

static void test_rows(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        const Row *r = &rows[i];
        g_autoptr(GArray) a = g_array_new(false, true, sizeof(HybridAccount));

        g_test_message("%s", r->what);
        /* Twice as much of it takes twice as much */
        for (uint64_t n = 1; n <= 2; n++) {
            hybrid_account_add(a, &r->use);
            g_assert_cmpuint(purse(a, HYBRID_PURSE_MEMORY, 0, false), ==,
                             n * r->memory);
            g_assert_cmpuint(purse(a, HYBRID_PURSE_NODES, r->use.nodes, false),
                             ==, n * r->nodes);
            g_assert_cmpuint(purse(a, HYBRID_PURSE_HUGE, 0, false), ==,
                             n * r->huge);
            g_assert_cmpuint(purse(a, HYBRID_PURSE_HUGE, 0, true), ==,
                             n * r->huge_claim);
            g_assert_cmpuint(purse(a, HYBRID_PURSE_FILES, 0, false), ==,
                             n * r->files);
        }
    }
}

static void assert_names(HybridAccount a, const char *name, const char *key)
{
    g_autofree char *n = hybrid_account_name(&a);
    g_autofree char *k = hybrid_account_key(&a);

    g_assert_cmpstr(n, ==, name);
    g_assert_cmpstr(k, ==, key);
}

static void test_names(void)
{
    assert_names((HybridAccount) { .purse = HYBRID_PURSE_MEMORY }, "memory",
                 "memory");
    assert_names((HybridAccount) { .purse = HYBRID_PURSE_NODES, .nodes = 5 },
                 "memory on NUMA nodes 0,2", "memory-nodes-0,2");
    assert_names((HybridAccount) { .purse = HYBRID_PURSE_HUGE,
                                   .huge_size = HUGE },
                 "huge pages of 2048 KiB", "huge-2048");
    assert_names((HybridAccount) { .purse = HYBRID_PURSE_HUGE, .nodes = 2,
                                   .huge_size = HUGE },
                 "huge pages of 2048 KiB on NUMA nodes 1",
                 "huge-2048-nodes-1");
    assert_names((HybridAccount) { .purse = HYBRID_PURSE_FILES, .device = 7 },
                 "space in the file system", "files-7");
}

/* Blocks of several kinds side by side, each in its own purse */
static void test_mixed(void)
{
    g_autoptr(GArray) a = g_array_new(false, true, sizeof(HybridAccount));
    HybridBlockUse uses[] = {
        { .length = 10 * MIB }, { .length = 20 * MIB, .nodes = 1 },
        { .length = 40 * MIB, .nodes = 2 },
        { .length = 80 * MIB, .huge_size = HUGE, .nodes = 2 },
        { .length = 160 * MIB, .huge_size = HUGE },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(uses); i++) {
        hybrid_account_add(a, &uses[i]);
    }
    g_assert_cmpuint(purse(a, HYBRID_PURSE_MEMORY, 0, false), ==, 70);
    g_assert_cmpuint(purse(a, HYBRID_PURSE_NODES, 1, false), ==, 20);
    g_assert_cmpuint(purse(a, HYBRID_PURSE_NODES, 2, false), ==, 40);
    g_assert_cmpuint(purse(a, HYBRID_PURSE_HUGE, 0, false), ==, 240);
    g_assert_cmpuint(purse(a, HYBRID_PURSE_HUGE, 2, false), ==, 80);
}

static void test_balloon(void)
{
    HybridBlockUse uses[] = {
        { .length = 60 * MIB }, { .length = 20 * MIB, .nodes = 1 },
        { .length = 20 * MIB, .shared = true, .device = 9 },
        { .length = 80 * MIB, .huge_size = HUGE },
    };
    static const struct {
        uint64_t taken, memory, node, files;
    } cases[] = {
        { 0, 100, 20, 20 }, { 50 * MIB, 50, 10, 10 }, { 100 * MIB, 0, 0, 0 },
        { UINT64_MAX, 0, 0, 0 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GArray) a = g_array_new(false, true, sizeof(HybridAccount));

        for (unsigned n = 0; n < G_N_ELEMENTS(uses); n++) {
            hybrid_account_add(a, &uses[n]);
        }
        hybrid_account_balloon(a, cases[i].taken);
        g_assert_cmpuint(purse(a, HYBRID_PURSE_MEMORY, 0, false), ==,
                         cases[i].memory);
        g_assert_cmpuint(purse(a, HYBRID_PURSE_NODES, 1, true), ==,
                         cases[i].node);
        g_assert_cmpuint(purse(a, HYBRID_PURSE_FILES, 0, false), ==,
                         cases[i].files);
        g_assert_cmpuint(purse(a, HYBRID_PURSE_HUGE, 0, false), ==, 80);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hybrid/account/rows", test_rows);
    g_test_add_func("/hybrid/account/names", test_names);
    g_test_add_func("/hybrid/account/mixed", test_mixed);
    g_test_add_func("/hybrid/account/balloon", test_balloon);
    return g_test_run();
}
