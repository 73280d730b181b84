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
#include "migration/hybrid/source/alive.h"
#include "migration/hybrid/source/block.h"
#include "migration/hybrid/source/delta.h"
#include "migration/hybrid/source/devices.h"
#include "migration/hybrid/source/flow.h"
#include "migration/hybrid/source/kick.h"
#include "migration/hybrid/source/page-bitmap.h"
#include "migration/hybrid/source/push.h"
#include "migration/hybrid/source/scan.h"
#include "migration/hybrid/source/start.h"

/* These would be called in the next migration, and act on it; main loop */
static void HYBRID_BQL_LOCKED hybrid_source_unhook(HybridSource *h)
{
    g_clear_pointer(&h->vm_state, qemu_del_vm_change_state_handler);
    g_clear_pointer(&h->connect_timer, timer_free);
}

static void hybrid_source_free_parts(HybridSource *h)
{
    g_clear_pointer(&h->page_bitmap, hybrid_src_page_bitmap_free);
    g_clear_pointer(&h->deltas, hybrid_deltas_free);
    g_clear_pointer(&h->devices, hybrid_devices_free);
    g_clear_pointer(&h->flow, hybrid_flow_free);
    g_clear_pointer(&h->push, hybrid_pusher_free);
    g_clear_pointer(&h->scan, hybrid_src_scan_free);
    g_clear_pointer(&h->watch, hybrid_watch_free);
    g_clear_pointer(&h->kick, hybrid_kick_free);
}

void hybrid_source_release(HybridSource *h)
{
    hybrid_source_unhook(h);
    hybrid_source_free_parts(h);
}

static void hybrid_source_free(HybridSource *h)
{
    hybrid_source_free_parts(h);
    hybrid_source_destroy(h);
}

/* @h, or NULL, is the one that counts from now on; BQL held */
static void HYBRID_BQL_LOCKED
hybrid_source_set(MigrationState *s, HybridSource *h)
{
    HybridSource *before = s->hybrid;

    qatomic_rcu_set(&s->hybrid, h);
    if (before) {
        hybrid_source_unhook(before);
        call_rcu(before, hybrid_source_free, rcu);
    }
}

void hybrid_src_reset(void)
{
    hybrid_bql_held();
    hybrid_source_set(migrate_get_current(), NULL);
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
    HybridSource *h = opaque;

    HYBRID_SOURCE_LOCK_GUARD(h);
    if (h->times.package_us < 0 && h->times.done_us < 0) {
        h->times.stop_us = running ? -1 : hybrid_now_us();
    }
}

/* All that a migration has which hybrid applies to; nobody sees it yet */
static void TSA_NO_TSA hybrid_source_activate(HybridSource *h)
{
    h->records = g_array_new(false, true, sizeof(HybridRoundRecord));
    h->times.start_us = hybrid_now_us();
    h->vm_state = qemu_add_vm_change_state_handler_prio(hybrid_src_vm_state, h,
                                                        INT_MAX);
    h->page_bitmap = hybrid_src_page_bitmap_new();
    h->deltas = hybrid_deltas_new();
    h->devices = hybrid_devices_new();
    h->flow = hybrid_flow_new();
    h->push = hybrid_pusher_new();
    h->scan = hybrid_src_scan_new();
    h->watch = hybrid_watch_new();
    h->kick = hybrid_kick_new();
}

void hybrid_src_decide(MigrationState *s, MigrationAddress *addr)
{
    HybridSource *h;
    const char *why_not;

    if (!migrate_hybrid()) {
        return;
    }
    hybrid_bql_held();
    why_not = hybrid_why_not(s, addr);
    if (why_not) {
        h = hybrid_source_new(HYBRID_SOURCE_PLAIN, why_not);
        warn_report("migration: hybrid does not apply: %s", why_not);
    } else {
        h = hybrid_source_new(migrate_hybrid_observe_only() ?
                              HYBRID_SOURCE_OBSERVE : HYBRID_SOURCE_HYBRID,
                              NULL);
        hybrid_source_activate(h);
        hybrid_blocks_init();
    }
    hybrid_source_set(s, h);
}

void hybrid_src_refused(MigrationState *s, Error **errp)
{
    /*
     * While a migration runs, or after it took the guest, that one counts; and
     * what one reports that has ended belongs to the state that is shown with
     * it, until the next one begins.
     */
    if (!migrate_hybrid() || migration_is_running() ||
        s->state == MIGRATION_STATUS_COMPLETED ||
        (s->hybrid && !s->hybrid->refused)) {
        return;
    }
    hybrid_bql_held();
    hybrid_source_set(s, hybrid_source_new(HYBRID_SOURCE_REFUSED,
                                           error_get_pretty(*errp)));
}

void hybrid_src_explain(Error **err)
{
    HybridSource *h = hybrid_source();

    if (!*err || !h->active) {
        return;
    }
    HYBRID_SOURCE_LOCK_GUARD(h);
    if (h->state == HANDOFF_SRC_PLAIN && !h->advised) {
        /*
         * A destination that lacks postcopy-ram breaks the stream when it
         * sees ADVISE, and tells only its own log why.
         */
        error_prepend(err, "The destination broke the stream right after "
                      "postcopy was announced (probably its capability "
                      "postcopy-ram is off): ");
    } else if (hybrid_src_agreed() && !h->peer_failed &&
               (h->state == HANDOFF_SRC_STOPPED ||
                h->state == HANDOFF_SRC_PACKAGED)) {
        /* The return path notices first, and the first error is kept */
        error_prepend(err, "The connection to the destination was lost "
                      "before the guest was handed off: ");
    }
}
