/*
 * Hybrid live migration, destination: the source's messages.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migration/hybrid/destination/state.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "migration/migration.h"
#include "migration/qemu-file.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/common/point.h"
#include "migration/hybrid/destination/alive.h"
#include "migration/hybrid/destination/delta.h"
#include "migration/hybrid/destination/drop.h"
#include "migration/hybrid/destination/gate.h"
#include "migration/hybrid/destination/handoff.h"
#include "migration/hybrid/destination/negotiate.h"
#include "migration/hybrid/protocol/gate.h"

int hybrid_dst_message(MigrationIncomingState *mis, QEMUFile *f, uint16_t len)
{
    HybridMessageKind kind;
    HybridFromSrc msg;
    HybridMessage m;
    Error *err = NULL;
    int ret = 0;

    if (!hybrid_dst_agreed()) {
        error_report("Unexpected hybrid migration message");
        return -EINVAL;
    }
    if (!hybrid_msg_read(&m, f, len, &kind, &err)) {
        error_report_err(err);
        ret = qemu_file_get_error(f) ?: -EINVAL;
        goto out;
    }
    trace_hybrid_message("dst", hybrid_msg_str(kind));
    hybrid_point_message("dst-read", hybrid_msg_str(kind));
    msg = hybrid_from_src_private(kind);
    /* None is in the package: there the place would be PACKAGE */
    ret = hybrid_dst_gate(hybrid_dst_place(f != mis->from_src_file, msg), msg);
    if (ret <= 0) {
        goto out;
    }
    ret = 0;
    switch (kind) {
    case HYBRID_MSG_SECTIONS:
        hybrid_dst_sections(&m);
        break;
    case HYBRID_MSG_BLOCKS:
        hybrid_dst_blocks(&m);
        break;
    case HYBRID_MSG_SETTINGS:
        ret = hybrid_dst_settings(mis, &m);
        break;
    case HYBRID_MSG_GRANT:
        ret = hybrid_dst_grant(mis, &m);
        break;
    case HYBRID_MSG_DISCARD:
        ret = hybrid_dst_discard(&m);
        break;
    case HYBRID_MSG_BASE:
        ret = hybrid_dst_base(&m);
        break;
    case HYBRID_MSG_DELTAS_TO_DST:
        ret = hybrid_dst_deltas(&m);
        break;
    case HYBRID_MSG_ABORT:
        ret = hybrid_dst_abort();
        break;
    case HYBRID_MSG_ALIVE_TO_DST:
        hybrid_alive_dst_heard(&m);
        break;
    default:
        break;                  /* of a newer source, harmless by contract */
    }
    if (m.overrun) {
        error_report("hybrid message %s is too short (%u bytes)",
                     hybrid_msg_str(kind), len);
        ret = -EINVAL;
    }
out:
    hybrid_msg_free(&m);
    return ret;
}
