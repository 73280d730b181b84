/*
 * Hybrid live migration, destination: the guest is taken over.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The one rule: nothing of the guest runs here, and no disk is activated,
 * until GRANT has arrived.  Meanwhile the run state stays "inmigrate" and the
 * listen thread reads the stream, which is where GRANT (or ABORT) comes from.
 */

#include "migration/hybrid/destination/state.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "migration/global_state.h"
#include "system/runstate.h"
#include "migration/migration.h"
#include "migration/hybrid/common/point.h"
#include "migration/hybrid/destination/alive.h"
#include "migration/hybrid/destination/delta.h"
#include "migration/hybrid/destination/drop.h"
#include "migration/hybrid/destination/faults.h"
#include "migration/hybrid/destination/handoff.h"
#include "migration/hybrid/destination/load.h"
#include "migration/hybrid/destination/window.h"

/* How often RUNNING is said again until the end; chosen */
#define HYBRID_ENDING_MS 500

/* The guest is ours; @running: and it runs, or did once */
static void hybrid_dst_say_running(MigrationIncomingState *mis, bool running)
{
    HybridMessage m = hybrid_msg_new(HYBRID_MSG_RUNNING);
    HybridDestination *h = hybrid_destination();

    hybrid_msg_put_be32(&m, running);
    if (running) {
        HYBRID_DESTINATION_LOCK_GUARD(h);
        hybrid_msg_put_be64(&m, hybrid_now_us() - h->running_us);
        hybrid_msg_put_be64(&m, h->running_us - h->loaded_us);
        hybrid_msg_put_be64(&m, h->running_us - h->grant_us);
    }
    hybrid_dst_send(mis, HYBRID_MSG_RUNNING, &m);
}

/* vCPUs that the management layer starts later ("cont" after -S) */
static void hybrid_dst_say_running_bh(void *opaque)
{
    HybridDestination *h = hybrid_destination();
    MigrationIncomingState *mis = opaque;

    WITH_HYBRID_DESTINATION_LOCK(h) {
        if (!h->started || h->running_said || !runstate_is_running()) {
            return;
        }
        h->running_said = true;
    }
    hybrid_dst_say_running(mis, true);
}

void hybrid_dst_vm_state(void *opaque, bool running, RunState state)
{
    HybridDestination *h = hybrid_destination();
    bool first = false, say;

    WITH_HYBRID_DESTINATION_LOCK(h) {
        if (running && h->running_us < 0) {
            h->running_us = hybrid_now_us();
            first = true;
        }
        say = running && h->started && !h->running_said;
    }
    if (first) {
        hybrid_dst_mark("running");
    }
    if (say) {
        migration_bh_schedule(hybrid_dst_say_running_bh, opaque);
    }
}

/* ---- phases 3 and 4 ---- */

int hybrid_dst_grant(MigrationIncomingState *mis, HybridMessage *in)
{
    HybridDestination *h = hybrid_destination();
    bool other, again, lost, started, running_said;
    QEMUBHFunc *start;

    WITH_HYBRID_DESTINATION_LOCK(h) {
        other = hybrid_msg_get_be64(in) != h->id;
    }
    if (other || in->overrun) {
        error_report("The source recovers another migration than the one "
                     "that is paused here");
        return -EINVAL;         /* as good as a broken link: pause again */
    }
    WITH_HYBRID_DESTINATION_LOCK(h) {
        if (h->state == HANDOFF_DST_LOADED_PAUSED ||
            h->state == HANDOFF_DST_RUNNING_PAUSED) {
            hybrid_dst_step(h, HANDOFF_EV_RECOVER);
        }
        again = h->state == HANDOFF_DST_RUNNING;
        if (!hybrid_dst_step(h, HANDOFF_EV_GRANT)) {
            return 0;
        }
        lost = h->channel_lost;
        h->channel_lost = false;
        if (!again) {
            h->grant_us = hybrid_now_us();
        }
        start = h->start;
        started = h->started;
        running_said = h->running_said;
    }
    if (!again) {
        hybrid_dst_mark("grant");
        migration_bh_schedule(start, mis);
    } else if (started) {
        /* RUNNING may be what got lost */
        hybrid_dst_say_running(mis, running_said);
    }
    if (lost) {
        migration_incoming_shutdown_channels(mis);
    }
    return 0;
}

