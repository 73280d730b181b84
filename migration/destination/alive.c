/*
 * Hybrid live migration, destination: is the source still there?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migration/hybrid/destination/state.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/rcu.h"
#include "exec/cpu-common.h"
#include "migration/migration.h"
#include "migration/postcopy-ram.h"
#include "migration/qemu-file.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/common/alive.h"
#include "migration/hybrid/common/params.h"
#include "migration/hybrid/destination/alive.h"
#include "migration/hybrid/policy/alive.h"

/* Requests that are looked at: the first ones if there are more; chosen */
#define HYBRID_ALIVE_REQUESTS 1024

typedef struct HybridAsked {
    uint64_t pages[HYBRID_ALIVE_REQUESTS];
    size_t n;
} HybridAsked;

struct HybridWatcher {
    HybridAlive both;
    bool settings;              /* they have come; set before it begins */
    HybridShared ended;         /* the source has no more to say */
    HybridAsk ask HYBRID_ALIVE_OWNED;
    /* what the last look has found */
    HybridAsked HYBRID_ALIVE_OWNED asked;
};

HybridWatcher *hybrid_watcher_new(void)
{
    HybridWatcher *w = g_new0(HybridWatcher, 1);

    hybrid_alive_init(&w->both);
    return w;
}

void hybrid_watcher_free(HybridWatcher *w)
{
    if (w) {
        hybrid_alive_destroy(&w->both);
        g_free(w);
    }
}

/* Set here, or as the source has set it */
static uint32_t hybrid_alive_dst_own_ms(void)
{
    HybridWatcher *w = hybrid_destination()->watch;

    return migrate_hybrid_peer_timeout() ?: hybrid_shared_get(&w->both.peer_ms);
}

uint32_t TSA_NO_TSA hybrid_alive_dst_ms(void)
{
    HybridWatcher *w = hybrid_destination()->watch;

    /* When it is over: the one that was */
    return hybrid_shared_get(&w->both.runs) ? hybrid_alive_dst_own_ms()
                                       : w->both.own_ms;
}

