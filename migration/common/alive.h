/*
 * Hybrid live migration: is the peer still there (policy: policy/alive.h)?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_COMMON_ALIVE_H
#define QEMU_MIGRATION_HYBRID_COMMON_ALIVE_H

#include "qemu/thread.h"
#include "migration/qemu-file.h"
#include "migration/hybrid/common/wire.h"
#include "migration/hybrid/policy/alive.h"

/*
 * What the threads of both sides have.  Each says ALIVE and listens to
 * silence.  It never waits for a connection or for a thread that does: all
 * others may, and have it to end that.
 */
typedef struct HybridAlive {
    QemuThread thread;
    uint32_t (*look)(void);     /* returns after how many ms to look again */
    bool runs;                  /* atomic */
    bool quit;                  /* under lock */
    QemuMutex lock;
    QemuCond cond;
    uint32_t peer_ms;           /* atomic: the peer gives up after this */
    uint32_t told_ms;           /* atomic: what the peer knows of ours */
    uint32_t own_ms;            /* ours, when it was looked at last */
    HybridSilence heard;
    HybridSilence said;

    bool connecting;            /* atomic: the preempt channel is to come */
    HybridSilence connect;
} HybridAlive;

/* Before all others, and after them, when no thread runs */
void hybrid_alive_init(HybridAlive *a);
void hybrid_alive_destroy(HybridAlive *a);

/* The peer is told that our timeout is @told_ms, its own is @peer_ms */
void hybrid_alive_begin(HybridAlive *a, const char *name,
                        uint32_t (*look)(void), uint32_t told_ms,
                        uint32_t peer_ms);

/* Waits for the thread, if it runs */
void hybrid_alive_end(HybridAlive *a);

/* Something has come on @f that nobody has read; not: the end */
bool hybrid_alive_unread(QEMUFile *f);

/* A message so short does not wait, if it is the only one in the buffer */
bool hybrid_alive_room(QEMUFile *f);

/* For how long has the preempt channel been waited for, in microseconds? */
int64_t hybrid_alive_connect(HybridAlive *a, int64_t now_us, int64_t step_us);

/* ALIVE, with @own_ms: our timeout */
HybridMessage hybrid_alive_message(HybridMessageKind kind, uint32_t own_ms);

#endif
