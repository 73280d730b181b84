/*
 * Hybrid live migration, source: the guest is given away (phases 3 and 4).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The one rule: before GRANT is sent the source may run the guest again at
 * any time, afterwards never.  Cancel, time-out, a broken link and GRANT meet
 * under the source's lock, and the transition table lets exactly one of them
 * through.
 */

#include "migration/hybrid/source/state.h"
#include "qapi/error.h"
#include "qemu/main-loop.h"
#include "migration/migration.h"
#include "migration/qemu-file.h"
#include "migration/ram.h"
#include "migration/savevm.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/common/point.h"
#include "migration/hybrid/common/tcp.h"
#include "migration/hybrid/source/alive.h"
#include "migration/hybrid/source/delta.h"
#include "migration/hybrid/source/devices.h"
#include "migration/hybrid/source/flow.h"
#include "migration/hybrid/source/push.h"
#include "migration/hybrid/source/timeout.h"

/* ---- package, LOADED, GRANT ---- */

/*
 * Wait for LOADED and decide.  While the destination loads the devices it
 * may touch guest memory that is not there: its requests are served.  Not
 * more is pushed than will have left before: it would stand in GRANT's way.
 */
static bool HYBRID_SOURCE_THREAD hybrid_src_await_loaded(MigrationState *s)
{
    HybridSource *h = hybrid_source();

    while (true) {
        WITH_HYBRID_SOURCE_LOCK(h) {
            if (h->state != HANDOFF_SRC_PACKAGED) {
                return false;   /* cancel or the time-out was first */
            }
            /* First: do not give the guest to a peer that is known lost */
            if (!hybrid_src_stream_ok(s, h)) {
                hybrid_src_step(h, HANDOFF_EV_LINK_LOST);
                return false;
            }
            if (h->peer_loaded) {
                return hybrid_src_step(h, HANDOFF_EV_PEER_LOADED);
            }
            if (!ram_postcopy_requests_pending() && !h->early_pages) {
                hybrid_src_wait(h, 100);
            }
        }
        if (ram_postcopy_requests_pending() || h->early_pages) {
            uint32_t early = h->early_pages;

            hybrid_src_idle_end(s);
            qemu_savevm_state_iterate(s->to_dst_file, true);
            hybrid_src_idle_begin(s);
            if (h->early_pages == early) {
                h->early_pages = 0;     /* max-postcopy-bandwidth */
            }
        }
    }
}

static void HYBRID_SOURCE_THREAD
hybrid_src_send(MigrationState *s, HybridMessageKind kind)
{
    HybridSource *h = hybrid_source();
    HybridMessage m = hybrid_msg_new(kind);

    if (kind == HYBRID_MSG_GRANT) {
        hybrid_msg_put_be64(&m, h->id);
    }
    trace_hybrid_message("src", hybrid_msg_str(kind));
    hybrid_point_message("src-sends", hybrid_msg_str(kind));
    hybrid_msg_send_to_dst(s->to_dst_file, &m);
    hybrid_point_message("src-sent", hybrid_msg_str(kind));
}

static void hybrid_src_back_error(MigrationState *s, Error **errp)
{
    HybridSource *h = hybrid_source();
    bool timed_out;

    WITH_HYBRID_SOURCE_LOCK(h) {
        timed_out = h->timed_out;
    }
    if (timed_out) {
        hybrid_src_timeout_error(errp);
    } else if (s->state == MIGRATION_STATUS_CANCELLING) {
        error_setg(errp, "Migration was cancelled during the handoff");
    } else {
        error_setg(errp, "The connection to the destination was lost before "
                   "the guest was handed off: the guest stays at the source");
    }
}

/* Where the time of the stop went, in microseconds since it began */
static void hybrid_src_trace_stop(const HybridTimes *times)
{
    const struct {
        const char *step;
        int64_t us;
    } steps[] = {
        { "synced", times->synced_us },
        { "discarded", times->discarded_us },
        { "saved", times->saved_us },
        { "sent", times->package_us },
        { "loaded", times->loaded_us },
        { "granted", times->grant_us },
    };

    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        if (steps[i].us >= 0) {
            trace_hybrid_stop("src", steps[i].step,
                              steps[i].us - times->stop_us);
        }
    }
}

int hybrid_src_handoff(MigrationState *s, QIOChannelBuffer *package,
                       Error **errp)
{
    HybridSource *h = hybrid_source();
    bool granted, send;

    hybrid_source_in_thread();
    hybrid_src_stamp(h, saved_us);
    bql_unlock();
    WITH_HYBRID_SOURCE_LOCK(h) {
        hybrid_src_arm(s, h, hybrid_src_patience_ms(h) * 1000);
    }
    hybrid_shared_set(&h->requests_only, true);
    hybrid_point("src-saved");
    hybrid_devices_send(s);
    hybrid_push_early_begin();
    /* Before it is sent: a LOADED that comes earlier is none, see the gate */
    WITH_HYBRID_SOURCE_LOCK(h) {
        send = hybrid_src_step(h, HANDOFF_EV_PACKAGE_SENT);
    }
    if (send && !qemu_savevm_send_packaged(s->to_dst_file, package->data,
                                           package->usage)) {
        qemu_fflush(s->to_dst_file);
    }
    hybrid_src_stamp(h, package_us);
    hybrid_shared_set(&h->package_sent, true);
    hybrid_point("src-sent-package");
    hybrid_src_idle_begin(s);
    granted = hybrid_src_await_loaded(s);
    hybrid_src_idle_end(s);
    hybrid_shared_set(&h->requests_only, false);
    h->early_pages = 0;

    if (granted) {
        /* Before GRANT: RUNNING, which it brings, begins the next phase */
        hybrid_set_phase(h, MIGRATION_HYBRID_PHASE_RESUME, NULL);
        /* From here on a failure to send is no reason to go back */
        hybrid_src_stamp(h, grant_us);
        hybrid_src_send(s, HYBRID_MSG_GRANT);
        WITH_HYBRID_SOURCE_LOCK(h) {
            hybrid_src_trace_stop(&h->times);
        }
    } else {
        WITH_HYBRID_SOURCE_LOCK(h) {
            hybrid_src_arm(s, h, HYBRID_ABORT_PATIENCE_US);
        }
        hybrid_src_send(s, HYBRID_MSG_ABORT);
        if (hybrid_src_hear_out(s)) {
            WITH_QEMU_LOCK_GUARD(&s->error_mutex) {
                *errp = error_copy(s->error);
            }
        } else {
            hybrid_src_back_error(s, errp);
        }
    }
    WITH_HYBRID_SOURCE_LOCK(h) {
        h->deciding = false;
        qemu_cond_broadcast(&h->cond);
    }
    hybrid_src_disarm();
    hybrid_src_idle_bql_lock(s);
    return granted ? 0 : -1;
}

