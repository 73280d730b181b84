/*
 * Hybrid live migration: what the kernel says about a connection.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_TCP_H
#define QEMU_MIGRATION_HYBRID_TCP_H

#include "migration/qemu-file.h"

/* The socket below the channel of @f, also below TLS; -1 if there is none */
int hybrid_tcp_socket(QEMUFile *f);

typedef struct HybridTcp {
    uint64_t queued;            /* bytes sent that the peer has not taken */
    uint64_t delivered;         /* bytes acknowledged; 0: not known, no TCP */
    uint64_t rtt_us;            /* the least round trip that was seen */
} HybridTcp;

/* False, also for @fd -1, if nothing is known; a UNIX socket knows queued */
bool hybrid_tcp_ask(int fd, HybridTcp *tcp);

/*
 * Ask each second whether the peer's host is there, when nothing is sent.
 * Two probes in a row and a slow answer take less than HYBRID_TCP_PROBES_US:
 * twice a second, and one for the answer.
 */
#define HYBRID_TCP_PROBES_US 3000000
bool hybrid_tcp_probe(int fd);

/* How long nothing was heard of the peer's host, -1: not known, no TCP */
int64_t hybrid_tcp_silent_us(int fd);

/*
 * Has something come that was not read, and, if not, did the peer close the
 * connection (*@closed)?  Of any socket.
 */
bool hybrid_tcp_unread(int fd, bool *closed);

/* A short message would not have to wait; true if that is not known */
bool hybrid_tcp_writable(int fd);

/*
 * Have the peer of @fd keep no more than @bytes in flight and in our receive
 * buffer.  False if that cannot be.
 */
bool hybrid_tcp_clamp(int fd, uint32_t bytes);

#endif
