/*
 * Hybrid live migration, destination: this QEMU ends in order, and why.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A guest that runs here, with pages that are still at the source, may shut
 * itself down, and an operator may end QEMU at any time.  All that the source
 * saw of it is the end of the connection, as if the link or this host had
 * failed.
 */

#include "migration/hybrid/destination/state.h"
#include "migration/hybrid/destination/quit.h"
#include "qapi/qapi-types-run-state.h"
#include "system/runstate.h"
#include "system/system.h"

static ShutdownCause hybrid_quit_cause = SHUTDOWN_CAUSE_NONE;

static void hybrid_quit_noted(Notifier *notifier, void *data)
{
    hybrid_quit_cause = *(ShutdownCause *)data;
}

static Notifier hybrid_quit_notifier = { .notify = hybrid_quit_noted };

void hybrid_dst_watch_quit(void)
{
    if (!hybrid_quit_notifier.node.le_prev) {
        qemu_register_shutdown_notifier(&hybrid_quit_notifier);
    }
}

void hybrid_dst_quit(MigrationIncomingState *mis)
{
    g_autofree char *text = NULL;

    if (!hybrid_destination_is_any() ||
        qatomic_load_acquire(&hybrid_destination()->finished)) {
        return;
    }
    text = g_strdup_printf("%s (%s)", shutdown_caused_by_guest(
                               hybrid_quit_cause) ?
                           "the guest has ended there, and its QEMU with it" :
                           "its QEMU was ended there",
                           ShutdownCause_str(hybrid_quit_cause));
    hybrid_dst_failed(mis, text);
}