void hybrid_src_package_sent_plain(void)
{
    HybridSource *h = hybrid_source();

    if (h->active && !hybrid_src_agreed()) {
        hybrid_src_stamp(h, package_us);
        hybrid_shared_set(&h->package_sent, true);
        hybrid_set_phase(h, MIGRATION_HYBRID_PHASE_PAGING, NULL);
    }
}

/* ---- RUNNING ---- */

bool hybrid_src_gave_guest(void)
{
    HybridSource *h = hybrid_source();

    if (!h->active) {
        return false;
    }
    if (!hybrid_src_agreed()) {
        /* To a plain peer the package itself starts the guest there */
        return hybrid_shared_get(&h->package_sent);
    }
    HYBRID_SOURCE_LOCK_GUARD(h);
    return !handoff_src_may_run(h->state);
}

bool hybrid_src_guest_ran_there(void)
{
    HybridSource *h = hybrid_source();

    if (!hybrid_src_agreed()) {
        return false;
    }
    HYBRID_SOURCE_LOCK_GUARD(h);
    return !handoff_src_may_run(h->state) && h->times.running_seen;
}

static int hybrid_src_await_running(MigrationState *s)
{
    HybridSource *h = hybrid_source();
    int64_t deadline_us = hybrid_now_us() + hybrid_src_end_patience_us();

    hybrid_point("src-awaits-RUNNING");
    HYBRID_SOURCE_LOCK_GUARD(h);
    h->end_fd = hybrid_tcp_socket(s->to_dst_file);
    hybrid_tcp_probe(h->end_fd);
    while (h->state == HANDOFF_SRC_GRANTED) {
        if (!hybrid_src_stream_ok(s, h)) {
            return -EIO;
        }
        /* A link that is silently dead: better a pause than to wait for TCP */
        if (hybrid_now_us() >= deadline_us && !hybrid_src_hears_peer(h)) {
            return -ETIMEDOUT;
        }
        hybrid_src_wait(h, 100);
    }
    if (h->state != HANDOFF_SRC_RUNNING) {
        return -EIO;
    }
    /*
     * Until SHUT has come the same holds.  A time-out is refused in this
     * state, so all that the watchdog does is to shut the stream down.
     */
    hybrid_src_arm(s, h, hybrid_src_end_patience_us());
    return 0;
}

int hybrid_src_wait_running(MigrationState *s)
{
    int ret;

    hybrid_src_idle_begin(s);
    ret = hybrid_src_await_running(s);
    hybrid_src_idle_end(s);
    return ret;
}

/* ---- if one of them is lost ---- */

bool hybrid_src_lost_after_grant(MigrationState *s)
{
    if (s->state == MIGRATION_STATUS_COMPLETED || !hybrid_src_gave_guest()) {
        return false;
    }
    /* The usual pause of postcopy takes it from here */
    if (!qemu_file_get_error(s->to_dst_file)) {
        qemu_file_set_error(s->to_dst_file, -EIO);
    }
    migrate_set_state(&s->state, MIGRATION_STATUS_DEVICE,
                      MIGRATION_STATUS_POSTCOPY_ACTIVE);
    return true;
}

void hybrid_src_paused(void)
{
    HybridSource *h = hybrid_source();

    if (hybrid_src_agreed()) {
        hybrid_point("src-paused");
        hybrid_src_disarm();
        hybrid_alive_src_paused();
        HYBRID_SOURCE_LOCK_GUARD(h);
        if (h->state != HANDOFF_SRC_PAUSED) {
            hybrid_src_step(h, HANDOFF_EV_LINK_LOST);
        }
    }
}

void hybrid_src_recover(MigrationState *s)
{
    HybridSource *h = hybrid_source();

    if (!h->active) {
        return;
    }
    hybrid_source_in_thread();
    hybrid_flow_recovers(h->flow);
    hybrid_deltas_recover(h->deltas);
    hybrid_point("src-recovers");
    if (!hybrid_src_agreed()) {
        return;
    }
    WITH_HYBRID_SOURCE_LOCK(h) {
        h->rp_ended = h->peer_failed = false;
        hybrid_src_step(h, HANDOFF_EV_RECOVER);
    }
    hybrid_src_send(s, HYBRID_MSG_GRANT);
}
