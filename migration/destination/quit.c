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
#include "system/runstate.h"
#include "system/system.h"

static void hybrid_quit_noted(Notifier *notifier, void *data)
{
    HybridDestination *h = container_of(notifier, HybridDestination, quit);

    hybrid_bql_held();
    h->quit_cause = *(ShutdownCause *)data;
}

void hybrid_dst_watch_quit(HybridDestination *h)
{
    h->quit.notify = hybrid_quit_noted;
    qemu_register_shutdown_notifier(&h->quit);
}

void hybrid_dst_unwatch_quit(HybridDestination *h)
{
    notifier_remove(&h->quit);
}

void hybrid_dst_quit(MigrationIncomingState *mis)
{
    HybridDestination *h = hybrid_destination();
    g_autofree char *text = NULL;

    if (!hybrid_destination_is_any() || hybrid_shared_get(&h->finished)) {
        return;
    }
    hybrid_bql_held();
    text = g_strdup_printf("%s (%s)", shutdown_caused_by_guest(h->quit_cause) ?
                           "the guest has ended there, and its QEMU with it" :
                           "its QEMU was ended there",
                           ShutdownCause_str(h->quit_cause));
    hybrid_dst_failed(mis, text);
}
