/*
 * Hybrid live migration, source: is the destination still there?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The main stream belongs to the migration thread.  Where that has nothing to
 * say, and may wait for long, it leaves the stream between two messages to
 * the thread that says ALIVE (hybrid_src_idle_begin()).
 */

#include "migration/hybrid/source/state.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "migration/migration.h"
#include "migration/qemu-file.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/common/alive.h"
#include "migration/hybrid/common/params.h"
#include "migration/hybrid/common/tcp.h"
#include "migration/hybrid/policy/alive.h"
#include "migration/hybrid/source/alive.h"

struct HybridWatch {
    HybridAlive both;
    /* the stream may be used */
    bool HYBRID_ALIVE_GUARDED idle;
    unsigned HYBRID_SOURCE_OWNED idle_depth;
    /* what that channel has taken */
    HybridSilence preempt HYBRID_ALIVE_OWNED;
};

HybridWatch *hybrid_watch_new(void)
{
    HybridWatch *w = g_new0(HybridWatch, 1);

    hybrid_alive_init(&w->both);
    return w;
}

void hybrid_watch_free(HybridWatch *w)
{
    if (w) {
        hybrid_alive_destroy(&w->both);
        g_free(w);
    }
}

uint32_t TSA_NO_TSA hybrid_alive_src_ms(void)
{
    HybridWatch *w = hybrid_source()->watch;

    /* When it is over: the one that was */
    return hybrid_shared_get(&w->both.runs) ? migrate_hybrid_peer_timeout()
                                       : w->both.own_ms;
}

/* Are we in a state in which both directions are used? */
static bool hybrid_alive_src_in_use(MigrationState *s)
{
    HybridSource *h = hybrid_source();

    HYBRID_SOURCE_LOCK_GUARD(h);
    switch (h->state) {
    case HANDOFF_SRC_PRECOPY:
    case HANDOFF_SRC_STOPPED:
    case HANDOFF_SRC_PACKAGED:
    case HANDOFF_SRC_GRANTED:
    case HANDOFF_SRC_RUNNING:
        return !h->rp_ended && migration_is_running() &&
               s->state != MIGRATION_STATUS_CANCELLING;
    default:
        return false;
    }
}

static void hybrid_alive_src_lost(MigrationState *s, const char *what,
                                  uint32_t own_ms)
{
    Error *err = NULL;

    trace_hybrid_alive("src", what);
    error_setg(&err, "%s for hybrid-peer-timeout (%" PRIu32 " ms): the "
               "connection is given up", what, own_ms);
    /* Before the errors that follow from it */
    migrate_set_error(s, err);
    error_report_err(err);
    migration_shutdown_channels(s);
    if (s->state == MIGRATION_STATUS_PRE_SWITCHOVER) {
        qemu_sem_post(&s->pause_sem);   /* nothing is left to wait for */
    }
    migration_rp_kick(s);
}

/*
 * What waits in the second channel's socket and is taken by nobody: the
 * destination may not even have that channel.
 */
static int64_t HYBRID_ALIVE_THREAD
hybrid_alive_preempt(MigrationState *s, int64_t now_us, int64_t step_us)
{
    HybridWatch *w = hybrid_source()->watch;
    QEMUFile *f = s->postcopy_qemufile_src;
    HybridTcp tcp;

    if (!f || !hybrid_tcp_ask(hybrid_tcp_socket(f), &tcp) || !tcp.queued) {
        hybrid_silence_reset(&w->preempt);
        return 0;
    }
    return hybrid_silence_look(&w->preempt, now_us, step_us,
                               tcp.delivered - tcp.queued, false);
}

static void hybrid_alive_src_say(MigrationState *s, uint32_t own_ms)
{
    HybridWatch *w = hybrid_source()->watch;
    HybridAlive *a = &w->both;

    HYBRID_LOCK_GUARD(hybrid_alive, a);
    if (w->idle && hybrid_alive_room(s->to_dst_file)) {
        HybridMessage m = hybrid_alive_message(HYBRID_MSG_ALIVE_TO_DST, own_ms);

        trace_hybrid_message("src", hybrid_msg_str(HYBRID_MSG_ALIVE));
        hybrid_msg_send_to_dst(s->to_dst_file, &m);
        hybrid_shared_set(&a->told_ms, own_ms);
    }
}

