/*
 * Hybrid live migration: the private messages, and what each looks like.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "messages.h"

HybridMessage hybrid_msg_new(HybridMessageKind kind)
{
    HybridMessage m = { .bytes = g_byte_array_new() };

    hybrid_msg_put_be16(&m, kind);
    hybrid_msg_put_be16(&m, HYBRID_WIRE_VERSION);
    return m;
}

const char *hybrid_msg_str(HybridMessageKind kind)
{
    switch (kind) {
    case HYBRID_MSG_SETTINGS:
        return "SETTINGS";
    case HYBRID_MSG_GRANT:
        return "GRANT";
    case HYBRID_MSG_ABORT:
        return "ABORT";
    case HYBRID_MSG_DISCARD:
        return "DISCARD";
    case HYBRID_MSG_READY:
        return "READY";
    case HYBRID_MSG_REFUSE:
        return "REFUSE";
    case HYBRID_MSG_SECTIONS:
        return "SECTIONS";
    case HYBRID_MSG_BLOCKS:
        return "BLOCKS";
    case HYBRID_MSG_LOADED:
        return "LOADED";
    case HYBRID_MSG_RUNNING:
        return "RUNNING";
    case HYBRID_MSG_STATS:
        return "STATS";
    case HYBRID_MSG_PLACED:
        return "PLACED";
    case HYBRID_MSG_FAILED:
        return "FAILED";
    case HYBRID_MSG_ALIVE_TO_DST:
    case HYBRID_MSG_ALIVE:
        return "ALIVE";
    case HYBRID_MSG_BASE:
        return "BASE";
    case HYBRID_MSG_DELTAS_TO_DST:
    case HYBRID_MSG_DELTAS:
        return "DELTAS";
    case HYBRID_MSG_RAW:
        return "RAW";
    case HYBRID_MSG_DROPPED:
        return "DROPPED";
    }
    return "unknown";
}
