/*
 * Hybrid live migration: the private messages, into a stream and out of it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "migration/qemu-file.h"
#include "migration/savevm.h"
#include "migration/hybrid/common/numbers.h"
#include "migration/hybrid/common/wire.h"

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

int hybrid_msg_send_to_dst(QEMUFile *f, HybridMessage *m)
{
    hybrid_msg_put_to_dst(f, m);
    return qemu_fflush(f);
}