static uint32_t hybrid_alive_src_look(void)
{
    HybridWatch *w = hybrid_source()->watch;
    MigrationState *s = migrate_get_current();
    HybridAlive *a = &w->both;
    uint32_t own_ms = migrate_hybrid_peer_timeout();
    uint32_t peer_ms = hybrid_shared_get(&a->peer_ms);
    uint32_t step_ms = hybrid_alive_step_ms(own_ms, peer_ms);
    int64_t now_us = hybrid_now_us(), silent_us = 0, quiet_us = 0;
    int64_t stuck_us = 0, connect_us;

    hybrid_alive_in_thread();
    if (!hybrid_alive_src_in_use(s)) {
        hybrid_silence_reset(&a->heard);
        hybrid_silence_reset(&a->said);
        hybrid_silence_reset(&w->preempt);
        return step_ms;
    }
    if (hybrid_alive_anew(a)) {
        hybrid_silence_reset(&w->preempt);
    }
    if (own_ms != a->own_ms) {
        a->own_ms = own_ms;                 /* the peer is still to be told */
        hybrid_silence_reset(&a->heard);
    }
    connect_us = hybrid_alive_connect(a, now_us, step_ms * 1000);
    WITH_QEMU_LOCK_GUARD(&s->qemu_file_lock) {
        QEMUFile *rp = s->rp_state.from_dst_file;

        if (!s->to_dst_file || !rp || qemu_file_get_error(s->to_dst_file)) {
            return step_ms;                 /* it is given up already */
        }
        silent_us = hybrid_silence_look(&a->heard, now_us, step_ms * 1000,
                                        qemu_file_moved_bytes(rp),
                                        hybrid_alive_unread(rp));
        quiet_us = hybrid_silence_look(&a->said, now_us, step_ms * 1000,
                                       qemu_file_moved_bytes(s->to_dst_file),
                                       false);
        stuck_us = hybrid_alive_preempt(s, now_us, step_ms * 1000);
    }
    if (hybrid_alive_lost(silent_us, own_ms)) {
        hybrid_alive_src_lost(s, "Nothing was heard from the destination on "
                              "the main connection", own_ms);
    } else if (hybrid_alive_lost(connect_us, own_ms)) {
        hybrid_alive_src_lost(s, "The preempt connection to the destination "
                              "was not made", own_ms);
    } else if (hybrid_alive_lost(stuck_us, own_ms)) {
        hybrid_alive_src_lost(s, "The destination took nothing from the "
                              "preempt connection", own_ms);
    } else if (own_ms != hybrid_shared_get(&a->told_ms) ||
               hybrid_alive_due(quiet_us, peer_ms)) {
        hybrid_alive_src_say(s, own_ms);
    }
    return step_ms;
}

void TSA_NO_TSA hybrid_alive_src_begin(uint32_t told_ms, uint32_t peer_ms)
{
    HybridWatch *w = hybrid_source()->watch;

    w->idle = false;
    hybrid_silence_reset(&w->preempt);
    hybrid_alive_begin(&w->both, "mig/src/alive", hybrid_alive_src_look,
                       told_ms, peer_ms);
}

void hybrid_alive_src_end(void)
{
    HybridWatch *w = hybrid_source()->watch;

    hybrid_alive_end(&w->both);
}

void hybrid_alive_src_paused(void)
{
    hybrid_shared_set(&hybrid_source()->watch->both.anew, true);
}

void hybrid_alive_src_heard(HybridMessage *m)
{
    HybridWatch *w = hybrid_source()->watch;

    hybrid_shared_set(&w->both.peer_ms, hybrid_msg_get_be32(m));
}

/* Only the thread that owns the stream can leave it to another one */
static bool hybrid_alive_owns_stream(MigrationState *s, HybridWatch *w)
{
    return w && hybrid_shared_get(&w->both.runs) &&
           qemu_thread_is_self(&s->thread);
}

void hybrid_src_idle_begin(MigrationState *s)
{
    HybridWatch *w = hybrid_source()->watch;

    if (!hybrid_alive_owns_stream(s, w)) {
        return;
    }
    hybrid_source_in_thread();
    if (w->idle_depth++ || !s->to_dst_file) {
        return;
    }
    if (hybrid_shared_get(&w->both.peer_ms) || migrate_hybrid_peer_timeout() ||
        hybrid_shared_get(&w->both.told_ms)) {
        /* If somebody has to wait for this, then not the other thread */
        qemu_fflush(s->to_dst_file);
        HYBRID_LOCK_GUARD(hybrid_alive, &w->both);
        w->idle = true;
    }
}

void hybrid_src_idle_end(MigrationState *s)
{
    HybridWatch *w = hybrid_source()->watch;

    if (!hybrid_alive_owns_stream(s, w)) {
        return;
    }
    hybrid_source_in_thread();
    if (w->idle_depth && !--w->idle_depth) {
        HYBRID_LOCK_GUARD(hybrid_alive, &w->both);
        w->idle = false;
    }
}

void hybrid_src_idle_bql_lock(MigrationState *s)
{
    hybrid_src_idle_begin(s);
    bql_lock();
    hybrid_src_idle_end(s);
}

void hybrid_src_connects_preempt(bool begins)
{
    HybridWatch *w = hybrid_source()->watch;

    if (w) {
        hybrid_shared_set(&w->both.connecting, begins);
    }
}
