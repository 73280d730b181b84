/*
 * Unit tests of encoding and decoding of a message
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "protocol/encoding.h"

static HybridMessage empty(void)
{
    return (HybridMessage) { .bytes = g_byte_array_new() };
}

static void test_round_trip(void)
{
    HybridMessage m = empty();
    g_autofree char *text = NULL;

    hybrid_msg_put_be16(&m, 0x1234);
    hybrid_msg_put_be32(&m, 0x12345678);
    hybrid_msg_put_be64(&m, 0x123456789abcdef0);
    hybrid_msg_put_text(&m, "pc.ram");
    g_assert_cmpmem(m.bytes->data, 2, "\x12\x34", 2);
    g_assert_cmpint(hybrid_msg_left(&m), ==, 2 + 4 + 8 + 2 + 6);
    g_assert_cmphex(hybrid_msg_get_be16(&m), ==, 0x1234);
    g_assert_cmphex(hybrid_msg_get_be32(&m), ==, 0x12345678);
    g_assert_cmphex(hybrid_msg_get_be64(&m), ==, 0x123456789abcdef0);
    text = hybrid_msg_get_text(&m);
    g_assert_cmpstr(text, ==, "pc.ram");
    g_assert_cmpint(hybrid_msg_left(&m), ==, 0);
    g_assert_false(m.overrun);
    hybrid_msg_free(&m);
}

/* What is not there is 0 or empty, and never forgotten */
static void test_overrun(void)
{
    HybridMessage m = empty();
    g_autofree char *text = NULL;

    hybrid_msg_put_be16(&m, 0xffff);
    text = hybrid_msg_get_text(&m);
    g_assert_cmpstr(text, ==, "");
    g_assert_true(m.overrun);
    g_assert_cmpint(hybrid_msg_get_be64(&m), ==, 0);
    g_assert_cmpint(hybrid_msg_get_be16(&m), ==, 0);
    hybrid_msg_free(&m);

    m = empty();
    hybrid_msg_put_be16(&m, 5);
    hybrid_msg_put_be16(&m, 7);
    g_assert_cmpint(hybrid_msg_get_be32(&m), ==, 0x50007);
    g_assert_false(m.overrun);
    g_assert_cmpint(hybrid_msg_get_be16(&m), ==, 0);
    g_assert_true(m.overrun);
    hybrid_msg_free(&m);
}

/* A peer says how many follow; it is believed as long as there are some */
static void test_bounds(void)
{
    HybridMessage m = empty();
    GHashTable *sizes;
    GArray *numbers;

    for (unsigned i = 0; i < 3; i++) {
        hybrid_msg_put_be64(&m, i);
        hybrid_msg_put_text(&m, i == 1 ? "one" : "other");
    }
    sizes = hybrid_msg_get_sizes(&m, 3);
    g_assert_false(m.overrun);
    g_assert_cmpint(g_hash_table_size(sizes), ==, 2);
    g_assert_cmpint(*(uint64_t *)g_hash_table_lookup(sizes, "one"), ==, 1);
    g_assert_cmpint(*(uint64_t *)g_hash_table_lookup(sizes, "other"), ==, 2);
    g_hash_table_destroy(sizes);
    m.pos = 0;
    sizes = hybrid_msg_get_sizes(&m, UINT64_MAX);
    g_assert_true(m.overrun);
    g_assert_cmpint(g_hash_table_size(sizes), <=, 3);
    g_hash_table_destroy(sizes);
    hybrid_msg_free(&m);

    m = empty();
    hybrid_msg_put_be64(&m, 77);
    hybrid_msg_put_be64(&m, 78);
    numbers = hybrid_msg_get_numbers(&m, 2);
    g_assert_false(m.overrun);
    g_assert_cmpint(numbers->len, ==, 2);
    g_assert_cmpint(g_array_index(numbers, uint64_t, 1), ==, 78);
    g_array_unref(numbers);
    m.pos = 0;
    numbers = hybrid_msg_get_numbers(&m, UINT32_MAX);
    g_assert_true(m.overrun);
    g_assert_cmpint(numbers->len, ==, 3);
    g_array_unref(numbers);
    hybrid_msg_free(&m);
}

static void check_text(const char *text, size_t n, const char *expected)
{
    g_autofree char *clean = hybrid_peer_text(text, n);

    g_assert_cmpstr(clean, ==, expected);
}

static void test_text(void)
{
    g_autofree char *much = g_strnfill(40000, 'x');
    g_autofree char *bad = g_strnfill(40000, '\xff');
    g_autofree char *clean = NULL;

    check_text("out of memory", 13, "out of memory");
    check_text("", 0, "");
    check_text("a\nb\r\033[2Jc\177d", 11, "a?b??[2Jc?d");
    check_text("zu wenig f\xc3\xbcr", 13, "zu wenig f\xc3\xbcr");
    check_text("\xc3", 1, "\xef\xbf\xbd");
    /* an override of the direction of writing, a line separator */
    check_text("a\xe2\x80\xae" "b\xe2\x80\xa8" "c", 9, "a?b?c");
    clean = hybrid_peer_text(much, 40000);
    g_assert_cmpint(strlen(clean), ==, HYBRID_PEER_TEXT_MAX);
    g_free(clean);
    clean = hybrid_peer_text(bad, 40000);
    g_assert_cmpint(strlen(clean), <=, HYBRID_PEER_TEXT_MAX);
    g_assert_true(g_utf8_validate(clean, -1, NULL));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/msg/round-trip", test_round_trip);
    g_test_add_func("/msg/overrun", test_overrun);
    g_test_add_func("/msg/bounds", test_bounds);
    g_test_add_func("/msg/text", test_text);
    return g_test_run();
}
