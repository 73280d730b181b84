/*
 * Hybrid live migration, destination: is the source still there?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_DESTINATION_ALIVE_H
#define QEMU_MIGRATION_HYBRID_DESTINATION_ALIVE_H

#include "migration/hybrid/protocol/encoding.h"

#include "migration/hybrid/destination/state.h"

HybridWatcher *hybrid_watcher_new(void);
void hybrid_watcher_free(HybridWatcher *w);

/* There is a connection, and no more is known */
void hybrid_alive_dst_connected(void);

/*
 * The source takes part in it: begin, with @peer_ms, its timeout; end; ALIVE
 * has come.
 */
void hybrid_alive_dst_begin(uint32_t peer_ms);
void hybrid_alive_dst_end(void);
void hybrid_alive_dst_heard(HybridMessage *m);

/*
 * The end of the stream was read: the source has nothing more to say; or, false,
 * a pause begins
 */
void hybrid_alive_dst_stream_ended(bool ended);

/* The timeout that is in effect, in ms, 0: none */
uint32_t hybrid_alive_dst_ms(void);

#endif
