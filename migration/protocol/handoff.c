/*
 * Hybrid live migration: who owns the guest.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../osdep.h"
#include "handoff.h"
#include "handoff-table.h"

typedef struct HandoffRow {
    unsigned char state;
    unsigned char event;
    unsigned char next;
} HandoffRow;

#define SRC_ROW(s, e, n) \
    { HANDOFF_SRC_##s, HANDOFF_EV_##e, HANDOFF_SRC_##n },
#define DST_ROW(s, e, n) \
    { HANDOFF_DST_##s, HANDOFF_EV_##e, HANDOFF_DST_##n },
#define SRC_STATE(name, owner) [HANDOFF_SRC_##name] = { #name, owner },
#define DST_STATE(name, owner) [HANDOFF_DST_##name] = { #name, owner },
#define EVENT(name) [HANDOFF_EV_##name] = { #name },

typedef struct HandoffStateInfo {
    const char *name;
    bool owner;
} HandoffStateInfo;

typedef struct HandoffEventInfo {
    const char *name;
} HandoffEventInfo;

static const HandoffRow src_rows[] = { HANDOFF_SRC_TABLE(SRC_ROW) };
static const HandoffRow dst_rows[] = { HANDOFF_DST_TABLE(DST_ROW) };
static const HandoffStateInfo src_states[] = { HANDOFF_SRC_STATES(SRC_STATE) };
static const HandoffStateInfo dst_states[] = { HANDOFF_DST_STATES(DST_STATE) };
static const HandoffEventInfo events[] = { HANDOFF_EVENTS(EVENT) };

/* A name that one of the two lacks: does not build, or test-handoff sees it */
G_STATIC_ASSERT(G_N_ELEMENTS(src_states) == HANDOFF_SRC__MAX);
G_STATIC_ASSERT(G_N_ELEMENTS(dst_states) == HANDOFF_DST__MAX);
G_STATIC_ASSERT(G_N_ELEMENTS(events) == HANDOFF_EV__MAX);

static const HandoffRow *find_row(const HandoffRow *rows, size_t n,
                                  unsigned state, unsigned event)
{
    for (size_t i = 0; i < n; i++) {
        if (rows[i].state == state && rows[i].event == event) {
            return &rows[i];
        }
    }
    return NULL;
}

bool handoff_src_step(HandoffSrcState *state, HandoffEvent ev)
{
    const HandoffRow *row = find_row(src_rows, G_N_ELEMENTS(src_rows),
                                     *state, ev);

    if (!row) {
        return false;
    }
    *state = row->next;
    return true;
}

bool handoff_dst_step(HandoffDstState *state, HandoffEvent ev)
{
    const HandoffRow *row = find_row(dst_rows, G_N_ELEMENTS(dst_rows),
                                     *state, ev);

    if (!row) {
        return false;
    }
    *state = row->next;
    return true;
}

/* A state that does not exist owns nothing */
bool handoff_src_may_run(HandoffSrcState state)
{
    return state < HANDOFF_SRC__MAX && src_states[state].owner;
}

const char *handoff_src_state_str(HandoffSrcState state)
{
    return state < HANDOFF_SRC__MAX ? src_states[state].name : "?";
}

const char *handoff_dst_state_str(HandoffDstState state)
{
    return state < HANDOFF_DST__MAX ? dst_states[state].name : "?";
}

const char *handoff_event_str(HandoffEvent ev)
{
    return ev < HANDOFF_EV__MAX ? events[ev].name : "?";
}
