/*
 * Unit tests of the blocks of memory that the source names, and what the
 * destination says of them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "protocol/blocks.h"

/* As hybrid_msg_new() makes it, and hybrid_msg_read() leaves it */
static HybridMessage message(void)
{
    HybridMessage m = { .bytes = g_byte_array_new() };

    hybrid_msg_put_be16(&m, 9);
    hybrid_msg_put_be16(&m, 1);
    m.pos = 4;
    return m;
}

static void test_round_trip(void)
{
    HybridBlock in[] = { { (char *)"pc.ram", 1 << 26, HYBRID_NO_PLACE },
                         { (char *)"dimm0", 1 << 25, 5ull << 30 } };
    HybridMessage m = message();
    HybridBlock out;

    for (unsigned i = 0; i < G_N_ELEMENTS(in); i++) {
        g_assert_true(hybrid_block_put(&m, &in[i]));
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(in); i++) {
        g_assert_true(hybrid_block_get(&m, &out));
        g_assert_cmpstr(out.name, ==, in[i].name);
        g_assert_cmpint(out.length, ==, in[i].length);
        g_assert_cmpint(out.place, ==, in[i].place);
        g_free(out.name);
    }
    g_assert_false(hybrid_block_get(&m, &out));
    g_assert_false(m.overrun);
    hybrid_msg_free(&m);
}

/* A message does not grow beyond what a peer takes; 200 DIMMs are no oddity */
static void test_full(void)
{
    g_autofree char *name = g_strnfill(255, 'x');
    HybridBlock b = { name, 7, 1 };
    HybridMessage m = message();
    unsigned put = 0, got = 0;

    while (hybrid_block_put(&m, &b)) {
        put++;
    }
    g_assert_cmpint(m.bytes->len, <=, HYBRID_MSG_MAX_BODY + 4);
    g_assert_cmpint(put, ==, HYBRID_MSG_MAX_BODY / 273);
    while (hybrid_block_get(&m, &b)) {
        g_free(b.name);
        got++;
    }
    g_assert_cmpint(got, ==, put);
    hybrid_msg_free(&m);
}

/* Half a block is none, and an error */
static void test_cut(void)
{
    HybridBlock b = { (char *)"pc.ram", 4096, HYBRID_NO_PLACE };

    for (unsigned cut = 1; cut < 24; cut++) {
        HybridMessage m = message();
        HybridBlock out;

        hybrid_block_put(&m, &b);
        g_byte_array_set_size(m.bytes, m.bytes->len - cut);
        g_assert_false(hybrid_block_get(&m, &out));
        g_assert_true(m.overrun);
        g_assert_null(out.name);
        hybrid_msg_free(&m);
    }
}

static void expect(HybridMisfits *w, const char *sentence)
{
    g_autofree char *said = hybrid_misfits_sentence(w, "memory is");

    g_assert_cmpstr(said, ==, sentence);
}

static void test_sentence(void)
{
    HybridBlock ram = { (char *)"pc.ram", 64 << 20, HYBRID_NO_PLACE };
    HybridBlock dimm = { (char *)"dimm\n", 32 << 20, 0x140000000 };
    HybridMisfits w = { 0 };

    hybrid_misfits_place(&w, &ram, HYBRID_NO_PLACE);
    hybrid_misfits_place(&w, &ram, 0);
    hybrid_misfits_place(&w, &dimm, 0x140000000);
    hybrid_misfits_place(&w, &dimm, HYBRID_NO_PLACE);
    expect(&w, NULL);
    hybrid_misfits_length(&w, &ram, 32 << 20);
    expect(&w, "its memory is not the guest's: 'pc.ram' has 65536 KiB, and "
           "there 32768 KiB");
    hybrid_misfits_place(&w, &dimm, 0x180000000);
    hybrid_misfits_no_block(&w, &dimm);
    expect(&w, "its memory is not the guest's: 'pc.ram' has 65536 KiB, and "
           "there 32768 KiB, 'dimm?' lies at 0x140000000, and there at "
           "0x180000000, 'dimm?' is missing there");
    hybrid_misfits_no_block(&w, &ram);
    hybrid_misfits_no_block(&w, &ram);
    g_assert_true(g_str_has_suffix(w.text->str, "'pc.ram' is missing there"));
    g_assert_cmpint(w.found, ==, 5);
    hybrid_misfits_free(&w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hybrid/blocks/round-trip", test_round_trip);
    g_test_add_func("/hybrid/blocks/full", test_full);
    g_test_add_func("/hybrid/blocks/cut", test_cut);
    g_test_add_func("/hybrid/blocks/sentence", test_sentence);
    return g_test_run();
}
