/*
 * Hybrid live migration: is the peer still there (policy: policy/alive.h)?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Each side has a thread that says ALIVE and listens to silence.  It never
 * waits for a connection or for a thread that does: all others may, and have
 * it to end that.
 *
 * The main stream belongs to the migration thread.  Where that has nothing to
 * say, and may wait for long, it leaves the stream between two messages to
 * this thread (hybrid_src_idle_begin()).
 */

#include "migration/hybrid/source/state.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "exec/cpu-common.h"
#include "migration/migration.h"
#include "migration/postcopy-ram.h"
#include "migration/qemu-file.h"
#include "migration/savevm.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/policy/alive.h"
#include "migration/hybrid/destination/state.h"
#include "migration/hybrid/common/params.h"
#include "migration/hybrid/common/tcp.h"

/* Requests that are looked at: the first ones if there are more */
#define HYBRID_ALIVE_REQUESTS 1024

/* What both sides have */
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

    /* source */
    bool idle;                  /* under lock: the stream may be used */
    unsigned idle_depth;        /* migration thread */
    HybridSilence preempt;      /* what that channel has taken */

    /* destination */
    bool settings;              /* they have come */
    bool ended;                 /* atomic: the source has no more to say */
    HybridAsk ask;
} HybridAlive;

static HybridAlive alive_src, alive_dst;

static void __attribute__((__constructor__)) hybrid_alive_construct(void)
{
    qemu_mutex_init(&alive_src.lock);
    qemu_cond_init(&alive_src.cond);
    qemu_mutex_init(&alive_dst.lock);
    qemu_cond_init(&alive_dst.cond);
}

