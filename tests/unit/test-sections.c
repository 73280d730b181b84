/*
 * Unit tests of the sections that the source names, and what the destination
 * says of them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "protocol/sections.h"

/* As hybrid_msg_new() makes it, and hybrid_msg_read() leaves it */
static HybridMessage message(void)
{
    HybridMessage m = { .bytes = g_byte_array_new() };

    hybrid_msg_put_be16(&m, 6);
    hybrid_msg_put_be16(&m, 1);
    m.pos = 4;
    return m;
}

static void test_round_trip(void)
{
    HybridSection in[] = { { (char *)"ram", 0, 4 },
                           { (char *)"0000:00:03.0/e1000", 1, 3 } };
    HybridMessage m = message();
    HybridSection out;

    for (unsigned i = 0; i < G_N_ELEMENTS(in); i++) {
        g_assert_true(hybrid_section_put(&m, &in[i]));
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(in); i++) {
        g_assert_true(hybrid_section_get(&m, &out));
        g_assert_cmpstr(out.idstr, ==, in[i].idstr);
        g_assert_cmpint(out.instance_id, ==, in[i].instance_id);
        g_assert_cmpint(out.version, ==, in[i].version);
        g_free(out.idstr);
    }
    g_assert_false(hybrid_section_get(&m, &out));
    g_assert_false(m.overrun);
    hybrid_msg_free(&m);
}

/* A message does not grow beyond what a peer takes */
static void test_full(void)
{
    g_autofree char *idstr = g_strnfill(255, 'x');
    HybridSection s = { idstr, 7, 1 };
    HybridMessage m = message();
    unsigned put = 0, got = 0;

    while (hybrid_section_put(&m, &s)) {
        put++;
    }
    g_assert_cmpint(m.bytes->len, <=, HYBRID_MSG_MAX_BODY + 4);
    g_assert_cmpint(put, ==, HYBRID_MSG_MAX_BODY / 265);
    while (hybrid_section_get(&m, &s)) {
        g_free(s.idstr);
        got++;
    }
    g_assert_cmpint(got, ==, put);
    hybrid_msg_free(&m);
}

/* Half a section is none, and an error */
static void test_cut(void)
{
    HybridSection s = { (char *)"timer", 0, 2 };

    for (unsigned cut = 1; cut < 15; cut++) {
        HybridMessage m = message();
        HybridSection out;

        hybrid_section_put(&m, &s);
        g_byte_array_set_size(m.bytes, m.bytes->len - cut);
        g_assert_false(hybrid_section_get(&m, &out));
        g_assert_true(m.overrun);
        g_assert_null(out.idstr);
        hybrid_msg_free(&m);
    }
}

static void expect(HybridMisfits *w, const char *sentence)
{
    g_autofree char *said = hybrid_misfits_sentence(w, "devices are");

    g_assert_cmpstr(said, ==, sentence);
}

static void test_sentence(void)
{
    HybridSection nic = { (char *)"0000:00:03.0/e1000", 0, 3 };
    HybridSection cpu = { (char *)"cpu_common", 2, 1 };
    HybridSection hub = { (char *)"0000:00:01.2/1/usb-ptr", 0, 1 };
    HybridMisfits w = { 0 };

    expect(&w, NULL);
    hybrid_misfits_version(&w, &nic, 2, 3);
    hybrid_misfits_version(&w, &nic, 3, 9);
    expect(&w, NULL);
    hybrid_misfits_missing(&w, &nic);
    expect(&w, "its devices are not the guest's: 'e1000' at 0000:00:03.0 is "
           "missing there");
    hybrid_misfits_missing(&w, &cpu);
    hybrid_misfits_version(&w, &hub, 2, 9);
    hybrid_misfits_version(&w, &nic, 0, 2);
    expect(&w, "its devices are not the guest's: 'e1000' at 0000:00:03.0 is "
           "missing there, 'cpu_common' (number 2) is missing there, 'usb-ptr' "
           "at 0000:00:01.2/1 has version 1, and there 2 at least, 'e1000' at "
           "0000:00:03.0 has version 3, and there 2 at most");
    for (int i = 0; i < 1000; i++) {
        hybrid_misfits_missing(&w, &cpu);
    }
    g_assert_true(g_str_has_suffix(w.text->str, "2 at most"));
    hybrid_misfits_free(&w);
    expect(&w, NULL);

    /* What is no name of QEMU's */
    nic.idstr = (char *)"/\n\x80";
    hybrid_misfits_missing(&w, &nic);
    expect(&w, "its devices are not the guest's: '/?\xef\xbf\xbd' is missing "
           "there");
    hybrid_misfits_free(&w);
}

/* However long the names are, there is an end to it */
static void test_bounds(void)
{
    g_autofree char *idstr = g_strnfill(30000, '\x80');
    HybridSection s = { idstr, 1, 1 };
    HybridMisfits w = { 0 };
    unsigned looked = 0;

    while (hybrid_misfits_look(&w)) {
        hybrid_misfits_missing(&w, &s);
        looked++;
    }
    g_assert_cmpint(looked, ==, HYBRID_SECTIONS_MAX);
    g_assert_cmpint(w.found, ==, HYBRID_SECTIONS_MAX);
    g_assert_cmpint(w.text->len, <, 4096);
    hybrid_misfits_free(&w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hybrid/sections/round-trip", test_round_trip);
    g_test_add_func("/hybrid/sections/full", test_full);
    g_test_add_func("/hybrid/sections/cut", test_cut);
    g_test_add_func("/hybrid/sections/sentence", test_sentence);
    g_test_add_func("/hybrid/sections/bounds", test_bounds);
    return g_test_run();
}
