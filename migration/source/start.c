/*
 * Hybrid live migration, source: is this migration hybrid?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migration/hybrid/source/state.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "migration/migration.h"
#include "migration/options.h"
#include "system/runstate.h"
#include "migration/hybrid/common/params.h"
#include "migration/hybrid/source/devices.h"
#include "migration/hybrid/source/flow.h"
#include "migration/hybrid/source/pages.h"
#include "migration/hybrid/source/push.h"
#include "migration/hybrid/source/start.h"

void hybrid_src_reset(void)
{
    HybridSrc *h = &hybrid_src;

    hybrid_push_reset();
    hybrid_devices_reset();
    QEMU_LOCK_GUARD(&h->lock);
    h->active = h->observe = h->agreed = h->peer_loaded = false;
    h->deciding = false;
    h->rp_ended = h->timed_out = h->received_known = false;
    h->decided = h->held = h->completing = h->requests_only = false;
    h->advised = h->peer_failed = h->silent = false;
    h->peer_timeout_ms = h->peer_alive_ms = 0;
    g_clear_pointer(&h->why_not, g_free);
    g_clear_pointer(&h->records, g_array_unref);
    g_clear_pointer(&h->vcpu_blocked_us, g_array_unref);
    h->state = HANDOFF_SRC_IDLE;
    h->action = HYBRID_ACTION_CONTINUE;
    h->end_reason = HYBRID_REASON_NONE;
    h->phase = MIGRATION_HYBRID_PHASE_PREPARATION;
    h->pong_seen = h->round = h->flags = 0;
    h->synced_us = h->discarded_us = h->saved_us = -1;
    h->discards_early = h->discards_stopped = 0;
    h->memory_needed = h->memory_available = 0;
    h->pages_received = 0;
    h->throttled_us = 0;
    h->throttle_mark_us = 0;
    hybrid_times_init(&h->times);
    hybrid_rtt_init(&h->rtt);
    h->peer_rtt_us = -1;
}

/* NULL: hybrid applies, else why not */
static const char *hybrid_why_not(MigrationState *s, MigrationAddress *addr)
{
    if (!migrate_postcopy_ram()) {
        return "capability postcopy-ram is off";
    }
    if (migrate_mode() != MIG_MODE_NORMAL) {
        return "migration mode is not 'normal'";
    }
    if (migrate_mapped_ram()) {
        return "capability mapped-ram is on";
    }
    if (migrate_background_snapshot()) {
        return "capability background-snapshot is on";
    }
    if (migrate_colo()) {
        return "capability x-colo is on";
    }
    if (migrate_multifd()) {
        return "capability multifd is on";
    }
    if (addr->transport != MIGRATION_ADDRESS_TYPE_SOCKET) {
        return "the URI is not a two-way stream (tcp, unix, vsock or fd)";
    }
    return NULL;
}

/*
 * The clock of the downtime starts when the last vCPU has stopped: stopping
 * the devices and flushing the disks, which follow, are part of it.  On a
 * stop, handlers of the highest priority are called first.
 */
static void hybrid_src_vm_state(void *opaque, bool running, RunState state)
{
    HybridSrc *h = &hybrid_src;

    if (h->active && h->times.package_us < 0 && h->times.done_us < 0) {
        QEMU_LOCK_GUARD(&h->lock);
        h->times.stop_us = running ? -1 : hybrid_now_us();
    }
}

void hybrid_src_decide(MigrationState *s, MigrationAddress *addr)
{
    HybridSrc *h = &hybrid_src;
    const char *why_not;

    if (!migrate_hybrid()) {
        return;
    }
    why_not = hybrid_why_not(s, addr);
    if (why_not) {
        h->why_not = g_strdup(why_not);
        warn_report("migration: hybrid does not apply: %s", why_not);
        return;
    }
    if (!h->vm_state) {
        h->vm_state =
            qemu_add_vm_change_state_handler_prio(hybrid_src_vm_state, NULL,
                                                  INT_MAX);
    }
    h->active = true;
    h->observe = migrate_hybrid_observe_only();
    h->records = g_array_new(false, true, sizeof(HybridRoundRecord));
    h->times.start_us = hybrid_now_us();
    stat64_set(&h->pages_total, 0);
    stat64_set(&h->pages_first, 0);
    stat64_set(&h->pages_on_demand, 0);
    stat64_set(&h->pages_pushed, 0);
    hybrid_pages_init();
    hybrid_flow_reset(false);
}

void hybrid_src_refused(MigrationState *s, Error **errp)
{
    HybridSrc *h = &hybrid_src;

    /* While a migration runs, or after it took the guest, that one counts */
    if (!migrate_hybrid() || migration_is_running() ||
        s->state == MIGRATION_STATUS_COMPLETED) {
        return;
    }
    QEMU_LOCK_GUARD(&h->lock);
    h->active = false;
    g_free(h->why_not);
    h->why_not = g_strdup(error_get_pretty(*errp));
}

void hybrid_src_explain(Error **err)
{
    HybridSrc *h = &hybrid_src;

    /*
     * A destination that lacks postcopy-ram breaks the stream when it sees
     * ADVISE, and tells only its own log why.
     */
    if (*err && h->active && h->state == HANDOFF_SRC_PLAIN && !h->advised) {
        error_prepend(err, "The destination broke the stream right after "
                      "post-copy was announced (probably its capability "
                      "postcopy-ram is off): ");
    }
    if (*err && hybrid_src_agreed() && !h->peer_failed) {
        QEMU_LOCK_GUARD(&h->lock);
        /* The return path notices first, and the first error is kept */
        if (h->state == HANDOFF_SRC_STOPPED ||
            h->state == HANDOFF_SRC_PACKAGED) {
            error_prepend(err, "The connection to the destination was lost "
                          "before the guest was handed off: ");
        }
    }
}
