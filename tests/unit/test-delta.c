/*
 * Pages that are sent as differences: slots, heads, what may be used.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "policy/delta.h"

static void test_head(void)
{
    const HybridDeltaHead head = {
        .slot = 0x01020304, .version = 0x05060708, .bytes = 0x090a,
        .checksum = 0xfbfcfdfe,
    };
    const uint8_t expected[HYBRID_DELTA_HEAD] = {
        1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0xfb, 0xfc, 0xfd, 0xfe
    };
    uint8_t bytes[HYBRID_DELTA_HEAD];
    HybridDeltaHead read;

    hybrid_delta_head_put(bytes, &head);
    g_assert_cmpmem(bytes, sizeof(bytes), expected, sizeof(expected));
    hybrid_delta_head_get(bytes, &read);
    g_assert_cmpuint(read.slot, ==, head.slot);
    g_assert_cmpuint(read.version, ==, head.version);
    g_assert_cmpuint(read.bytes, ==, head.bytes);
    g_assert_cmpuint(read.checksum, ==, head.checksum);
}

/* Against a plain table, with numbers that lie close together and far apart */
static void test_slots(void)
{
    for (guint32 seed = 0; seed < 200; seed++) {
        g_autoptr(GRand) r = g_rand_new_with_seed(seed);
        g_autoptr(GHashTable) model = g_hash_table_new(g_int64_hash,
                                                       g_int64_equal);
        uint32_t n = g_rand_int_range(r, 0, 300);
        HybridSlots *s = hybrid_slots_new(n);
        g_autofree uint64_t *pages = g_new0(uint64_t, 600);
        uint64_t span = 1ull << g_rand_int_range(r, 3, 40);
        uint64_t step = 1ull << g_rand_int_range(r, 0, 20);

        for (unsigned i = 0; i < 600; i++) {
            bool there;
            uint32_t slot;

            pages[i] = (uint64_t)(g_rand_double(r) * span) * step;
            there = g_hash_table_contains(model, &pages[i]);
            slot = hybrid_slots_add(s, pages[i]);
            if (there || g_hash_table_size(model) == n) {
                g_assert_cmpuint(slot, ==, HYBRID_SLOT_NONE);
                continue;
            }
            g_assert_cmpuint(slot, ==, g_hash_table_size(model));
            g_hash_table_insert(model, &pages[i], GUINT_TO_POINTER(slot));
            g_assert_cmpuint(hybrid_slots_taken(s), ==, slot + 1);
            g_assert_cmpuint(hybrid_slots_page(s, slot), ==, pages[i]);
        }
        for (unsigned i = 0; i < 600; i++) {
            gpointer value;
            uint32_t slot = hybrid_slots_find(s, pages[i]);

            if (g_hash_table_lookup_extended(model, &pages[i], NULL, &value)) {
                g_assert_cmpuint(slot, ==, GPOINTER_TO_UINT(value));
            } else {
                g_assert_cmpuint(slot, ==, HYBRID_SLOT_NONE);
            }
        }
        hybrid_slots_free(s);
    }
}

static void test_base_is(void)
{
    HybridBase bases[3] = { { 0 }, { .page = 7, .version = 2 }, { .page = 8 } };
    HybridDeltaHead head = { .slot = 1, .version = 2 };

    g_assert_true(hybrid_base_is(&bases[1], &head, 7));
    g_assert_false(hybrid_base_is(&bases[1], &head, 8));
    g_assert_false(hybrid_base_is(&bases[2], &head, 8));
    g_assert_false(hybrid_base_is(NULL, &head, 7));
    head.version = 1;
    g_assert_false(hybrid_base_is(&bases[1], &head, 7));
    /* Nothing is there, or it was used: no version means it */
    head.version = 0;
    for (int i = 0; i < 3; i++) {
        g_assert_false(hybrid_base_is(&bases[i], &head, bases[i].page));
    }
}

