/*
 * Hybrid live migration: unit tests of the handoff's transition tables.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "protocol/handoff.h"
#include "owners.h"

typedef struct Row {
    const char *state;
    const char *event;
    const char *next;
} Row;

/*
 * Written down a second time on purpose: the table is part of the protocol,
 * and a change of it shall not slip in.
 */
static const Row src_expected[] = {
    { "IDLE", "HELLO_SENT", "HELLO" },
    { "HELLO", "PEER_AGREES", "ASKED" },
    { "HELLO", "PEER_PLAIN", "PLAIN" },
    { "ASKED", "PEER_READY", "PRECOPY" },
    { "ASKED", "PEER_REFUSES", "BACK" },
    { "PRECOPY", "VM_STOPPED", "STOPPED" },
    { "STOPPED", "PACKAGE_SENT", "PACKAGED" },
    { "PACKAGED", "PEER_LOADED", "GRANTED" },
    { "GRANTED", "PEER_RUNNING", "RUNNING" },
    { "GRANTED", "LINK_LOST", "PAUSED" },
    { "RUNNING", "PEER_RUNNING", "RUNNING" },
    { "RUNNING", "PEER_DONE", "DONE" },
    { "RUNNING", "LINK_LOST", "PAUSED" },
    { "PAUSED", "RECOVER", "GRANTED" },
    { "PAUSED", "LINK_LOST", "PAUSED" },
};

/* In these states, and no other, each of these events means BACK */
static const char *const src_own_phases[] = {
    "IDLE", "HELLO", "ASKED", "PRECOPY", "STOPPED", "PACKAGED",
};
static const char *const src_failures[] = { "LINK_LOST", "CANCEL", "TIMEOUT" };

static const Row dst_expected[] = {
    { "WAIT", "HELLO", "AGREED" },
    { "WAIT", "LINK_LOST", "GONE" },
    { "AGREED", "SETTINGS_OK", "READY" },
    { "AGREED", "SETTINGS_REFUSED", "GONE" },
    { "AGREED", "ABORT", "GONE" },
    { "AGREED", "LINK_LOST", "GONE" },
    { "READY", "PACKAGE", "LOADING" },
    { "READY", "ABORT", "GONE" },
    { "READY", "LINK_LOST", "GONE" },
    { "LOADING", "LOADED_SENT", "LOADED" },
    { "LOADING", "LOAD_FAILED", "GONE" },
    { "LOADING", "ABORT", "GONE" },
    { "LOADING", "LINK_LOST", "GONE" },
    { "LOADED", "GRANT", "RUNNING" },
    { "LOADED", "ABORT", "GONE" },
    { "LOADED", "LINK_LOST", "LOADED_PAUSED" },
    { "RUNNING", "GRANT", "RUNNING" },
    { "RUNNING", "STREAM_END", "DONE" },
    { "RUNNING", "LINK_LOST", "RUNNING_PAUSED" },
    { "LOADED_PAUSED", "RECOVER", "LOADED" },
    { "LOADED_PAUSED", "LINK_LOST", "LOADED_PAUSED" },
    { "RUNNING_PAUSED", "RECOVER", "RUNNING" },
    { "RUNNING_PAUSED", "LINK_LOST", "RUNNING_PAUSED" },
};

static const char *find_next(const Row *rows, size_t n, const char *state,
                             const char *event)
{
    for (size_t i = 0; i < n; i++) {
        if (g_str_equal(rows[i].state, state) &&
            g_str_equal(rows[i].event, event)) {
            return rows[i].next;
        }
    }
    return NULL;
}

static bool is_one_of(const char *name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (g_str_equal(list[i], name)) {
            return true;
        }
    }
    return false;
}