/* Until the next look; false: it is over */
static bool hybrid_alive_wait(HybridAlive *a, uint32_t step_ms)
{
    QEMU_LOCK_GUARD(&a->lock);
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

static void hybrid_alive_begin(HybridAlive *a, const char *name,
                               uint32_t (*look)(void), uint32_t peer_ms,
                               bool settings)
{
    a->look = look;
    a->quit = a->idle = a->ended = false;
    a->connecting = false;
    a->settings = settings;
    a->own_ms = 0;
    hybrid_silence_reset(&a->connect);
    qatomic_set(&a->peer_ms, peer_ms);
    hybrid_silence_reset(&a->heard);
    hybrid_silence_reset(&a->said);
    hybrid_silence_reset(&a->preempt);
    a->ask = (HybridAsk) {};
    qatomic_set(&a->runs, true);
    qemu_thread_create(&a->thread, name, hybrid_alive_run, a,
                       QEMU_THREAD_JOINABLE);
}

static void hybrid_alive_end(HybridAlive *a)
{
    if (!a->runs) {
        return;
    }
    WITH_QEMU_LOCK_GUARD(&a->lock) {
        a->quit = true;
        qemu_cond_broadcast(&a->cond);
    }
    qemu_thread_join(&a->thread);
    qatomic_set(&a->runs, false);
}

/* Something has come that nobody has read; not: the end */
static bool hybrid_alive_unread(QEMUFile *f)
{
    bool closed;

    return hybrid_tcp_unread(hybrid_flow_socket(f), &closed) && !closed;
}

/* A message so short does not wait, if it is the only one in the buffer */
static bool hybrid_alive_room(QEMUFile *f)
{
    return hybrid_tcp_writable(hybrid_flow_socket(f));
}

/* For how long has the preempt channel been waited for? */
static int64_t hybrid_alive_connect(HybridAlive *a, int64_t now_us,
                                    int64_t step_us)
{
    return hybrid_silence_look(&a->connect, now_us, step_us, 0,
                               !qatomic_read(&a->connecting));
}

static HybridMessage hybrid_alive_message(HybridMessageKind kind,
                                          uint32_t own_ms)
{
    HybridMessage m = hybrid_msg_new(kind);

    hybrid_msg_put_be32(&m, own_ms);
    return m;
}

/* ---- source ---- */

uint32_t hybrid_alive_src_ms(void)
{
    return qatomic_read(&alive_src.runs) ? migrate_hybrid_peer_timeout() : 0;
}

/* Are we in a state in which both directions are used? */
static bool hybrid_alive_src_in_use(MigrationState *s)
{
    HybridSrc *h = &hybrid_src;

    QEMU_LOCK_GUARD(&h->lock);
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
static int64_t hybrid_alive_preempt(MigrationState *s, int64_t now_us,
                                    int64_t step_us)
{
    QEMUFile *f = s->postcopy_qemufile_src;
    HybridTcp tcp;

    if (!f || !hybrid_tcp_ask(hybrid_flow_socket(f), &tcp) || !tcp.queued) {
        hybrid_silence_reset(&alive_src.preempt);
        return 0;
    }
    return hybrid_silence_look(&alive_src.preempt, now_us, step_us,
                               tcp.delivered - tcp.queued, false);
}

static void hybrid_alive_src_say(MigrationState *s, uint32_t own_ms)
{
    HybridAlive *a = &alive_src;

    QEMU_LOCK_GUARD(&a->lock);
    if (a->idle && hybrid_alive_room(s->to_dst_file)) {
        HybridMessage m = hybrid_alive_message(HYBRID_MSG_ALIVE_TO_DST, own_ms);

        trace_hybrid_message("src", hybrid_msg_str(HYBRID_MSG_ALIVE));
        hybrid_msg_send_to_dst(s->to_dst_file, &m);
        qatomic_set(&a->told_ms, own_ms);
    }
}

static uint32_t hybrid_alive_src_look(void)
{
    MigrationState *s = migrate_get_current();
    HybridAlive *a = &alive_src;
    uint32_t own_ms = migrate_hybrid_peer_timeout();
    uint32_t peer_ms = qatomic_read(&a->peer_ms);
    uint32_t step_ms = hybrid_alive_step_ms(own_ms, peer_ms);
    int64_t now_us = hybrid_now_us(), silent_us = 0, quiet_us = 0;
    int64_t stuck_us = 0, connect_us;

    if (!hybrid_alive_src_in_use(s)) {
        hybrid_silence_reset(&a->heard);
        hybrid_silence_reset(&a->said);
        hybrid_silence_reset(&a->preempt);
        return step_ms;
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
    } else if (own_ms != a->told_ms || hybrid_alive_due(quiet_us, peer_ms)) {
        hybrid_alive_src_say(s, own_ms);
    }
    return step_ms;
}

void hybrid_alive_src_begin(uint32_t told_ms, uint32_t peer_ms)
{
    alive_src.told_ms = told_ms;
    hybrid_alive_begin(&alive_src, "mig/src/alive", hybrid_alive_src_look,
                       peer_ms, true);
}

void hybrid_alive_src_end(void)
{
    hybrid_alive_end(&alive_src);
    alive_src.idle_depth = 0;
}

void hybrid_alive_src_heard(HybridMessage *m)
{
    qatomic_set(&alive_src.peer_ms, hybrid_msg_get_be32(m));
}

/* Only the thread that owns the stream can leave it to another one */
static bool hybrid_alive_owns_stream(MigrationState *s)
{
    return qatomic_read(&alive_src.runs) && qemu_thread_is_self(&s->thread);
}

void hybrid_src_idle_begin(MigrationState *s)
{
    HybridAlive *a = &alive_src;

    if (!hybrid_alive_owns_stream(s) || a->idle_depth++ || !s->to_dst_file) {
        return;
    }
    if (qatomic_read(&a->peer_ms) || migrate_hybrid_peer_timeout() ||
        qatomic_read(&a->told_ms)) {
        /* If somebody has to wait for this, then not the other thread */
        qemu_fflush(s->to_dst_file);
        QEMU_LOCK_GUARD(&a->lock);
        a->idle = true;
    }
}

void hybrid_src_idle_end(MigrationState *s)
{
    HybridAlive *a = &alive_src;

    if (hybrid_alive_owns_stream(s) && a->idle_depth && !--a->idle_depth) {
        QEMU_LOCK_GUARD(&a->lock);
        a->idle = false;
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
    qatomic_set(&alive_src.connecting, begins);
}

/* ---- destination ---- */

/* Set here, or as the source has set it */
static uint32_t hybrid_alive_dst_own_ms(void)
{
    return migrate_hybrid_peer_timeout() ?: qatomic_read(&alive_dst.peer_ms);
}

uint32_t hybrid_alive_dst_ms(void)
{
    return qatomic_read(&alive_dst.runs) ? hybrid_alive_dst_own_ms() : 0;
}

static void hybrid_alive_dst_say(MigrationIncomingState *mis, uint32_t own_ms,
                                 uint32_t peer_ms, int64_t now_us,
                                 int64_t step_us)
{
    HybridAlive *a = &alive_dst;
    int64_t quiet_us;

    /* Whoever sends now says that we are alive, or will never get it out */
    if (qemu_rec_mutex_trylock(&mis->rp_mutex)) {
        return;
    }
    if (mis->to_src_file) {
        quiet_us = hybrid_silence_look(&a->said, now_us, step_us,
            qemu_file_moved_bytes(mis->to_src_file), false);
        if ((own_ms != a->told_ms || hybrid_alive_due(quiet_us, peer_ms)) &&
            hybrid_alive_room(mis->to_src_file)) {
            HybridMessage m = hybrid_alive_message(HYBRID_MSG_ALIVE, own_ms);

            trace_hybrid_message("dst", hybrid_msg_str(HYBRID_MSG_ALIVE));
            migrate_send_rp_hybrid(mis, m.bytes->data, m.bytes->len);
            hybrid_msg_free(&m);
            qatomic_set(&a->told_ms, own_ms);
        }
    }
    qemu_rec_mutex_unlock(&mis->rp_mutex);
}

static void hybrid_alive_dst_lost(MigrationIncomingState *mis,
                                  const char *what, uint32_t own_ms)
{
    Error *err = NULL;

    trace_hybrid_alive("dst", what);
    error_setg(&err, "%s for hybrid-peer-timeout (%" PRIu32 " ms): the "
               "connection is given up", what, own_ms);
    migrate_set_error(migrate_get_current(), err);
    /* The source may hear it, if this direction works; without a wait */
    if (!qemu_rec_mutex_trylock(&mis->rp_mutex)) {
        if (mis->to_src_file && hybrid_alive_room(mis->to_src_file)) {
            hybrid_dst_failed(mis, error_get_pretty(err));
        }
        qemu_rec_mutex_unlock(&mis->rp_mutex);
    }
    error_report_err(err);
    migration_incoming_shutdown_channels(mis);
}

typedef struct HybridAsked {
    uint64_t pages[HYBRID_ALIVE_REQUESTS];
    size_t n;
} HybridAsked;

static gboolean hybrid_alive_asked(gpointer key, gpointer value, gpointer opaque)
{
    HybridAsked *asked = opaque;

    asked->pages[asked->n++] = (uintptr_t)key;
    return asked->n == HYBRID_ALIVE_REQUESTS;
}

/* For how long has a page been asked for in vain, on a channel of its own? */
static int64_t hybrid_alive_ask(MigrationIncomingState *mis, int64_t now_us,
                                int64_t step_us)
{
    static HybridAsked asked;   /* of one thread */
    QEMUFile *main_file = mis->from_src_file;
    QEMUFile *f = mis->postcopy_qemufile_dst;
    uint64_t page, page_size = 0;
    ram_addr_t offset;
    RAMBlock *rb;

    asked.n = 0;
    if (mis->preempt_thread_status == PREEMPT_THREAD_CREATED &&
        qatomic_read(&mis->page_requested_count)) {
        if (qemu_mutex_trylock(&mis->page_request_mutex)) {
            return 0;           /* the next look will do */
        }
        g_tree_foreach(mis->page_requested, hybrid_alive_asked, &asked);
        qemu_mutex_unlock(&mis->page_request_mutex);
    }
    page = hybrid_ask_choose(&alive_dst.ask, asked.pages, asked.n);
    if (page) {
        RCU_READ_LOCK_GUARD();
        rb = qemu_ram_block_from_host((void *)(uintptr_t)page, false, &offset);
        page_size = rb ? qemu_ram_pagesize(rb) : 0;
    }
    return hybrid_ask_look(&alive_dst.ask, now_us, step_us, page, page_size,
                           f ? qemu_file_moved_bytes(f) : 0,
                           f && hybrid_alive_unread(f),
                           qemu_file_moved_bytes(main_file));
}

static uint32_t hybrid_alive_dst_look(void)
{
    MigrationIncomingState *mis = migration_incoming_get_current();
    HybridAlive *a = &alive_dst;
    uint32_t peer_ms = qatomic_read(&a->peer_ms);
    uint32_t own_ms = hybrid_alive_dst_own_ms();
    uint32_t step_ms = hybrid_alive_step_ms(own_ms, peer_ms);
    int64_t now_us = hybrid_now_us(), step_us = step_ms * 1000;
    int64_t silent_us, asked_us, connect_us;
    HandoffDstState state;
    bool settings, plain;

    WITH_QEMU_LOCK_GUARD(&hybrid_dst.lock) {
        state = hybrid_dst.state;
        plain = hybrid_dst.plain;
    }
    settings = a->settings;
    connect_us = hybrid_alive_connect(a, now_us, step_us);
    if (state == HANDOFF_DST_LOADED_PAUSED ||
        state == HANDOFF_DST_RUNNING_PAUSED) {
        hybrid_silence_reset(&a->said);     /* GRANT comes first */
    } else if (settings && state != HANDOFF_DST_GONE) {
        hybrid_alive_dst_say(mis, own_ms, peer_ms, now_us, step_us);
    }
    WITH_QEMU_LOCK_GUARD(&mis->qemu_file_lock) {
        QEMUFile *f = mis->from_src_file;

        if (!f || plain || state == HANDOFF_DST_GONE ||
            (state == HANDOFF_DST_AGREED && settings) ||
            qemu_file_get_error(f) || own_ms != a->own_ms) {
            /*
             * Paused, or it is we who check whether the guest fits; or the
             * source is still to be told; or it will never know
             */
            a->own_ms = own_ms;
            hybrid_silence_reset(&a->heard);
            a->ask = (HybridAsk) {};
            return step_ms;
        }
        silent_us = hybrid_silence_look(&a->heard, now_us, step_us,
                                        qemu_file_moved_bytes(f),
                                        hybrid_alive_unread(f));
        asked_us = hybrid_alive_ask(mis, now_us, step_us);
    }
    if (hybrid_alive_lost(asked_us, own_ms)) {
        hybrid_alive_dst_lost(mis, "No page that was asked for came on the "
                              "preempt connection", own_ms);
    } else if (hybrid_alive_lost(connect_us, own_ms)) {
        hybrid_alive_dst_lost(mis, "The preempt connection from the source "
                              "did not come", own_ms);
    } else if (hybrid_alive_lost(silent_us, own_ms) &&
               !qatomic_read(&a->ended)) {
        hybrid_alive_dst_lost(mis, "Nothing was heard from the source on the "
                              "main connection", own_ms);
    }
    return step_ms;
}

void hybrid_dst_connected(void)
{
    /* Only what was set here is known: it is to begin in time */
    if (migrate_hybrid_peer_timeout() && !alive_dst.runs) {
        alive_dst.told_ms = 0;
        hybrid_alive_begin(&alive_dst, "mig/dst/alive", hybrid_alive_dst_look,
                           0, false);
    }
}

void hybrid_dst_connects_preempt(bool begins)
{
    qatomic_set(&alive_dst.connecting, begins);
}

void hybrid_alive_dst_begin(uint32_t peer_ms)
{
    hybrid_alive_dst_end();
    /* If it is on, ALIVE is said at once: the check of the host may be long */
    alive_dst.told_ms = peer_ms || migrate_hybrid_peer_timeout() ?
                        UINT32_MAX : 0;
    hybrid_alive_begin(&alive_dst, "mig/dst/alive", hybrid_alive_dst_look,
                       peer_ms, true);
}

void hybrid_alive_dst_end(void)
{
    hybrid_alive_end(&alive_dst);
}

void hybrid_alive_dst_heard(HybridMessage *m)
{
    qatomic_set(&alive_dst.peer_ms, hybrid_msg_get_be32(m));
}

void hybrid_alive_dst_stream_ended(bool ended)
{
    qatomic_set(&alive_dst.ended, ended);
}