int hybrid_dst_abort(void)
{
    HybridDestination *h = hybrid_destination();
    Error *err = NULL;

    WITH_HYBRID_DESTINATION_LOCK(h) {
        hybrid_dst_step(h, HANDOFF_EV_ABORT);
    }
    error_setg(&err, "The source keeps the guest: this migration is over");
    migrate_set_error(migrate_get_current(), err);
    error_report_err(err);
    return -ECANCELED;
}

int hybrid_dst_package(MigrationIncomingState *mis)
{
    HybridDestination *h = hybrid_destination();
    int ret;

    if (!hybrid_dst_agreed()) {
        return 0;
    }
    hybrid_bql_held();
    WITH_HYBRID_DESTINATION_LOCK(h) {
        hybrid_dst_step(h, HANDOFF_EV_PACKAGE);
    }
    hybrid_dst_mark("package");
    hybrid_point("dst-package");
    ret = hybrid_dst_drop_untouched();
    hybrid_dst_mark("dropped");
    return ret;
}

bool hybrid_dst_loaded(MigrationIncomingState *mis, QEMUBHFunc *start)
{
    HybridDestination *h = hybrid_destination();
    HybridMessage m;

    if (!hybrid_dst_agreed()) {
        return false;
    }
    hybrid_point("dst-loaded");
    WITH_HYBRID_DESTINATION_LOCK(h) {
        h->start = start;
        /*
         * The listen thread may have given up meanwhile.  Then the source
         * must not hear LOADED: its GRANT would find nobody.
         */
        if (!hybrid_dst_step(h, HANDOFF_EV_LOADED_SENT)) {
            return true;
        }
        h->loaded_us = hybrid_now_us();
    }
    hybrid_dst_mark("loaded");
    m = hybrid_msg_new(HYBRID_MSG_LOADED);
    hybrid_dst_send(mis, HYBRID_MSG_LOADED, &m);
    return true;
}

bool hybrid_dst_keep_stopped(void)
{
    return hybrid_dst_agreed() && global_state_received() &&
           !runstate_is_live(global_state_get_runstate());
}

void hybrid_dst_started(MigrationIncomingState *mis)
{
    HybridDestination *h = hybrid_destination();
    bool running;

    if (!hybrid_dst_agreed()) {
        return;
    }
    hybrid_dst_mark("started");
    hybrid_point("dst-started");
    WITH_HYBRID_DESTINATION_LOCK(h) {
        running = runstate_is_running();
        h->started = true;
        h->running_said = running;
    }
    hybrid_dst_say_running(mis, running);
    qemu_event_set(&h->started_event);
}

/* The stream or the load has failed; lock held */
static void HYBRID_DESTINATION_LOCKED hybrid_dst_gone(HybridDestination *h)
{
    switch (h->state) {
    case HANDOFF_DST_LOADING:
        /* From now on the main thread cannot say LOADED any more */
        hybrid_dst_step(h, HANDOFF_EV_LOAD_FAILED);
        break;
    case HANDOFF_DST_AGREED:
    case HANDOFF_DST_READY:
        hybrid_dst_step(h, HANDOFF_EV_LINK_LOST);
        break;
    default:
        break;
    }
}

bool hybrid_dst_stream_broke(bool running)
{
    HybridDestination *h = hybrid_destination();

    if (!hybrid_dst_agreed()) {
        return running;
    }
    HYBRID_DESTINATION_LOCK_GUARD(h);
    /*
     * LOADED is said by the main thread, under this lock: either it is said
     * by now and GRANT may come, or it never will be.  Upstream's state knows
     * neither this nor an ABORT.
     */
    hybrid_dst_gone(h);
    return h->state == HANDOFF_DST_LOADED || h->state == HANDOFF_DST_RUNNING ||
           h->state == HANDOFF_DST_LOADED_PAUSED ||
           h->state == HANDOFF_DST_RUNNING_PAUSED;
}

bool hybrid_dst_hear_out(void)
{
    HybridDestination *h;

    /* Also called by the monitor, without the BQL */
    RCU_READ_LOCK_GUARD();
    h = hybrid_destination();
    HYBRID_DESTINATION_LOCK_GUARD(h);
    if (h->state != HANDOFF_DST_READY && h->state != HANDOFF_DST_LOADING &&
        h->state != HANDOFF_DST_LOADED) {
        return false;
    }
    h->channel_lost = true;
    return true;
}