static void test_names(void)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    for (HandoffSrcState s = 0; s < HANDOFF_SRC__MAX; s++) {
        g_assert_nonnull(handoff_src_state_str(s));
        g_assert_true(g_hash_table_add(seen,
                                       (char *)handoff_src_state_str(s)));
    }
    g_hash_table_remove_all(seen);
    for (HandoffDstState s = 0; s < HANDOFF_DST__MAX; s++) {
        g_assert_nonnull(handoff_dst_state_str(s));
        g_assert_true(g_hash_table_add(seen,
                                       (char *)handoff_dst_state_str(s)));
    }
    g_hash_table_remove_all(seen);
    for (HandoffEvent ev = 0; ev < HANDOFF_EV__MAX; ev++) {
        g_assert_nonnull(handoff_event_str(ev));
        g_assert_true(g_hash_table_add(seen, (char *)handoff_event_str(ev)));
    }

    /* Traces and tests/model/replay depend on these */
    g_assert_cmpstr(handoff_src_state_str(HANDOFF_SRC_IDLE), ==, "IDLE");
    g_assert_cmpstr(handoff_src_state_str(HANDOFF_SRC_PLAIN), ==, "PLAIN");
    g_assert_cmpstr(handoff_dst_state_str(HANDOFF_DST_WAIT), ==, "WAIT");
    g_assert_cmpstr(handoff_dst_state_str(HANDOFF_DST_GONE), ==, "GONE");
    g_assert_cmpstr(handoff_event_str(HANDOFF_EV_GRANT), ==, "GRANT");
}

static void test_src_rows(void)
{
    for (HandoffSrcState s = 0; s < HANDOFF_SRC__MAX; s++) {
        for (HandoffEvent ev = 0; ev < HANDOFF_EV__MAX; ev++) {
            const char *from = handoff_src_state_str(s);
            const char *event = handoff_event_str(ev);
            const char *next = find_next(src_expected,
                                         G_N_ELEMENTS(src_expected),
                                         from, event);
            HandoffSrcState to = s;
            bool ok = handoff_src_step(&to, ev);

            if (is_one_of(from, src_own_phases,
                          G_N_ELEMENTS(src_own_phases)) &&
                is_one_of(event, src_failures, G_N_ELEMENTS(src_failures))) {
                next = "BACK";
            }
            g_test_message("source %s --%s-->", from, event);
            g_assert_cmpint(ok, ==, next != NULL);
            g_assert_cmpstr(handoff_src_state_str(to), ==, next ?: from);
        }
    }
}

static void test_dst_rows(void)
{
    for (HandoffDstState s = 0; s < HANDOFF_DST__MAX; s++) {
        for (HandoffEvent ev = 0; ev < HANDOFF_EV__MAX; ev++) {
            const char *from = handoff_dst_state_str(s);
            const char *event = handoff_event_str(ev);
            const char *next = find_next(dst_expected,
                                         G_N_ELEMENTS(dst_expected),
                                         from, event);
            HandoffDstState to = s;
            bool ok = handoff_dst_step(&to, ev);

            g_test_message("destination %s --%s-->", from, event);
            g_assert_cmpint(ok, ==, next != NULL);
            g_assert_cmpstr(handoff_dst_state_str(to), ==, next ?: from);
        }
    }
}

/* Numbers that are no state and no event, as a bug may produce them */
static void test_out_of_range(void)
{
    HandoffSrcState src = HANDOFF_SRC_PACKAGED;
    HandoffDstState dst = HANDOFF_DST_LOADED;

    g_assert_false(handoff_src_step(&src, HANDOFF_EV__MAX));
    g_assert_cmpint(src, ==, HANDOFF_SRC_PACKAGED);
    g_assert_false(handoff_dst_step(&dst, HANDOFF_EV__MAX));
    g_assert_cmpint(dst, ==, HANDOFF_DST_LOADED);
    g_assert_false(handoff_src_may_run(HANDOFF_SRC__MAX));
    g_assert_false(handoff_dst_may_run(HANDOFF_DST__MAX));
    g_assert_cmpstr(handoff_src_state_str(HANDOFF_SRC__MAX), ==, "?");
    g_assert_cmpstr(handoff_dst_state_str(HANDOFF_DST__MAX), ==, "?");
    g_assert_cmpstr(handoff_event_str(HANDOFF_EV__MAX), ==, "?");
}

static void test_owners(void)
{
    static const char *const src_given[] = {
        "GRANTED", "RUNNING", "PAUSED", "DONE",
    };
    static const char *const dst_has[] = {
        "RUNNING", "RUNNING_PAUSED", "DONE",
    };

    for (HandoffSrcState s = 0; s < HANDOFF_SRC__MAX; s++) {
        g_assert_cmpint(handoff_src_may_run(s), !=,
                        is_one_of(handoff_src_state_str(s), src_given,
                                  G_N_ELEMENTS(src_given)));
    }
    for (HandoffDstState s = 0; s < HANDOFF_DST__MAX; s++) {
        g_assert_cmpint(handoff_dst_may_run(s), ==,
                        is_one_of(handoff_dst_state_str(s), dst_has,
                                  G_N_ELEMENTS(dst_has)));
    }
}

