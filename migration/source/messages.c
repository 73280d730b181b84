/*
 * Hybrid live migration, source: the destination's messages.  Return path
 * thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migration/hybrid/source/state.h"
#include "qapi/error.h"
#include "migration/migration.h"
#include "migration/qemu-file.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/common/numbers.h"
#include "migration/hybrid/common/page-sizes.h"
#include "migration/hybrid/common/point.h"
#include "migration/hybrid/protocol/gate.h"
#include "migration/hybrid/source/alive.h"
#include "migration/hybrid/source/flow.h"
#include "migration/hybrid/source/gate.h"
#include "migration/hybrid/source/delta.h"
#include "migration/hybrid/source/push.h"
#include "migration/hybrid/source/reason.h"

/* True: the guest belongs to the destination, and pages are left */
static bool HYBRID_SOURCE_LOCKED
hybrid_src_running(MigrationState *s, HybridSource *h, HybridMessage *m)
{
    bool first = h->state == HANDOFF_SRC_GRANTED;
    bool vcpus_run = hybrid_msg_get_be32(m);
    HybridStarted started = { 0, -1, -1 };
    int64_t now_us = hybrid_now_us();

    /* The times are not all in this message's first versions */
    if (hybrid_msg_left(m)) {
        started.ago_us = hybrid_msg_get_be64(m);
    }
    if (hybrid_msg_left(m)) {
        started.after_loaded_us = hybrid_msg_get_be64(m);
        started.after_grant_us = hybrid_msg_get_be64(m);
    }

    if (h->state == HANDOFF_SRC_RUNNING &&
        (!vcpus_run || h->times.running_seen)) {
        return false;           /* a sign of life, no news */
    }
    hybrid_src_step(h, HANDOFF_EV_PEER_RUNNING);
    if (vcpus_run && !h->times.running_seen) {
        hybrid_times_started(&h->times, &h->rtt, &started, now_us);
        /* Upstream's own figure, in ms; 0 would mean that it is not set */
        s->downtime = MAX(1, hybrid_times_downtime(&h->times, &h->rtt, NULL) /
                             1000);
    }
    return first && !hybrid_src_completing();
}

static void HYBRID_SOURCE_LOCKED
hybrid_src_stats(HybridSource *h, HybridMessage *m)
{
    h->pages_received = hybrid_msg_get_be64(m);
    h->received_known = true;
    g_clear_pointer(&h->vcpu_blocked_us, g_array_unref);
    h->vcpu_blocked_us = hybrid_msg_get_numbers(m, hybrid_msg_get_be32(m));
}

static void HYBRID_SOURCE_LOCKED
hybrid_src_ready(HybridSource *h, HybridMessage *m, Error **errp)
{
    h->memory_needed = hybrid_msg_get_be64(m);
    h->memory_available = hybrid_msg_get_be64(m);
    if (hybrid_msg_left(m)) {
        hybrid_shared_set(&h->flags, hybrid_msg_get_be32(m) &
                                     hybrid_shared_get(&h->offered));
    }
    if (hybrid_msg_left(m) && !hybrid_page_sizes_same(m, errp)) {
        return;                 /* which ends the return path */
    }
    if (hybrid_msg_left(m)) {
        h->peer_alive_ms = hybrid_msg_get_be32(m);
    }
    if (hybrid_msg_left(m) &&
        hybrid_shared_get(&h->flags) & HYBRID_FLAG_DELTA) {
        hybrid_deltas_allowed(h->deltas, hybrid_msg_get_be32(m));
    }
    hybrid_src_step(h, HANDOFF_EV_PEER_READY);
}

