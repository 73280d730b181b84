/*
 * Hybrid live migration: the private messages.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "migration/qemu-file.h"
#include "migration/savevm.h"
#include "migration/hybrid/common/numbers.h"
#include "migration/hybrid/common/wire.h"

HybridMessage hybrid_msg_new(HybridMessageKind kind)
{
    HybridMessage m = { .bytes = g_byte_array_new() };

    hybrid_msg_put_be16(&m, kind);
    hybrid_msg_put_be16(&m, HYBRID_WIRE_VERSION);
    return m;
}

bool hybrid_msg_read(HybridMessage *m, QEMUFile *f, uint16_t len,
                     HybridMessageKind *kind, Error **errp)
{
    *m = (HybridMessage) { .bytes = g_byte_array_new() };

    if (len < 4 || len > HYBRID_MSG_MAX_BODY + 4) {
        error_setg(errp, "hybrid message of %u bytes, expected 4 to %u", len,
                   HYBRID_MSG_MAX_BODY + 4);
        return false;
    }
    g_byte_array_set_size(m->bytes, len);
    if (qemu_get_buffer(f, m->bytes->data, len) != len) {
        error_setg(errp, "hybrid message ends early");
        return false;
    }
    *kind = hybrid_msg_get_be16(m);
    hybrid_msg_get_be16(m);     /* version: bodies only ever grow */
    return true;
}

void hybrid_msg_put_to_dst(QEMUFile *f, HybridMessage *m)
{
    qemu_put_byte(f, QEMU_VM_COMMAND);
    qemu_put_be16(f, HYBRID_MIG_CMD);
    qemu_put_be16(f, m->bytes->len);
    qemu_put_buffer(f, m->bytes->data, m->bytes->len);
    hybrid_msg_free(m);
}

void hybrid_msg_put_to_src(QEMUFile *f, HybridMessage *m)
{
    qemu_put_be16(f, HYBRID_RP_MSG);
    qemu_put_be16(f, m->bytes->len);
    qemu_put_buffer(f, m->bytes->data, m->bytes->len);
    hybrid_msg_free(m);
}

int hybrid_msg_send_to_dst(QEMUFile *f, HybridMessage *m)
{
    hybrid_msg_put_to_dst(f, m);
    return qemu_fflush(f);
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
    case HYBRID_MSG_LOADED:
        return "LOADED";
    case HYBRID_MSG_RUNNING:
        return "RUNNING";
    case HYBRID_MSG_STATS:
        return "STATS";
    case HYBRID_MSG_VCPU:
        return "VCPU";
    case HYBRID_MSG_PLACED:
        return "PLACED";
    case HYBRID_MSG_FAILED:
        return "FAILED";
    case HYBRID_MSG_ALIVE_TO_DST:
    case HYBRID_MSG_ALIVE:
        return "ALIVE";
    }
    return "unknown";
}
