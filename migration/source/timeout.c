/*
 * Hybrid live migration, source: how long the switch may take.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migration/hybrid/source/state.h"
#include "qapi/error.h"
#include "qemu/timer.h"
#include "migration/migration.h"
#include "migration/options.h"
#include "migration/qemu-file.h"
#include "migration/hybrid/common/params.h"
#include "migration/hybrid/common/tcp.h"
#include "migration/hybrid/source/timeout.h"

/* How often to see whether a destination that is waited for is heard; chosen */
#define HYBRID_HEARS_STEP_US 200000

uint64_t hybrid_src_patience_ms(HybridSource *h)
{
    return migrate_hybrid_handoff_timeout() +
           (hybrid_shared_get(&h->completing) ? migrate_downtime_limit() : 0);
}

int64_t hybrid_src_end_patience_us(void)
{
    return MAX(migrate_hybrid_handoff_timeout() * 1000ll,
               HYBRID_TCP_PROBES_US);
}

bool hybrid_src_hears_peer(HybridSource *h)
{
    int64_t patience_us = hybrid_src_end_patience_us();
    int64_t silent_us = hybrid_tcp_silent_us(h->end_fd);

    return hybrid_now_us() - h->heard_us < patience_us ||
           (silent_us >= 0 && silent_us < patience_us);
}

void hybrid_src_timeout_error(Error **errp)
{
    HybridSource *h = hybrid_source();

    error_setg(errp, "The destination did not load the guest's state within "
               "hybrid-handoff-timeout%s (%" PRIu64 " ms): the guest stays at "
               "the source", hybrid_shared_get(&h->completing) ?
               " and downtime-limit" : "", hybrid_src_patience_ms(h));
}

/* ---- the connection ---- */

/* Main loop, as what becomes of the attempt */
static void hybrid_src_connect_late(void *opaque)
{
    MigrationState *s = opaque;
    Error *err = NULL;

    if (s->to_dst_file ||
        (s->state != MIGRATION_STATUS_SETUP &&
         s->state != MIGRATION_STATUS_POSTCOPY_RECOVER_SETUP)) {
        return;                 /* it is there, or somebody gave it up */
    }
    error_setg(&err, "No connection to the destination was made within "
               "hybrid-peer-timeout (%" PRIu32 " ms)",
               migrate_hybrid_peer_timeout());
    migration_connect_forget(s);
    migration_connect(s, err);
    error_free(err);
}

void hybrid_src_connects(MigrationState *s)
{
    HybridSource *h = hybrid_source();
    uint32_t timeout_ms = migrate_hybrid_peer_timeout();

    if (!h->active || h->observe) {
        return;
    }
    hybrid_bql_held();
    if (timeout_ms && !h->connect_timer) {
        h->connect_timer = timer_new_ms(QEMU_CLOCK_REALTIME,
                                        hybrid_src_connect_late, s);
    }
    if (timeout_ms) {
        timer_mod(h->connect_timer,
                  qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + timeout_ms);
    } else if (h->connect_timer) {
        timer_del(h->connect_timer);
    }
}

/* ---- the switch ---- */

/*
 * Sending may block for as long as TCP likes when the link is silently dead,
 * so the time-out has a thread of its own: it gives the guest back to the
 * source and then shuts all connections down, which ends every send.
 */
static void *hybrid_src_watchdog(void *opaque)
{
    MigrationState *s = opaque;
    HybridSource *h = hybrid_source();
    Error *err = NULL;
    bool fire = false, timed_out = false;

    WITH_HYBRID_SOURCE_LOCK(h) {
        while (h->deadline_us > 0) {
            int64_t left_us = h->deadline_us - hybrid_now_us();

            if (left_us > 0) {
                hybrid_src_wait(h, left_us / 1000 + 1);
            } else if (h->state == HANDOFF_SRC_RUNNING &&
                       hybrid_src_hears_peer(h)) {
                h->deadline_us = hybrid_now_us() + HYBRID_HEARS_STEP_US;
            } else if (hybrid_src_step(h, HANDOFF_EV_TIMEOUT)) {
                /* Back; the link may work, so give ABORT a moment */
                h->timed_out = true;
                h->deadline_us = hybrid_now_us() + HYBRID_ABORT_PATIENCE_US;
                qemu_cond_broadcast(&h->cond);
            } else {
                /* Already back, or refused: the guest was given away */
                fire = true;
                timed_out = h->timed_out;
                break;
            }
        }
        qemu_cond_broadcast(&h->cond);
    }
    if (fire) {
        /* Before the stream's own error, which shutting it down causes */
        if (timed_out) {
            hybrid_src_timeout_error(&err);
            migrate_set_error(s, err);
            error_free(err);
        }
        migration_shutdown_channels(s);
    }
    return NULL;
}

void hybrid_src_arm(MigrationState *s, HybridSource *h, int64_t patience_us)
{
    int64_t deadline_us = hybrid_now_us() + patience_us;

    if (h->watchdog_running) {
        if (h->deadline_us > 0) {
            h->deadline_us = MIN(h->deadline_us, deadline_us);
            qemu_cond_broadcast(&h->cond);
        }
        return;
    }
    h->deadline_us = deadline_us;
    h->watchdog_running = true;
    qemu_thread_create(&h->watchdog, "mig/src/handoff", hybrid_src_watchdog, s,
                       QEMU_THREAD_JOINABLE);
}

void hybrid_src_disarm(void)
{
    HybridSource *h = hybrid_source();

    WITH_HYBRID_SOURCE_LOCK(h) {
        if (!h->watchdog_running) {
            return;
        }
        h->deadline_us = 0;
        qemu_cond_broadcast(&h->cond);
    }
    qemu_thread_join(&h->watchdog);
    WITH_HYBRID_SOURCE_LOCK(h) {
        h->watchdog_running = false;
    }
}
