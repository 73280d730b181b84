/*
 * Hybrid live migration: memory that this QEMU may still take.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_ROOM_H
#define QEMU_MIGRATION_HYBRID_ROOM_H

#include "migration/hybrid/policy/ledger.h"
#include "migration/hybrid/policy/reserve.h"

/* What the host has.  False: it cannot be read. */
bool hybrid_room_read_host(HybridHostMemory *host);

/*
 * And what its control groups leave of that, less what others of @ledger, if
 * any, have claimed there; @ledger is told our group.  Returns what could not
 * be read, or NULL; to be freed.
 */
char *hybrid_room_read_groups(HybridHostMemory *host, HybridLedger *ledger);

/*
 * Bytes of the host's memory, without its swap: what is available, and what
 * the control groups leave.  0 if that cannot be read: who does not need more
 * should not take it.
 */
uint64_t hybrid_room_bytes(void);

/*
 * Addresses for what this QEMU can do without, not accessible yet.  NULL: there
 * are none to be had, or they would be the last: with nothing left the next
 * allocation ends this QEMU, and its guest.
 */
void *hybrid_room_map(size_t size);
void hybrid_room_unmap(void *area, size_t size);

#endif