static void test_offer(void)
{
    const uint64_t gib = 1ull << 30;

    g_assert_cmpuint(hybrid_bases_offer(1000, 4096, 8 * gib, gib), ==, 1000);
    g_assert_cmpuint(hybrid_bases_offer(UINT32_MAX, 4096, 3 * gib, gib), ==,
                     gib / 4096);
    g_assert_cmpuint(hybrid_bases_offer(1000, 4096, gib, gib), ==, 0);
    g_assert_cmpuint(hybrid_bases_offer(1000, 4096, gib, 2 * gib), ==, 0);
    g_assert_cmpuint(hybrid_bases_offer(1000, 4096, gib + 8191, gib), ==, 0);
    g_assert_cmpuint(hybrid_bases_offer(0, 4096, 8 * gib, gib), ==, 0);
    g_assert_cmpuint(hybrid_bases_offer(5, 4096, UINT64_MAX, 0), ==, 5);
}

static void test_wanted(void)
{
    const uint64_t gib = 1ull << 30;

    g_assert_cmpuint(hybrid_bases_wanted(INT64_MAX, gib, 4096), ==,
                     gib / 2 / 4096);
    g_assert_cmpuint(hybrid_bases_wanted(1000 * 4096, gib, 4096), ==, 1000);
    g_assert_cmpuint(hybrid_bases_wanted(4095, gib, 4096), ==, 0);
    g_assert_cmpuint(hybrid_bases_wanted(0, gib, 4096), ==, 0);
    g_assert_cmpuint(hybrid_bases_wanted(INT64_MAX, 0, 4096), ==, 0);
    g_assert_cmpuint(hybrid_bases_wanted(UINT64_MAX, UINT64_MAX, 4096), ==,
                     INT32_MAX);
}

static void test_room(void)
{
    g_assert_true(hybrid_bases_have_room(0, 100, 200, 0));
    g_assert_false(hybrid_bases_have_room(0, 101, 200, 0));
    g_assert_true(hybrid_bases_have_room(0, 50, 200, 100));
    g_assert_false(hybrid_bases_have_room(0, 51, 200, 100));
    g_assert_false(hybrid_bases_have_room(0, 1, 200, 200));
    g_assert_false(hybrid_bases_have_room(0, 1, 200, UINT64_MAX));
    g_assert_false(hybrid_bases_have_room(0, 1, 0, 0));
}

/* However small the pieces are, they come to half of what there was */
static void test_half(void)
{
    for (uint64_t piece = 1; piece <= 100; piece++) {
        uint64_t taken = 0;

        while (hybrid_bases_have_room(taken, piece, 1000 - taken, 200)) {
            taken += piece;
        }
        g_assert_cmpuint(taken, <=, 400);
        g_assert_cmpuint(taken, >, 400 - piece - 2);
    }
}

static void test_patience(void)
{
    g_assert_cmpint(hybrid_bases_patience_us(0, 4096, 1e8), ==, 0);
    g_assert_cmpint(hybrid_bases_patience_us(100, 4096, 0), ==, 0);
    g_assert_cmpint(hybrid_bases_patience_us(100, 4096, -1), ==, 0);
    /* 40.96 MB at 100 MB/s: twice 409.6 ms, and 100 ms */
    g_assert_cmpint(hybrid_bases_patience_us(10000, 4096, 1e8), ==, 919200);
    g_assert_cmpint(hybrid_bases_patience_us(UINT32_MAX, 4096, 0.001), ==,
                    1000000000000000);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/delta/head", test_head);
    g_test_add_func("/delta/slots", test_slots);
    g_test_add_func("/delta/base-is", test_base_is);
    g_test_add_func("/delta/offer", test_offer);
    g_test_add_func("/delta/wanted", test_wanted);
    g_test_add_func("/delta/half", test_half);
    g_test_add_func("/delta/room", test_room);
    g_test_add_func("/delta/patience", test_patience);
    return g_test_run();
}
