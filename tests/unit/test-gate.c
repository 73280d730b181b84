/*
 * Hybrid live migration: unit tests of the gate for messages.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "protocol/gate.h"

/*
 * Written down a second time on purpose, one letter for each pair: P passes,
 * l late, a again, n newer, . is an error of the stream.  A change of the
 * table shall not slip in.
 */
static const char *const src_messages =
    "ACK ECHO PONG SHUT SHUT_EARLY SHUT_ERROR REQ_PAGES RECV_BITMAP "
    "RESUME_ACK SWITCHOVER_ACK READY REFUSE LOADED RUNNING STATS PLACED "
    "FAILED ALIVE DELTAS RAW DROPPED OTHER";
static const char *const src_expected[HANDOFF_SRC__MAX] = {
    [HANDOFF_SRC_IDLE]     = "..P..P...P............",
    [HANDOFF_SRC_HELLO]    = "PPP..P...P............",
    [HANDOFF_SRC_ASKED]    = "..P..P...PPP....PP...n",
    [HANDOFF_SRC_PRECOPY]  = "..P..P...P......PP..Pn",
    [HANDOFF_SRC_STOPPED]  = "..P..P...P......PP..Pn",
    [HANDOFF_SRC_PACKAGED] = "..P..PP.....P..PPP.Pln",
    [HANDOFF_SRC_GRANTED]  = "..P..PPPP...aP.PPPPP.n",
    [HANDOFF_SRC_RUNNING]  = "..PP.PPPP...aPPPPPPP.n",
    [HANDOFF_SRC_PAUSED]   = "lllPPPl.llllllllPlllll",
    [HANDOFF_SRC_DONE]     = "lllPPPl.llllllllPlllll",
    [HANDOFF_SRC_BACK]     = "lllPPPl.llllllllPlllll",
    [HANDOFF_SRC_PLAIN]    = "laPPPPPPPP............",
};

static const char *const dst_messages =
    "END START DATA DATA_END STATE OPEN_RETURN_PATH PING ADVISE LISTEN RUN "
    "RAM_DISCARD PACKAGED ENABLE_COLO RESUME RECV_BITMAP SWITCHOVER_START "
    "HELLO SETTINGS GRANT ABORT DISCARD ALIVE SECTIONS BASE "
    "DELTAS BLOCKS OTHER";
static const char *const dst_expected[HYBRID_PLACE__MAX] = {
    [HYBRID_PLACE_WAIT]           = ".....PP.........P..........",
    [HYBRID_PLACE_AGREED]         = "......P.........aP.P.PP..Pn",
    [HYBRID_PLACE_READY]          = ".PPPP.PP..PP...Pa..PPP.P..n",
    [HYBRID_PLACE_LOADING]        = "..P...P.........a..P.P....n",
    [HYBRID_PLACE_LOADED]         = "..P...P.........a.PP.P....n",
    [HYBRID_PLACE_RUNNING]        = "P.PP..P......PP.a.Pl.P..P.n",
    [HYBRID_PLACE_LOADED_PAUSED]  = "..................P........",
    [HYBRID_PLACE_RUNNING_PAUSED] = "..................P........",
    [HYBRID_PLACE_DONE]           = "PPPPPPPPPPPPPPPPl..........",
    [HYBRID_PLACE_GONE]           = "...........................",
    [HYBRID_PLACE_PLAIN]          = "PPPPPPPPPPPPPPPPl..........",
    [HYBRID_PLACE_PACKAGE]        = "....P.P.PP.................",
};

static char letter(HybridVerdict verdict)
{
    const char letters[] = ".Plan";

    g_assert_cmpint(verdict, <, HYBRID_GATE__MAX);
    g_assert_cmpint(HYBRID_GATE__MAX, ==, 5);
    return letters[verdict];
}

static void check_names(const char *names, const char *(*str)(int), int n)
{
    g_auto(GStrv) expected = g_strsplit(names, " ", 0);

    g_assert_cmpint(g_strv_length(expected), ==, n);
    for (int i = 0; i < n; i++) {
        g_assert_cmpstr(expected[i], ==, str(i));
    }
}

static const char *from_dst_str(int i)
{
    return hybrid_from_dst_str(i);
}

static const char *from_src_str(int i)
{
    return hybrid_from_src_str(i);
}

static void test_src(void)
{
    check_names(src_messages, from_dst_str, HYBRID_FROM_DST__MAX);
    for (HandoffSrcState s = 0; s < HANDOFF_SRC__MAX; s++) {
        GString *now = g_string_new(NULL);

        for (HybridFromDst m = 0; m < HYBRID_FROM_DST__MAX; m++) {
            g_string_append_c(now, letter(hybrid_gate_src(s, m)));
        }
        if (!g_str_equal(now->str, src_expected[s])) {
            g_test_message("state %s", handoff_src_state_str(s));
        }
        g_assert_cmpstr(now->str, ==, src_expected[s]);
        g_string_free(now, TRUE);
    }
}

static void test_dst(void)
{
    check_names(dst_messages, from_src_str, HYBRID_FROM_SRC__MAX);
    for (HybridPlace p = 0; p < HYBRID_PLACE__MAX; p++) {
        GString *now = g_string_new(NULL);

        for (HybridFromSrc m = 0; m < HYBRID_FROM_SRC__MAX; m++) {
            g_string_append_c(now, letter(hybrid_gate_dst(p, m)));
        }
        if (!g_str_equal(now->str, dst_expected[p])) {
            g_test_message("state %s", hybrid_place_str(p));
        }
        g_assert_cmpstr(now->str, ==, dst_expected[p]);
        g_string_free(now, TRUE);
    }
}