bool hybrid_src_rp_message(MigrationState *s, QEMUFile *rp, uint16_t type,
                           uint16_t len, Error **errp)
{
    HybridSource *h = hybrid_source();
    HybridMessageKind kind;
    HybridMessage m;
    bool paging = false;

    if (type != HYBRID_RP_MSG || !hybrid_src_agreed()) {
        return false;
    }
    if (!hybrid_msg_read(&m, rp, len, &kind, errp)) {
        goto out;
    }
    trace_hybrid_message("src", hybrid_msg_str(kind));
    hybrid_point_message("src-read", hybrid_msg_str(kind));

    WITH_HYBRID_SOURCE_LOCK(h) {
        if (!hybrid_src_gate(h, hybrid_from_dst(kind), errp)) {
            goto out;
        }
        h->heard_us = hybrid_now_us();
        switch (kind) {
        case HYBRID_MSG_READY:
            hybrid_src_ready(h, &m, errp);
            break;
        case HYBRID_MSG_REFUSE:
            h->memory_needed = hybrid_msg_get_be64(&m);
            h->memory_available = hybrid_msg_get_be64(&m);
            g_free(h->why_not);
            h->why_not = hybrid_msg_get_clean_text(&m);
            hybrid_src_step(h, HANDOFF_EV_PEER_REFUSES);
            /* At once: SHUT follows, which only says that there is an error */
            error_setg(errp, "The destination refuses the migration: %s",
                       h->why_not);
            break;
        case HYBRID_MSG_LOADED:
            h->peer_loaded = true;
            h->times.loaded_us = hybrid_now_us();
            break;
        case HYBRID_MSG_RUNNING:
            paging = hybrid_src_running(s, h, &m);
            break;
        case HYBRID_MSG_STATS:
            hybrid_src_stats(h, &m);
            break;
        case HYBRID_MSG_PLACED:
            hybrid_flow_peer_read(h, &m);
            break;
        case HYBRID_MSG_DELTAS:
            hybrid_deltas_settled(h, &m, errp);
            break;
        case HYBRID_MSG_DROPPED:
            hybrid_shared_set(&h->deltas->dropped, true);
            break;
        case HYBRID_MSG_FAILED:
            {
                g_autofree char *text = hybrid_msg_get_clean_text(&m);

                if (!m.overrun) {
                    hybrid_src_peer_failed(s, h, text, errp);
                }
            }
            break;
        case HYBRID_MSG_ALIVE:
            hybrid_alive_src_heard(&m);
            break;
        default:
            /* Of a newer peer; it cannot matter if we did not ask for it */
            break;
        }
        qemu_cond_broadcast(&h->cond);
    }
    if (kind == HYBRID_MSG_RAW) {
        /* Without the lock, which nests inside of the bitmap's */
        hybrid_deltas_refused(h, &m, errp);
        WITH_HYBRID_SOURCE_LOCK(h) {
            qemu_cond_broadcast(&h->cond);
        }
    }
    if (paging) {
        /* Without the lock: it is an event, too */
        hybrid_set_phase(h, MIGRATION_HYBRID_PHASE_PAGING, NULL);
    }
    if (m.overrun && !*errp) {
        error_setg(errp, "hybrid message %s is too short (%u bytes)",
                   hybrid_msg_str(kind), len);
    }
out:
    hybrid_msg_free(&m);
    return true;
}

void hybrid_src_pong(uint32_t value)
{
    HybridSource *h = hybrid_source();

    if (!h->active) {
        return;
    }
    HYBRID_SOURCE_LOCK_GUARD(h);
    if (value == HYBRID_PONG_ACK) {
        if (hybrid_src_step(h, HANDOFF_EV_PEER_AGREES)) {
            hybrid_shared_set(&h->agreed, true);
        }
    } else if (value == HYBRID_PING_HELLO) {
        hybrid_src_step(h, HANDOFF_EV_PEER_PLAIN);
    } else if (value == HYBRID_PING_ADVISED) {
        h->advised = true;
    } else if ((value & HYBRID_PING_RTT_MASK) == HYBRID_PING_RTT) {
        h->pong_seen = value;
    } else if (value == 3 && !hybrid_src_agreed() && h->times.stop_us >= 0) {
        /*
         * PING 3 ends the package: its echo says that a plain destination
         * has loaded the devices and is about to run the guest.
         */
        h->times.running_us = hybrid_now_us();
    }
    qemu_cond_broadcast(&h->cond);
}