/*
 * Both sides together, coarser than the model of tests/model and independent
 * of it: a network without any manners.  Whatever was sent once may arrive at
 * any time, in any order, again and again, or never; links break and
 * recoveries, cancels and time-outs strike whenever they like.  Even so there
 * must never be two owners.
 */
enum {
    SENT_HELLO = 1 << 0,
    SENT_ACK = 1 << 1,
    SENT_SETTINGS = 1 << 2,
    SENT_READY = 1 << 3,
    SENT_REFUSE = 1 << 4,
    SENT_PACKAGE = 1 << 5,
    SENT_LOADED = 1 << 6,
    SENT_GRANT = 1 << 7,
    SENT_RUNNING = 1 << 8,
    SENT_ABORT = 1 << 9,
    SENT_END = 1 << 10,
    SENT_DONE = 1 << 11,
    SENT__ALL = 1 << 12,
};

typedef bool SrcStep(HandoffSrcState *state, HandoffEvent ev);
typedef bool DstStep(HandoffDstState *state, HandoffEvent ev);

/* What has to be among the messages sent for @ev to happen; 0: nothing */
static unsigned event_needs(HandoffEvent ev)
{
    switch (ev) {
    case HANDOFF_EV_PEER_AGREES:
        return SENT_ACK;
    case HANDOFF_EV_PEER_READY:
        return SENT_READY;
    case HANDOFF_EV_PEER_REFUSES:
        return SENT_REFUSE;
    case HANDOFF_EV_PEER_LOADED:
        return SENT_LOADED;
    case HANDOFF_EV_PEER_RUNNING:
        return SENT_RUNNING;
    case HANDOFF_EV_PEER_DONE:
        return SENT_DONE;
    case HANDOFF_EV_HELLO:
        return SENT_HELLO;
    case HANDOFF_EV_SETTINGS_OK:
    case HANDOFF_EV_SETTINGS_REFUSED:
        return SENT_SETTINGS;
    case HANDOFF_EV_PACKAGE:
        return SENT_PACKAGE;
    case HANDOFF_EV_GRANT:
        return SENT_GRANT;
    case HANDOFF_EV_ABORT:
        return SENT_ABORT;
    case HANDOFF_EV_STREAM_END:
        return SENT_END;
    default:
        return 0;
    }
}

/* What the source sends once it is in @state */
static unsigned src_sends(HandoffSrcState state)
{
    switch (state) {
    case HANDOFF_SRC_HELLO:
        return SENT_HELLO;
    case HANDOFF_SRC_ASKED:
        return SENT_SETTINGS;
    case HANDOFF_SRC_STOPPED:
        return SENT_PACKAGE;
    case HANDOFF_SRC_GRANTED:
    case HANDOFF_SRC_RUNNING:
        return SENT_GRANT | SENT_END;
    case HANDOFF_SRC_BACK:
        return SENT_ABORT | SENT_PACKAGE;   /* the latter in a race */
    default:
        return 0;
    }
}

static unsigned dst_sends(HandoffDstState state, HandoffEvent ev)
{
    switch (state) {
    case HANDOFF_DST_AGREED:
        return SENT_ACK;
    case HANDOFF_DST_READY:
        return SENT_READY;
    case HANDOFF_DST_LOADED:
        return SENT_LOADED;
    case HANDOFF_DST_RUNNING:
        return SENT_RUNNING;
    case HANDOFF_DST_DONE:
        return SENT_DONE;
    case HANDOFF_DST_GONE:
        return ev == HANDOFF_EV_SETTINGS_REFUSED ? SENT_REFUSE : 0;
    default:
        return 0;
    }
}

typedef struct Explored {
    unsigned states;
    unsigned two_owners;        /* states in which both own the guest */
    bool src_seen[HANDOFF_SRC__MAX];
    bool dst_seen[HANDOFF_DST__MAX];
} Explored;

#define N_STATES (HANDOFF_SRC__MAX * HANDOFF_DST__MAX * SENT__ALL)

