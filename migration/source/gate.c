/*
 * Hybrid live migration: the gate that every message passes, for QEMU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An error here is one of the stream: at the destination the loader returns
 * it, at the source the return path ends.  There the other direction has to
 * end as well, or a source that pushes would not notice.
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
#include "migration/hybrid/destination/state.h"

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

/* ---- source; return path thread ---- */

bool hybrid_src_gate(HybridFromDst msg, Error **errp)
{
    HybridSrc *h = &hybrid_src;
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
    HybridSrc *h = &hybrid_src;
    HybridFromDst msg;

    if (!h->active || h->observe) {
        return true;
    }
    QEMU_LOCK_GUARD(&h->lock);
    msg = hybrid_src_upstream(type, body);
    if (!hybrid_src_gate(msg, errp)) {
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
    HybridSrc *h = &hybrid_src;
    bool stop;

    WITH_QEMU_LOCK_GUARD(&h->lock) {
        h->rp_ended = true;
        /* In PACKAGED the migration thread looks, and ABORT is to be said */
        stop = h->active && h->state != HANDOFF_SRC_PACKAGED &&
               migrate_has_error(s);
        qemu_cond_broadcast(&h->cond);
    }
    if (stop) {
        migration_shutdown_channels(s);
    }
}

/* ---- destination ---- */

HybridPlace hybrid_dst_place(bool in_package, HybridFromSrc msg)
{
    HybridDst *h = &hybrid_dst;

    QEMU_LOCK_GUARD(&h->lock);
    if (in_package && h->agreed) {
        return HYBRID_PLACE_PACKAGE;
    }
    if (h->state == HANDOFF_DST_WAIT &&
        hybrid_gate_dst(HYBRID_PLACE_WAIT, msg) != HYBRID_GATE_PASS) {
        h->plain = true;        /* and a hello comes too late */
    }
    return h->plain ? HYBRID_PLACE_PLAIN : (HybridPlace)h->state;
}

int hybrid_dst_gate(HybridPlace place, HybridFromSrc msg)
{
    HybridVerdict verdict = hybrid_gate_dst(place, msg);

    if (verdict == HYBRID_GATE_PASS) {
        return 1;
    }
    trace_hybrid_gate("dst", hybrid_place_str(place),
                      hybrid_from_src_str(msg), hybrid_verdict_str(verdict));
    if (verdict == HYBRID_GATE_ERROR) {
        error_report("The source broke the protocol: it sent %s in state %s "
                     "of the handoff", hybrid_from_src_str(msg),
                     hybrid_place_str(place));
        return -EINVAL;
    }
    return 0;
}

int hybrid_dst_admit_section(MigrationIncomingState *mis, QEMUFile *f,
                             uint8_t type)
{
    HybridFromSrc msg;

    if (!hybrid_from_src_section(type, &msg)) {
        return 0;               /* a command, or an error of upstream's */
    }
    if (msg == HYBRID_FROM_SRC_END && f == mis->from_src_file) {
        hybrid_alive_dst_stream_ended(true);
    }
    return MIN(0, hybrid_dst_gate(hybrid_dst_place(f != mis->from_src_file,
                                                   msg), msg));
}

int hybrid_dst_admit_command(MigrationIncomingState *mis, QEMUFile *f,
                             uint16_t cmd)
{
    HybridFromSrc msg;

    /* Whether a PING is a hello shows its value, see hybrid_dst_ping() */
    if (!hybrid_from_src_command(cmd, &msg)) {
        return 0;
    }
    return MIN(0, hybrid_dst_gate(hybrid_dst_place(f != mis->from_src_file,
                                                   msg), msg));
}
