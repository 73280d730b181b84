/*
 * Hybrid live migration: is the peer still there (policy: policy/alive.h)?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/lockable.h"
#include "qemu/rcu.h"
#include "migration/hybrid/common/alive.h"
#include "migration/hybrid/common/tcp.h"

void hybrid_alive_init(HybridAlive *a)
{
    qemu_mutex_init(&a->lock);
    qemu_cond_init(&a->cond);
}

void hybrid_alive_destroy(HybridAlive *a)
{
    qemu_cond_destroy(&a->cond);
    qemu_mutex_destroy(&a->lock);
}

/* Until the next look; false: it is over */
static bool hybrid_alive_wait(HybridAlive *a, uint32_t step_ms)
{
    HYBRID_LOCK_GUARD(hybrid_alive, a);
    if (!a->quit) {
        qemu_cond_timedwait(&a->cond, &a->lock, step_ms);
    }
    return !a->quit;
}

static void *hybrid_alive_run(void *opaque)
{
    HybridAlive *a = opaque;

    rcu_register_thread();
    while (hybrid_alive_wait(a, a->look())) {
        /* This block intentionally left blank */
    }
    rcu_unregister_thread();
    return NULL;
}

static void HYBRID_ALIVE_THREAD hybrid_alive_forget(HybridAlive *a)
{
    hybrid_silence_reset(&a->heard);
    hybrid_silence_reset(&a->said);
    hybrid_silence_reset(&a->connect);
}

void TSA_NO_TSA hybrid_alive_begin(HybridAlive *a, const char *name,
                                   uint32_t (*look)(void), uint32_t told_ms,
                                   uint32_t peer_ms)
{
    a->look = look;
    a->quit = false;
    hybrid_shared_set(&a->connecting, false);
    hybrid_shared_set(&a->anew, false);
    a->own_ms = 0;
    hybrid_alive_forget(a);
    hybrid_shared_set(&a->told_ms, told_ms);
    hybrid_shared_set(&a->peer_ms, peer_ms);
    hybrid_shared_set(&a->runs, true);
    qemu_thread_create(&a->thread, name, hybrid_alive_run, a,
                       QEMU_THREAD_JOINABLE);
}

void hybrid_alive_end(HybridAlive *a)
{
    if (!hybrid_shared_get(&a->runs)) {
        return;
    }
    WITH_HYBRID_LOCK(hybrid_alive, a) {
        a->quit = true;
        qemu_cond_broadcast(&a->cond);
    }
    qemu_thread_join(&a->thread);
    hybrid_shared_set(&a->runs, false);
}

bool hybrid_alive_anew(HybridAlive *a)
{
    if (!hybrid_shared_replace(&a->anew, true, false)) {
        return false;
    }
    hybrid_alive_forget(a);
    return true;
}

/* Something has come that nobody has read; not: the end */
bool hybrid_alive_unread(QEMUFile *f)
{
    bool closed;

    return hybrid_tcp_unread(hybrid_tcp_socket(f), &closed) && !closed;
}

/* A message so short does not wait, if it is the only one in the buffer */
bool hybrid_alive_room(QEMUFile *f)
{
    return hybrid_tcp_writable(hybrid_tcp_socket(f));
}

/* For how long has the preempt channel been waited for? */
int64_t hybrid_alive_connect(HybridAlive *a, int64_t now_us, int64_t step_us)
{
    return hybrid_silence_look(&a->connect, now_us, step_us, 0,
                               !hybrid_shared_get(&a->connecting));
}

HybridMessage hybrid_alive_message(HybridMessageKind kind, uint32_t own_ms)
{
    HybridMessage m = hybrid_msg_new(kind);

    hybrid_msg_put_be32(&m, own_ms);
    return m;
}
