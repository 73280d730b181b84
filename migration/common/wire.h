/*
 * Hybrid live migration: the private messages, into a stream and out of it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What they look like is in protocol/messages.h.
 */

#ifndef QEMU_MIGRATION_HYBRID_WIRE_H
#define QEMU_MIGRATION_HYBRID_WIRE_H

#include "migration/qemu-file-types.h"
#include "migration/hybrid/protocol/messages.h"

/*
 * Read a message of @len bytes from @f (which stands behind the length).
 * Returns false, with @errp set, if it is too short or too long to be one.
 */
bool hybrid_msg_read(HybridMessage *m, QEMUFile *f, uint16_t len,
                     HybridMessageKind *kind, Error **errp);
/*
 * Send @m, with or without flushing it, and free it; source to destination.
 * Migration thread (the only user of @f).  Returns 0 or the stream's error.
 */
void hybrid_msg_put_to_dst(QEMUFile *f, HybridMessage *m);
int hybrid_msg_send_to_dst(QEMUFile *f, HybridMessage *m);

#endif
