/*
 * Hybrid live migration: who owns the guest.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Two small state machines, one for each side, driven by what a side did,
 * heard or lost.  They decide; sending and waiting is the caller's.  The
 * tables are in protocol/handoff-table.h, the reasons in docs/handoff.md.
 *
 * A step is atomic only under the caller's lock: at the source that must be
 * the lock that cancel, time-out and the decision to grant take.
 */

#ifndef QEMU_MIGRATION_HYBRID_HANDOFF_H
#define QEMU_MIGRATION_HYBRID_HANDOFF_H

#include "../osdep.h"

/* The same names as in the table; protocol/handoff.c does not build otherwise */
typedef enum {
    HANDOFF_SRC_IDLE,
    HANDOFF_SRC_HELLO,
    HANDOFF_SRC_ASKED,
    HANDOFF_SRC_PRECOPY,
    HANDOFF_SRC_STOPPED,
    HANDOFF_SRC_PACKAGED,
    HANDOFF_SRC_GRANTED,
    HANDOFF_SRC_RUNNING,
    HANDOFF_SRC_PAUSED,
    HANDOFF_SRC_DONE,
    HANDOFF_SRC_BACK,
    HANDOFF_SRC_PLAIN,
    HANDOFF_SRC__MAX,
} HandoffSrcState;

typedef enum {
    HANDOFF_DST_WAIT,
    HANDOFF_DST_AGREED,
    HANDOFF_DST_READY,
    HANDOFF_DST_LOADING,
    HANDOFF_DST_LOADED,
    HANDOFF_DST_RUNNING,
    HANDOFF_DST_LOADED_PAUSED,
    HANDOFF_DST_RUNNING_PAUSED,
    HANDOFF_DST_DONE,
    HANDOFF_DST_GONE,
    HANDOFF_DST__MAX,
} HandoffDstState;

typedef enum {
    HANDOFF_EV_HELLO_SENT,
    HANDOFF_EV_PEER_AGREES,
    HANDOFF_EV_PEER_PLAIN,
    HANDOFF_EV_PEER_READY,
    HANDOFF_EV_PEER_REFUSES,
    HANDOFF_EV_VM_STOPPED,
    HANDOFF_EV_PACKAGE_SENT,
    HANDOFF_EV_PEER_LOADED,
    HANDOFF_EV_PEER_RUNNING,
    HANDOFF_EV_PEER_DONE,
    HANDOFF_EV_CANCEL,
    HANDOFF_EV_TIMEOUT,
    HANDOFF_EV_LINK_LOST,
    HANDOFF_EV_RECOVER,
    HANDOFF_EV_HELLO,
    HANDOFF_EV_SETTINGS_OK,
    HANDOFF_EV_SETTINGS_REFUSED,
    HANDOFF_EV_PACKAGE,
    HANDOFF_EV_LOADED_SENT,
    HANDOFF_EV_LOAD_FAILED,
    HANDOFF_EV_GRANT,
    HANDOFF_EV_ABORT,
    HANDOFF_EV_STREAM_END,
    HANDOFF_EV__MAX,
} HandoffEvent;

/*
 * Take the step that @ev means in *@state.  Returns false, and leaves *@state
 * alone, if the table has no row for it: the event is refused.
 */
bool handoff_src_step(HandoffSrcState *state, HandoffEvent ev);
bool handoff_dst_step(HandoffDstState *state, HandoffEvent ev);

/*
 * Does the source own the guest in @state: does it run the guest, or may it
 * start the guest (again)?
 */
bool handoff_src_may_run(HandoffSrcState state);

/* The names of the table, as traces print them and tests/model/replay reads */
const char *handoff_src_state_str(HandoffSrcState state);
const char *handoff_dst_state_str(HandoffDstState state);
const char *handoff_event_str(HandoffEvent ev);

#endif
