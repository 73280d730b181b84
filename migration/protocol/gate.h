/*
 * Hybrid live migration: the gate that every message passes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A peer may be broken or hostile.  Before anything is done with a message,
 * of the private ones or of QEMU's own, it is held against
 * protocol/gate-table.h: in this state it is handled, ignored for a reason that
 * has a name, or an error of the stream.  What is inside of a message is
 * checked where it is read.
 */

#ifndef QEMU_MIGRATION_HYBRID_GATE_H
#define QEMU_MIGRATION_HYBRID_GATE_H

#include "../osdep.h"
#include "handoff.h"
#include "handoff-table.h"
#include "gate-table.h"
#include "messages.h"

/* The same names as in the table; protocol/gate.c does not build otherwise */
typedef enum {
    HYBRID_GATE_ERROR,
    HYBRID_GATE_PASS,
    HYBRID_GATE_LATE,
    HYBRID_GATE_AGAIN,
    HYBRID_GATE_NEWER,
    HYBRID_GATE__MAX,
} HybridVerdict;

typedef enum {
    HYBRID_FROM_DST_ACK,
    HYBRID_FROM_DST_ECHO,
    HYBRID_FROM_DST_PONG,
    HYBRID_FROM_DST_SHUT,
    HYBRID_FROM_DST_SHUT_EARLY,
    HYBRID_FROM_DST_SHUT_ERROR,
    HYBRID_FROM_DST_REQ_PAGES,
    HYBRID_FROM_DST_RECV_BITMAP,
    HYBRID_FROM_DST_RESUME_ACK,
    HYBRID_FROM_DST_SWITCHOVER_ACK,
    HYBRID_FROM_DST_READY,
    HYBRID_FROM_DST_REFUSE,
    HYBRID_FROM_DST_LOADED,
    HYBRID_FROM_DST_RUNNING,
    HYBRID_FROM_DST_STATS,
    HYBRID_FROM_DST_PLACED,
    HYBRID_FROM_DST_FAILED,
    HYBRID_FROM_DST_ALIVE,
    HYBRID_FROM_DST_DELTAS,
    HYBRID_FROM_DST_RAW,
    HYBRID_FROM_DST_DROPPED,
    HYBRID_FROM_DST_OTHER,
    HYBRID_FROM_DST__MAX,
} HybridFromDst;

typedef enum {
    HYBRID_FROM_SRC_END,
    HYBRID_FROM_SRC_START,
    HYBRID_FROM_SRC_DATA,
    HYBRID_FROM_SRC_DATA_END,
    HYBRID_FROM_SRC_STATE,
    HYBRID_FROM_SRC_OPEN_RETURN_PATH,
    HYBRID_FROM_SRC_PING,
    HYBRID_FROM_SRC_ADVISE,
    HYBRID_FROM_SRC_LISTEN,
    HYBRID_FROM_SRC_RUN,
    HYBRID_FROM_SRC_RAM_DISCARD,
    HYBRID_FROM_SRC_PACKAGED,
    HYBRID_FROM_SRC_ENABLE_COLO,
    HYBRID_FROM_SRC_RESUME,
    HYBRID_FROM_SRC_RECV_BITMAP,
    HYBRID_FROM_SRC_SWITCHOVER_START,
    HYBRID_FROM_SRC_HELLO,
    HYBRID_FROM_SRC_SETTINGS,
    HYBRID_FROM_SRC_GRANT,
    HYBRID_FROM_SRC_ABORT,
    HYBRID_FROM_SRC_DISCARD,
    HYBRID_FROM_SRC_ALIVE,
    HYBRID_FROM_SRC_SECTIONS,
    HYBRID_FROM_SRC_BASE,
    HYBRID_FROM_SRC_DELTAS,
    HYBRID_FROM_SRC_BLOCKS,
    HYBRID_FROM_SRC_OTHER,
    HYBRID_FROM_SRC__MAX,
} HybridFromSrc;

/* The handoff's states in their order, then those that are the gate's own */
typedef enum {
    HYBRID_PLACE_WAIT,
    HYBRID_PLACE_AGREED,
    HYBRID_PLACE_READY,
    HYBRID_PLACE_LOADING,
    HYBRID_PLACE_LOADED,
    HYBRID_PLACE_RUNNING,
    HYBRID_PLACE_LOADED_PAUSED,
    HYBRID_PLACE_RUNNING_PAUSED,
    HYBRID_PLACE_DONE,
    HYBRID_PLACE_GONE,
    HYBRID_PLACE_PLAIN,
    HYBRID_PLACE_PACKAGE,
    HYBRID_PLACE__MAX,
} HybridPlace;

/* What a message is; numbers that are not known are OTHER */
HybridFromDst hybrid_from_dst(uint16_t kind);
HybridFromSrc hybrid_from_src_private(uint16_t kind);
/* False: upstream does not know it either, and says so */
bool hybrid_from_src_command(uint16_t number, HybridFromSrc *msg);
bool hybrid_from_src_section(uint8_t type, HybridFromSrc *msg);

HybridVerdict hybrid_gate_src(HandoffSrcState state, HybridFromDst msg);
HybridVerdict hybrid_gate_dst(HybridPlace place, HybridFromSrc msg);

const char *hybrid_from_dst_str(HybridFromDst msg);
const char *hybrid_from_src_str(HybridFromSrc msg);
const char *hybrid_place_str(HybridPlace place);
const char *hybrid_verdict_str(HybridVerdict verdict);

#endif
