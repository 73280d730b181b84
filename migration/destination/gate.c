/*
 * Hybrid live migration, destination: the gate that every message passes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An error here is one of the stream: the loader returns it.
 */

#include "migration/hybrid/destination/state.h"
#include "qemu/error-report.h"
#include "migration/migration.h"
#include "migration/qemu-file.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/destination/alive.h"
#include "migration/hybrid/destination/gate.h"

HybridPlace hybrid_dst_place(bool in_package, HybridFromSrc msg)
{
    HybridDestination *h = hybrid_destination();

    if (!hybrid_destination_is_any()) {
        return HYBRID_PLACE_PLAIN;      /* a snapshot */
    }
    HYBRID_DESTINATION_LOCK_GUARD(h);
    if (in_package && hybrid_dst_agreed()) {
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

    if (!hybrid_destination_is_any() || !hybrid_from_src_section(type, &msg)) {
        return 0;   /* a snapshot; a command, or an error of upstream's */
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
