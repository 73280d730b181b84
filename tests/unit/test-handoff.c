/*
 * Unit tests of the handoff's tables and their engine.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "hybrid-osdep.h"
#include "hybrid-handoff.h"

#define N_PAIRS (HANDOFF_SRC__MAX * HANDOFF_DST__MAX)

/* What each side accepts, written down a second time, by hand */
static const struct {
    HandoffSrcState from;
    HandoffEvent event;
    HandoffSrcState to;
} src_path[] = {
    { HANDOFF_SRC_IDLE, HANDOFF_EV_HELLO_SENT, HANDOFF_SRC_HELLO },
    { HANDOFF_SRC_HELLO, HANDOFF_EV_PEER_AGREES, HANDOFF_SRC_ASKED },
    { HANDOFF_SRC_ASKED, HANDOFF_EV_PEER_READY, HANDOFF_SRC_PRECOPY },
    { HANDOFF_SRC_PRECOPY, HANDOFF_EV_VM_STOPPED, HANDOFF_SRC_STOPPED },
    { HANDOFF_SRC_STOPPED, HANDOFF_EV_PACKAGE_SENT, HANDOFF_SRC_PACKAGED },
    { HANDOFF_SRC_PACKAGED, HANDOFF_EV_PEER_LOADED, HANDOFF_SRC_GRANTED },
    { HANDOFF_SRC_GRANTED, HANDOFF_EV_PEER_RUNNING, HANDOFF_SRC_RUNNING },
    { HANDOFF_SRC_RUNNING, HANDOFF_EV_LINK_LOST, HANDOFF_SRC_PAUSED },
    { HANDOFF_SRC_PAUSED, HANDOFF_EV_RECOVER, HANDOFF_SRC_GRANTED },
    { HANDOFF_SRC_GRANTED, HANDOFF_EV_PEER_RUNNING, HANDOFF_SRC_RUNNING },
    { HANDOFF_SRC_RUNNING, HANDOFF_EV_PEER_RUNNING, HANDOFF_SRC_RUNNING },
    { HANDOFF_SRC_RUNNING, HANDOFF_EV_PEER_DONE, HANDOFF_SRC_DONE },
};

static void test_source_path(void)
{
    HandoffSrcState state = HANDOFF_SRC_IDLE;

    for (size_t i = 0; i < G_N_ELEMENTS(src_path); i++) {
        g_assert_cmpint(state, ==, src_path[i].from);
        g_assert_true(handoff_src_step(&state, src_path[i].event));
        g_assert_cmpint(state, ==, src_path[i].to);
    }
}

static void test_destination_path(void)
{
    static const HandoffEvent events[] = {
        HANDOFF_EV_HELLO, HANDOFF_EV_SETTINGS_OK, HANDOFF_EV_PACKAGE,
        HANDOFF_EV_LOADED_SENT, HANDOFF_EV_LINK_LOST, HANDOFF_EV_RECOVER,
        HANDOFF_EV_GRANT, HANDOFF_EV_LINK_LOST, HANDOFF_EV_RECOVER,
        HANDOFF_EV_GRANT, HANDOFF_EV_STREAM_END,
    };
    HandoffDstState state = HANDOFF_DST_WAIT;

    for (size_t i = 0; i < G_N_ELEMENTS(events); i++) {
        bool owned = handoff_dst_may_run(state);

        g_assert_true(handoff_dst_step(&state, events[i]));
        /* Only GRANT makes the guest this side's */
        if (!owned && handoff_dst_may_run(state)) {
            g_assert_cmpint(events[i], ==, HANDOFF_EV_GRANT);
        }
    }
    g_assert_cmpint(state, ==, HANDOFF_DST_DONE);
}

/* The source may give the guest away, it never takes it back */
static void test_source_gives_once(void)
{
    for (int from = 0; from < HANDOFF_SRC__MAX; from++) {
        for (int ev = 0; ev < HANDOFF_EV__MAX; ev++) {
            HandoffSrcState state = from;

            if (!handoff_src_step(&state, ev)) {
                g_assert_cmpint(state, ==, from);
                continue;
            }
            if (!handoff_src_may_run(from)) {
                g_assert_false(handoff_src_may_run(state));
            } else if (!handoff_src_may_run(state)) {
                g_assert_cmpint(from, ==, HANDOFF_SRC_PACKAGED);
                g_assert_cmpint(ev, ==, HANDOFF_EV_PEER_LOADED);
            }
        }
    }
}

