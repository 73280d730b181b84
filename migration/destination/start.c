/*
 * Hybrid live migration, destination: a migration begins, and is forgotten.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migration/hybrid/destination/state.h"
#include "migration/hybrid/destination/alive.h"
#include "migration/hybrid/destination/delta.h"
#include "migration/hybrid/destination/faults.h"
#include "migration/hybrid/destination/load.h"
#include "migration/hybrid/destination/quit.h"
#include "migration/hybrid/destination/start.h"
#include "migration/hybrid/destination/window.h"

void hybrid_dst_connected(void)
{
    HybridDestination *h;

    if (!hybrid_destination_is_any()) {
        h = hybrid_destination_new();
        h->bases = hybrid_bases_new();
        h->load = hybrid_load_new();
        h->reading = hybrid_reading_new();
        h->watch = hybrid_watcher_new();
        hybrid_destination_set(h);
        hybrid_dst_watch_quit(h);
    }
    hybrid_alive_dst_connected();
}

static void TSA_NO_TSA hybrid_destination_free(HybridDestination *h)
{
    hybrid_bases_free(h->bases);
    hybrid_faults_free(h->faults);
    hybrid_load_free(h->load);
    hybrid_reading_free(h->reading);
    hybrid_watcher_free(h->watch);
    hybrid_host_answer_clear(&h->memory);
    hybrid_destination_destroy(h);
}

void hybrid_dst_forget(void)
{
    HybridDestination *h = hybrid_destination();

    /*
     * Not while it goes on, or is paused: the command will be refused.  Nor
     * while it ends, which the listen thread may still be at.
     */
    if (!hybrid_shared_get(&h->finished)) {
        return;
    }
    hybrid_bql_held();
    hybrid_destination_set(NULL);
    hybrid_dst_unwatch_quit(h);
    /* At once: it would be called when the guest is next started or stopped */
    if (h->vm_state) {
        qemu_del_vm_change_state_handler(h->vm_state);
    }
    call_rcu(h, hybrid_destination_free, rcu);
}
