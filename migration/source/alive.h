/*
 * Hybrid live migration, source: is the destination still there?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_ALIVE_H
#define QEMU_MIGRATION_HYBRID_SOURCE_ALIVE_H

#include "migration/hybrid/source/state.h"
#include "migration/hybrid/protocol/encoding.h"

HybridWatch *hybrid_watch_new(void);
void hybrid_watch_free(HybridWatch *w);

/*
 * The destination takes part in it: begin, with what it was @told_ms of our
 * timeout, and @peer_ms, its own; end; ALIVE has come.
 */
void hybrid_alive_src_begin(uint32_t told_ms, uint32_t peer_ms);
void hybrid_alive_src_end(void);
void hybrid_alive_src_heard(HybridMessage *m);
/* A pause begins */
void hybrid_alive_src_paused(void);

/* The timeout that is in effect, in ms, 0: none */
uint32_t hybrid_alive_src_ms(void);

/* The big lock, which may take long to get: in between the stream is idle */
void hybrid_src_idle_bql_lock(MigrationState *s);

#endif