static void test_destination_needs_grant(void)
{
    for (int from = 0; from < HANDOFF_DST__MAX; from++) {
        for (int ev = 0; ev < HANDOFF_EV__MAX; ev++) {
            HandoffDstState state = from;

            if (!handoff_dst_step(&state, ev)) {
                g_assert_cmpint(state, ==, from);
                continue;
            }
            if (!handoff_dst_may_run(from) && handoff_dst_may_run(state)) {
                g_assert_cmpint(from, ==, HANDOFF_DST_LOADED);
                g_assert_cmpint(ev, ==, HANDOFF_EV_GRANT);
            }
        }
    }
}

/* Cancel, time-out and a lost link always lead back before GRANT, never after */
static void test_going_back(void)
{
    static const HandoffEvent events[] = {
        HANDOFF_EV_CANCEL, HANDOFF_EV_TIMEOUT, HANDOFF_EV_LINK_LOST,
    };

    for (int from = 0; from < HANDOFF_SRC__MAX; from++) {
        for (size_t i = 0; i < G_N_ELEMENTS(events); i++) {
            HandoffSrcState state = from;
            bool stepped = handoff_src_step(&state, events[i]);

            if (from <= HANDOFF_SRC_PACKAGED) {
                g_assert_true(stepped);
                g_assert_cmpint(state, ==, HANDOFF_SRC_BACK);
            } else if (events[i] != HANDOFF_EV_LINK_LOST) {
                g_assert_false(stepped);
            }
        }
    }
}

/*
 * Both sides together, with no assumption about the network but that a
 * destination gets GRANT only from a source that has decided to give it.
 */
static void test_never_both(void)
{
    bool seen[N_PAIRS] = { false };
    int queue[N_PAIRS], head = 0, tail = 0;

    seen[0] = true;
    queue[tail++] = 0;
    while (head < tail) {
        int pair = queue[head++];
        HandoffSrcState src = pair / HANDOFF_DST__MAX;
        HandoffDstState dst = pair % HANDOFF_DST__MAX;

        g_assert_false(handoff_src_may_run(src) && handoff_dst_may_run(dst));
        for (int ev = 0; ev < HANDOFF_EV__MAX; ev++) {
            for (int side = 0; side < 2; side++) {
                HandoffSrcState s = src;
                HandoffDstState d = dst;
                int next;

                if (side == 0 ? !handoff_src_step(&s, ev)
                              : !handoff_dst_step(&d, ev)) {
                    continue;
                }
                if (side == 1 && ev == HANDOFF_EV_GRANT &&
                    handoff_src_may_run(src)) {
                    continue;
                }
                next = s * HANDOFF_DST__MAX + d;
                if (!seen[next]) {
                    seen[next] = true;
                    queue[tail++] = next;
                }
            }
        }
    }
    /* The walk went somewhere: to the end, among others */
    g_assert_true(seen[HANDOFF_SRC_DONE * HANDOFF_DST__MAX +
                       HANDOFF_DST_DONE]);
    g_assert_true(seen[HANDOFF_SRC_PAUSED * HANDOFF_DST__MAX +
                       HANDOFF_DST_LOADED_PAUSED]);
}

static void test_names(void)
{
    g_assert_cmpstr(handoff_src_state_str(HANDOFF_SRC_GRANTED), ==, "GRANTED");
    g_assert_cmpstr(handoff_dst_state_str(HANDOFF_DST_LOADED_PAUSED), ==,
                    "LOADED_PAUSED");
    g_assert_cmpstr(handoff_event_str(HANDOFF_EV_STREAM_END), ==, "STREAM_END");
    g_assert_cmpstr(handoff_event_str(HANDOFF_EV_HELLO_SENT), ==,
                    "HELLO_SENT");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/handoff/source-path", test_source_path);
    g_test_add_func("/handoff/destination-path", test_destination_path);
    g_test_add_func("/handoff/source-gives-once", test_source_gives_once);
    g_test_add_func("/handoff/destination-needs-grant",
                    test_destination_needs_grant);
    g_test_add_func("/handoff/going-back", test_going_back);
    g_test_add_func("/handoff/never-both", test_never_both);
    g_test_add_func("/handoff/names", test_names);
    return g_test_run();
}