void hybrid_dst_paused(MigrationIncomingState *mis)
{
    HybridDestination *h = hybrid_destination();

    if (hybrid_dst_agreed()) {
        hybrid_point("dst-paused");
        hybrid_dst_in_listen_thread();
        hybrid_window_recovers();
        hybrid_alive_dst_stream_ended(false);
        hybrid_bases_pause(h);
        HYBRID_DESTINATION_LOCK_GUARD(h);
        h->channel_lost = false;
        hybrid_dst_step(h, HANDOFF_EV_LINK_LOST);
    }
}

/* ---- phase 5 ---- */

/* Whatever comes, the guest is not ours.  True if it never will be. */
static bool hybrid_dst_lost(void)
{
    HybridDestination *h = hybrid_destination();

    HYBRID_DESTINATION_LOCK_GUARD(h);
    hybrid_dst_gone(h);
    return h->state == HANDOFF_DST_GONE;
}

/*
 * All is here, but until the source hears so the memory may have to be
 * locked, which takes its time, and the main loop may be busy.  RUNNING, said
 * again, is a sign of life that every source knows.
 */
static void *hybrid_dst_ending(void *opaque)
{
    HybridDestination *h = hybrid_destination();

    while (qemu_sem_timedwait(&h->ending_done, HYBRID_ENDING_MS)) {
        bool running;

        WITH_HYBRID_DESTINATION_LOCK(h) {
            running = h->running_said;
        }
        hybrid_dst_say_running(opaque, running);
    }
    return NULL;
}

static void hybrid_dst_ending_join(void)
{
    HybridDestination *h = hybrid_destination();
    bool runs;

    WITH_HYBRID_DESTINATION_LOCK(h) {
        runs = h->ending_runs;
        h->ending_runs = false;
    }
    if (runs) {
        qemu_sem_post(&h->ending_done);
        qemu_thread_join(&h->ending);
    }
}

void hybrid_dst_listen_end(MigrationIncomingState *mis, int load_res)
{
    HybridDestination *h = hybrid_destination();

    if (!hybrid_dst_agreed()) {
        return;
    }
    hybrid_point("dst-stream-ended");
    if (load_res >= 0) {
        /* The source ends the stream only after it has said GRANT */
        qemu_event_wait(&h->started_event);
        hybrid_bases_release(h);
        WITH_HYBRID_DESTINATION_LOCK(h) {
            qemu_thread_create(&h->ending, "mig/dst/ending",
                               hybrid_dst_ending, mis, QEMU_THREAD_JOINABLE);
            h->ending_runs = true;
        }
    } else if (hybrid_dst_lost()) {
        WITH_HYBRID_DESTINATION_LOCK(h) {
            g_clear_pointer(&h->ledger, hybrid_ledger_close);
        }
    }
}

void hybrid_dst_finish(MigrationIncomingState *mis)
{
    HybridDestination *h = hybrid_destination();
    HybridMessage m;
    bool done;

    if (!hybrid_destination_is_any()) {
        return;                 /* a snapshot */
    }
    hybrid_dst_ending_join();
    hybrid_alive_dst_end();
    if (!hybrid_dst_agreed()) {
        return;
    }
    hybrid_bql_held();
    WITH_HYBRID_DESTINATION_LOCK(h) {
        if (h->state == HANDOFF_DST_RUNNING) {
            hybrid_dst_step(h, HANDOFF_EV_STREAM_END);
        }
        done = h->state == HANDOFF_DST_DONE;
    }
    hybrid_dst_lost();          /* if the package could not be loaded */
    if (done && mis->to_src_file) {
        m = hybrid_msg_new(HYBRID_MSG_STATS);
        hybrid_msg_put_be64(&m, stat64_get(&h->received));
        hybrid_faults_report(&m);
        hybrid_dst_send(mis, HYBRID_MSG_STATS, &m);
    }
    WITH_HYBRID_DESTINATION_LOCK(h) {
        g_clear_pointer(&h->ledger, hybrid_ledger_close);
    }
    hybrid_dst_discards_end();
    hybrid_bases_release(h);
    hybrid_load_cleanup();
    hybrid_shared_set(&h->finished, true);
}
