/*
 * Hybrid live migration, destination: a migration begins, and is forgotten.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migration/hybrid/destination/state.h"
#include "qemu/lockable.h"
#include "migration/hybrid/destination/alive.h"
#include "migration/hybrid/destination/faults.h"
#include "migration/hybrid/destination/load.h"
#include "migration/hybrid/destination/start.h"
#include "migration/hybrid/destination/window.h"

void hybrid_dst_connected(void)
{
    HybridDestination *h;

    if (!hybrid_destination_is_any()) {
        h = hybrid_destination_new();
        h->load = hybrid_load_new();
        h->reading = hybrid_reading_new();
        h->watch = hybrid_watcher_new();
        hybrid_destination_set(h);
    }
    hybrid_alive_dst_connected();
}

/* As all RCU callbacks: BQL held */
static void hybrid_destination_free(HybridDestination *h)
{
    if (h->vm_state) {
        qemu_del_vm_change_state_handler(h->vm_state);
    }
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
    bool over;

    WITH_HYBRID_DESTINATION_LOCK(h) {
        /* Not while it goes on, or is paused: the command will be refused */
        over = h->state == HANDOFF_DST_DONE || h->state == HANDOFF_DST_GONE;
    }
    if (over) {
        call_rcu(hybrid_destination_set(NULL), hybrid_destination_free, rcu);
    }
}