static void HYBRID_ALIVE_THREAD
hybrid_alive_dst_say(MigrationIncomingState *mis, uint32_t own_ms,
                     uint32_t peer_ms, int64_t now_us, int64_t step_us)
{
    HybridWatcher *w = hybrid_destination()->watch;
    HybridAlive *a = &w->both;
    int64_t quiet_us;

    /* Whoever sends now says that we are alive, or will never get it out */
    if (qemu_rec_mutex_trylock(&mis->rp_mutex)) {
        return;
    }
    if (mis->to_src_file) {
        quiet_us = hybrid_silence_look(&a->said, now_us, step_us,
            qemu_file_moved_bytes(mis->to_src_file), false);
        if ((own_ms != hybrid_shared_get(&a->told_ms) ||
             hybrid_alive_due(quiet_us, peer_ms)) &&
            hybrid_alive_room(mis->to_src_file)) {
            HybridMessage m = hybrid_alive_message(HYBRID_MSG_ALIVE, own_ms);

            trace_hybrid_message("dst", hybrid_msg_str(HYBRID_MSG_ALIVE));
            migrate_send_rp_hybrid(mis, m.bytes->data, m.bytes->len);
            hybrid_msg_free(&m);
            hybrid_shared_set(&a->told_ms, own_ms);
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

static gboolean hybrid_alive_asked(gpointer key, gpointer value,
                                   gpointer opaque)
{
    HybridAsked *asked = opaque;

    asked->pages[asked->n++] = (uintptr_t)key;
    return asked->n == HYBRID_ALIVE_REQUESTS;
}

/* For how long has a page been asked for in vain, on a channel of its own? */
static int64_t HYBRID_ALIVE_THREAD
hybrid_alive_ask(MigrationIncomingState *mis, int64_t now_us, int64_t step_us)
{
    HybridWatcher *w = hybrid_destination()->watch;
    HybridAsked *asked = &w->asked;
    QEMUFile *main_file = mis->from_src_file;
    QEMUFile *f = mis->postcopy_qemufile_dst;
    uint64_t page, page_size = 0;
    ram_addr_t offset;
    RAMBlock *rb;

    asked->n = 0;
    if (mis->preempt_thread_status == PREEMPT_THREAD_CREATED &&
        qatomic_read(&mis->page_requested_count)) {
        if (qemu_mutex_trylock(&mis->page_request_mutex)) {
            return 0;           /* the next look will do */
        }
        g_tree_foreach(mis->page_requested, hybrid_alive_asked, asked);
        qemu_mutex_unlock(&mis->page_request_mutex);
    }
    page = hybrid_ask_choose(&w->ask, asked->pages, asked->n);
    if (page) {
        RCU_READ_LOCK_GUARD();
        rb = qemu_ram_block_from_host((void *)(uintptr_t)page, false, &offset);
        page_size = rb ? qemu_ram_pagesize(rb) : 0;
    }
    return hybrid_ask_look(&w->ask, now_us, step_us, page, page_size,
                           f ? qemu_file_moved_bytes(f) : 0,
                           f && hybrid_alive_unread(f),
                           qemu_file_moved_bytes(main_file));
}

static uint32_t hybrid_alive_dst_look(void)
{
    HybridDestination *h = hybrid_destination();
    HybridWatcher *w = h->watch;
    MigrationIncomingState *mis = migration_incoming_get_current();
    HybridAlive *a = &w->both;
    uint32_t peer_ms = hybrid_shared_get(&a->peer_ms);
    uint32_t own_ms = hybrid_alive_dst_own_ms();
    uint32_t step_ms = hybrid_alive_step_ms(own_ms, peer_ms);
    int64_t now_us = hybrid_now_us(), step_us = step_ms * 1000;
    int64_t silent_us, asked_us, connect_us;
    HandoffDstState state;
    bool settings, plain;

    hybrid_alive_in_thread();
    WITH_HYBRID_DESTINATION_LOCK(h) {
        state = h->state;
        plain = h->plain;
    }
    settings = w->settings;
    if (hybrid_alive_anew(a)) {
        w->ask = (HybridAsk) {};
    }
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
            w->ask = (HybridAsk) {};
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
               !hybrid_shared_get(&w->ended)) {
        hybrid_alive_dst_lost(mis, "Nothing was heard from the source on the "
                              "main connection", own_ms);
    }
    return step_ms;
}

static void TSA_NO_TSA
hybrid_alive_dst_start(uint32_t told_ms, uint32_t peer_ms, bool settings)
{
    HybridWatcher *w = hybrid_destination()->watch;

    w->settings = settings;
    hybrid_shared_set(&w->ended, false);
    w->ask = (HybridAsk) {};
    hybrid_alive_begin(&w->both, "mig/dst/alive", hybrid_alive_dst_look,
                       told_ms, peer_ms);
}

void hybrid_alive_dst_connected(void)
{
    /* Only what was set here is known: it is to begin in time */
    if (migrate_hybrid_peer_timeout() &&
        !hybrid_shared_get(&hybrid_destination()->watch->both.runs)) {
        hybrid_alive_dst_start(0, 0, false);
    }
}

void hybrid_dst_connects_preempt(bool begins)
{
    HybridWatcher *w = hybrid_destination()->watch;

    hybrid_shared_set(&w->both.connecting, begins);
}

void hybrid_alive_dst_begin(uint32_t peer_ms)
{
    hybrid_alive_dst_end();
    /* If it is on, ALIVE is said at once: the check of the host may be long */
    hybrid_alive_dst_start(peer_ms || migrate_hybrid_peer_timeout() ?
                           UINT32_MAX : 0, peer_ms, true);
}

void hybrid_alive_dst_end(void)
{
    HybridWatcher *w = hybrid_destination()->watch;

    hybrid_alive_end(&w->both);
}

void hybrid_alive_dst_heard(HybridMessage *m)
{
    HybridWatcher *w = hybrid_destination()->watch;

    hybrid_shared_set(&w->both.peer_ms, hybrid_msg_get_be32(m));
}

void hybrid_alive_dst_stream_ended(bool ended)
{
    HybridWatcher *w = hybrid_destination()->watch;

    hybrid_shared_set(&w->ended, ended);
    if (!ended) {
        hybrid_shared_set(&w->both.anew, true);     /* a pause begins */
    }
}
