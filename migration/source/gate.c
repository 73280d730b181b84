/*
 * Hybrid live migration, source: the gate that every message passes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An error here is one of the stream: the return path ends.  The other
 * direction has to end as well, or a source that pushes would not notice.
 */

#include "migration/hybrid/source/state.h"
#include "qapi/error.h"
#include "qemu/bswap.h"
#include "qemu/error-report.h"
#include "migration/migration.h"
#include "migration/qemu-file.h"
#include "migration/ram.h"
#include "migration/savevm.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/protocol/gate.h"
#include "migration/hybrid/source/gate.h"

/* Of the return path, as on the wire; migration.c keeps its names to itself */
enum {
    RP_SHUT = 1,
    RP_PONG = 2,
    RP_REQ_PAGES_ID = 3,
    RP_REQ_PAGES = 4,
    RP_RECV_BITMAP = 5,
    RP_RESUME_ACK = 6,
    RP_SWITCHOVER_ACK = 7,
};

/* All of it in the return path thread */

bool hybrid_src_gate(HybridSource *h, HybridFromDst msg, Error **errp)
{
    HybridVerdict verdict = hybrid_gate_src(h->state, msg);

    if (verdict == HYBRID_GATE_PASS) {
        return true;
    }
    trace_hybrid_gate("src", handoff_src_state_str(h->state),
                      hybrid_from_dst_str(msg), hybrid_verdict_str(verdict));
    if (verdict == HYBRID_GATE_ERROR) {
        error_setg(errp, "The destination broke the protocol: it said %s in "
                   "state %s of the handoff", hybrid_from_dst_str(msg),
                   handoff_src_state_str(h->state));
    }
    return false;
}

static HybridFromDst hybrid_src_upstream(uint16_t type, const uint8_t *body)
{
    switch (type) {
    case RP_SHUT:
        if (ldl_be_p(body)) {
            return HYBRID_FROM_DST_SHUT_ERROR;
        }
        return ram_bytes_remaining() ? HYBRID_FROM_DST_SHUT_EARLY
                                     : HYBRID_FROM_DST_SHUT;
    case RP_PONG:
        switch (ldl_be_p(body)) {
        case HYBRID_PONG_ACK:
            return HYBRID_FROM_DST_ACK;
        case HYBRID_PING_HELLO:
            return HYBRID_FROM_DST_ECHO;
        default:
            return HYBRID_FROM_DST_PONG;
        }
    case RP_REQ_PAGES_ID:
    case RP_REQ_PAGES:
        return HYBRID_FROM_DST_REQ_PAGES;
    case RP_RECV_BITMAP:
        return HYBRID_FROM_DST_RECV_BITMAP;
    case RP_RESUME_ACK:
        return HYBRID_FROM_DST_RESUME_ACK;
    case RP_SWITCHOVER_ACK:
        return HYBRID_FROM_DST_SWITCHOVER_ACK;
    default:
        return HYBRID_FROM_DST_OTHER;
    }
}

bool hybrid_src_admit(uint16_t type, const uint8_t *body, Error **errp)
{
    HybridSource *h = hybrid_source();
    HybridFromDst msg;

    if (!h->active || h->observe) {
        return true;
    }
    HYBRID_SOURCE_LOCK_GUARD(h);
    msg = hybrid_src_upstream(type, body);
    if (!hybrid_src_gate(h, msg, errp)) {
        return false;
    }
    if (msg == HYBRID_FROM_DST_SHUT_ERROR &&
        (h->state == HANDOFF_SRC_HELLO || h->state == HANDOFF_SRC_ASKED)) {
        /* It cannot say why before it has read the settings */
        error_setg(errp, "The destination gave up, or lost the connection, "
                   "while hybrid migration was being negotiated: its log "
                   "says why");
        return false;
    }
    return true;
}

void hybrid_src_rp_end(MigrationState *s)
{
    HybridSource *h = hybrid_source();
    bool stop;

    if (!h->active) {
        return;
    }

    WITH_HYBRID_SOURCE_LOCK(h) {
        h->rp_ended = true;
        /* In PACKAGED the migration thread looks, and ABORT is to be said */
        stop = h->state != HANDOFF_SRC_PACKAGED &&
               migrate_has_error(s);
        qemu_cond_broadcast(&h->cond);
    }
    if (stop) {
        migration_shutdown_channels(s);
    }
}