static unsigned pack(HandoffSrcState src, HandoffDstState dst, unsigned sent)
{
    return (src * HANDOFF_DST__MAX + dst) * SENT__ALL + sent;
}

static Explored explore(SrcStep *src_step, DstStep *dst_step)
{
    Explored e = { 0 };
    g_autofree bool *seen = g_new0(bool, N_STATES);
    g_autofree unsigned *queue = g_new(unsigned, N_STATES);
    unsigned head = 0, tail = 0;

    queue[tail++] = pack(HANDOFF_SRC_IDLE, HANDOFF_DST_WAIT, 0);
    seen[queue[0]] = true;
    while (head < tail) {
        unsigned sent = queue[head] % SENT__ALL;
        HandoffDstState dst = queue[head] / SENT__ALL % HANDOFF_DST__MAX;
        HandoffSrcState src = queue[head] / SENT__ALL / HANDOFF_DST__MAX;

        head++;
        e.states++;
        e.src_seen[src] = e.dst_seen[dst] = true;
        e.two_owners += handoff_src_may_run(src) && handoff_dst_may_run(dst);

        for (HandoffEvent ev = 0; ev < HANDOFF_EV__MAX; ev++) {
            HandoffSrcState next_src = src;
            HandoffDstState next_dst = dst;
            unsigned next;

            if (event_needs(ev) & ~sent) {
                continue;
            }
            if (src_step(&next_src, ev)) {
                next = pack(next_src, dst, sent | src_sends(next_src));
                if (!seen[next]) {
                    seen[next] = true;
                    queue[tail++] = next;
                }
            }
            if (dst_step(&next_dst, ev)) {
                next = pack(src, next_dst, sent | dst_sends(next_dst, ev));
                if (!seen[next]) {
                    seen[next] = true;
                    queue[tail++] = next;
                }
            }
        }
    }
    return e;
}

static void test_one_owner(void)
{
    Explored e = explore(handoff_src_step, handoff_dst_step);

    g_test_message("%u states of both sides", e.states);
    g_assert_cmpuint(e.two_owners, ==, 0);
    /* It says something only if everything was tried */
    for (HandoffSrcState s = 0; s < HANDOFF_SRC__MAX; s++) {
        g_assert_true(e.src_seen[s]);
    }
    for (HandoffDstState s = 0; s < HANDOFF_DST__MAX; s++) {
        g_assert_true(e.dst_seen[s]);
    }
}

/* The table with a fault put in, which the search has to find */

static bool resumes_on_link_loss(HandoffSrcState *state, HandoffEvent ev)
{
    if (*state == HANDOFF_SRC_GRANTED && ev == HANDOFF_EV_LINK_LOST) {
        *state = HANDOFF_SRC_BACK;
        return true;
    }
    return handoff_src_step(state, ev);
}

static bool cancels_after_grant(HandoffSrcState *state, HandoffEvent ev)
{
    if (*state == HANDOFF_SRC_RUNNING && ev == HANDOFF_EV_CANCEL) {
        *state = HANDOFF_SRC_BACK;
        return true;
    }
    return handoff_src_step(state, ev);
}

static bool starts_without_grant(HandoffDstState *state, HandoffEvent ev)
{
    if (*state == HANDOFF_DST_LOADED_PAUSED && ev == HANDOFF_EV_RECOVER) {
        *state = HANDOFF_DST_RUNNING;
        return true;
    }
    return handoff_dst_step(state, ev);
}

static void test_faults_are_found(void)
{
    g_assert_cmpuint(explore(resumes_on_link_loss,
                             handoff_dst_step).two_owners, >, 0);
    g_assert_cmpuint(explore(cancels_after_grant,
                             handoff_dst_step).two_owners, >, 0);
    g_assert_cmpuint(explore(handoff_src_step,
                             starts_without_grant).two_owners, >, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/handoff/names", test_names);
    g_test_add_func("/handoff/rows/source", test_src_rows);
    g_test_add_func("/handoff/rows/destination", test_dst_rows);
    g_test_add_func("/handoff/out-of-range", test_out_of_range);
    g_test_add_func("/handoff/owners", test_owners);
    g_test_add_func("/handoff/one-owner", test_one_owner);
    g_test_add_func("/handoff/faults-are-found", test_faults_are_found);
    return g_test_run();
}