/* What no row may ever allow, whatever is added to the table */
static void test_never(void)
{
    for (HandoffSrcState s = 0; s < HANDOFF_SRC__MAX; s++) {
        bool has_package = s == HANDOFF_SRC_PACKAGED ||
                           s == HANDOFF_SRC_GRANTED ||
                           s == HANDOFF_SRC_RUNNING;
        HandoffSrcState next = s;

        /* LOADED counts where the table of the handoff has a row for it */
        g_assert_true((hybrid_gate_src(s, HYBRID_FROM_DST_LOADED) ==
                       HYBRID_GATE_PASS) ==
                      handoff_src_step(&next, HANDOFF_EV_PEER_LOADED));
        if (!has_package && s != HANDOFF_SRC_PLAIN) {
            g_assert_cmpint(hybrid_gate_src(s, HYBRID_FROM_DST_REQ_PAGES), !=,
                            HYBRID_GATE_PASS);
        }
        next = s;
        if (hybrid_gate_src(s, HYBRID_FROM_DST_RUNNING) == HYBRID_GATE_PASS) {
            g_assert_true(handoff_src_step(&next, HANDOFF_EV_PEER_RUNNING));
        }
        next = s;
        g_assert_true((hybrid_gate_src(s, HYBRID_FROM_DST_READY) ==
                       HYBRID_GATE_PASS) ==
                      handoff_src_step(&next, HANDOFF_EV_PEER_READY));
    }
    for (HybridPlace p = 0; p < HYBRID_PLACE_PLAIN; p++) {
        HandoffDstState next = (HandoffDstState)p;

        if (p == HYBRID_PLACE_DONE) {
            continue;
        }
        /* The end of the stream is one only behind GRANT */
        g_assert_true((hybrid_gate_dst(p, HYBRID_FROM_SRC_END) ==
                       HYBRID_GATE_PASS) ==
                      handoff_dst_step(&next, HANDOFF_EV_STREAM_END));
        next = (HandoffDstState)p;
        g_assert_true((hybrid_gate_dst(p, HYBRID_FROM_SRC_SETTINGS) ==
                       HYBRID_GATE_PASS) ==
                      handoff_dst_step(&next, HANDOFF_EV_SETTINGS_OK));
        next = (HandoffDstState)p;
        if (hybrid_gate_dst(p, HYBRID_FROM_SRC_GRANT) == HYBRID_GATE_PASS) {
            g_assert_true(handoff_dst_step(&next, HANDOFF_EV_GRANT) ||
                          handoff_dst_step(&next, HANDOFF_EV_RECOVER));
        }
        /* Nothing but the package starts a guest, and it does not listen */
        g_assert_cmpint(hybrid_gate_dst(p, HYBRID_FROM_SRC_RUN), ==,
                        HYBRID_GATE_ERROR);
        g_assert_cmpint(hybrid_gate_dst(p, HYBRID_FROM_SRC_LISTEN), ==,
                        HYBRID_GATE_ERROR);
    }
}

static void test_numbers(void)
{
    HybridFromSrc msg;

    g_assert_cmpint(hybrid_from_dst(18), ==, HYBRID_FROM_DST_LOADED);
    g_assert_cmpint(hybrid_from_dst(0), ==, HYBRID_FROM_DST_OTHER);
    g_assert_cmpint(hybrid_from_dst(0xffff), ==, HYBRID_FROM_DST_OTHER);
    g_assert_cmpint(hybrid_from_src_private(2), ==, HYBRID_FROM_SRC_GRANT);
    g_assert_cmpint(hybrid_from_src_private(0), ==, HYBRID_FROM_SRC_OTHER);
    g_assert_cmpint(hybrid_from_src_private(18), ==, HYBRID_FROM_SRC_OTHER);
    /* As in QEMU's savevm.c and savevm.h: all that it knows, no more */
    for (unsigned n = 0; n <= 0xffff; n++) {
        g_assert_true(hybrid_from_src_command(n, &msg) == (n >= 1 && n <= 11));
    }
    g_assert_true(hybrid_from_src_command(9, &msg));
    g_assert_cmpint(msg, ==, HYBRID_FROM_SRC_RESUME);
    g_assert_true(hybrid_from_src_section(0, &msg));
    g_assert_cmpint(msg, ==, HYBRID_FROM_SRC_END);
    for (unsigned n = 5; n <= 0xff; n++) {
        g_assert_false(hybrid_from_src_section(n, &msg));
    }
    g_assert_cmpint(hybrid_gate_src(HANDOFF_SRC__MAX, HYBRID_FROM_DST_PONG),
                    ==, HYBRID_GATE_ERROR);
    g_assert_cmpint(hybrid_gate_dst(HYBRID_PLACE__MAX, HYBRID_FROM_SRC_PING),
                    ==, HYBRID_GATE_ERROR);
    g_assert_cmpstr(hybrid_verdict_str(HYBRID_GATE_LATE), ==, "LATE");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/gate/source", test_src);
    g_test_add_func("/gate/destination", test_dst);
    g_test_add_func("/gate/never", test_never);
    g_test_add_func("/gate/numbers", test_numbers);
    return g_test_run();
}
