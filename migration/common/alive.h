/*
 * Hybrid live migration: is the peer still there (policy: policy/alive.h)?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_COMMON_ALIVE_H
#define QEMU_MIGRATION_HYBRID_COMMON_ALIVE_H

#include "qemu/thread.h"
#include "migration/qemu-file.h"
#include "migration/hybrid/common/guard.h"
#include "migration/hybrid/common/shared.h"
#include "migration/hybrid/common/wire.h"
#include "migration/hybrid/policy/alive.h"

HYBRID_LOCK_NAME(hybrid_alive);
#define HYBRID_ALIVE_GUARDED TSA_GUARDED_BY(hybrid_alive_locked)

/*
 * The thread itself, a role.  Before it begins, and when it has ended, the
 * others may touch what is its own.
 */
HYBRID_CAPABILITY("role", hybrid_alive_thread);

#define HYBRID_ALIVE_OWNED  TSA_GUARDED_BY(hybrid_alive_thread)
#define HYBRID_ALIVE_THREAD TSA_REQUIRES(hybrid_alive_thread)

/* In the function that it calls */
static inline void TSA_ASSERT(hybrid_alive_thread) TSA_NO_TSA
hybrid_alive_in_thread(void)
{
}

/*
 * What the threads of both sides have.  Each says ALIVE and listens to
 * silence.  It never waits for a connection or for a thread that does: all
 * others may, and have it to end that.
 */
typedef struct HybridAlive {
    /* set when it begins */
    QemuThread thread;
    uint32_t (*look)(void);     /* returns after how many ms to look again */

    QemuMutex lock;
    QemuCond cond;
    bool HYBRID_ALIVE_GUARDED quit;

    HybridShared runs;
    HybridShared peer_ms;       /* the peer gives up after this */
    HybridShared told_ms;       /* what the peer knows of ours */
    HybridShared connecting;    /* the preempt channel is to come */
    HybridShared anew;          /* a pause began: what was heard is over */

    /* ours, when it was looked at last */
    uint32_t own_ms HYBRID_ALIVE_OWNED;
    HybridSilence heard HYBRID_ALIVE_OWNED;
    HybridSilence said HYBRID_ALIVE_OWNED;
    HybridSilence connect HYBRID_ALIVE_OWNED;
} HybridAlive;

HYBRID_LOCK_OF(HybridAlive, hybrid_alive)

/* Before all others, and after them, when no thread runs */
void hybrid_alive_init(HybridAlive *a);
void hybrid_alive_destroy(HybridAlive *a);

/* The peer is told that our timeout is @told_ms, its own is @peer_ms */
void hybrid_alive_begin(HybridAlive *a, const char *name,
                        uint32_t (*look)(void), uint32_t told_ms,
                        uint32_t peer_ms);

/* Waits for the thread, if it runs */
void hybrid_alive_end(HybridAlive *a);

/*
 * After a pause, however short: the silence of the connection that was is not
 * that of the next one.
 */
bool HYBRID_ALIVE_THREAD hybrid_alive_anew(HybridAlive *a);

/* Something has come on @f that nobody has read; not: the end */
bool hybrid_alive_unread(QEMUFile *f);

/* A message so short does not wait, if it is the only one in the buffer */
bool hybrid_alive_room(QEMUFile *f);

/* For how long has the preempt channel been waited for, in microseconds? */
int64_t HYBRID_ALIVE_THREAD
hybrid_alive_connect(HybridAlive *a, int64_t now_us, int64_t step_us);

/* ALIVE, with @own_ms: our timeout */
HybridMessage hybrid_alive_message(HybridMessageKind kind, uint32_t own_ms);

#endif
