/*
 * Hybrid live migration, destination: the migration, and what all its files
 * use.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migration/hybrid/destination/state.h"
#include "migration/migration.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/common/point.h"

/* What does not come in; nobody changes it */
static HybridDestination hybrid_nothing;

static void TSA_NO_TSA hybrid_destination_init(HybridDestination *h)
{
    qemu_mutex_init(&h->lock);
    qemu_event_init(&h->started_event, false);
    qemu_sem_init(&h->ending_done, 0);
    h->running_us = -1;
}

static void __attribute__((__constructor__)) hybrid_destination_construct(void)
{
    hybrid_destination_init(&hybrid_nothing);
}

HybridDestination *hybrid_destination(void)
{
    MigrationIncomingState *mis = migration_incoming_get_current();

    return qatomic_rcu_read(&mis->hybrid) ?: &hybrid_nothing;
}

bool hybrid_destination_is_any(void)
{
    return hybrid_destination() != &hybrid_nothing;
}

HybridDestination *hybrid_destination_new(void)
{
    HybridDestination *h = g_new0(HybridDestination, 1);

    hybrid_destination_init(h);
    return h;
}

void TSA_NO_TSA hybrid_destination_destroy(HybridDestination *h)
{
    g_clear_pointer(&h->ledger, hybrid_ledger_close);
    g_free(h->refusal);
    g_free(h->unfit);
    hybrid_misfits_free(&h->misfits);
    hybrid_misfits_free(&h->misfit_blocks);
    qemu_sem_destroy(&h->ending_done);
    qemu_event_destroy(&h->started_event);
    qemu_mutex_destroy(&h->lock);
    g_free(h);
}

void TSA_NO_TSA hybrid_dst_in_listen_thread(void)
{
    MigrationIncomingState *mis = migration_incoming_get_current();

    assert(qemu_thread_is_self(&mis->listen_thread));
}

void hybrid_destination_set(HybridDestination *h)
{
    MigrationIncomingState *mis = migration_incoming_get_current();

    qatomic_rcu_set(&mis->hybrid, h);
}

void hybrid_dst_mark(const char *step)
{
    HybridDestination *h = hybrid_destination();
    int64_t now_us = hybrid_now_us();

    HYBRID_DESTINATION_LOCK_GUARD(h);
    if (!h->package_us) {
        h->package_us = now_us;
    }
    trace_hybrid_stop("dst", step, now_us - h->package_us);
}

bool hybrid_dst_step(HybridDestination *h, HandoffEvent event)
{
    HandoffDstState from = h->state;
    bool ok = handoff_dst_step(&h->state, event);

    if (ok) {
        trace_hybrid_handoff_step("dst", handoff_dst_state_str(from),
                                  handoff_event_str(event),
                                  handoff_dst_state_str(h->state));
    } else {
        trace_hybrid_handoff_refused("dst", handoff_dst_state_str(from),
                                     handoff_event_str(event));
    }
    return ok;
}

bool hybrid_dst_agreed(void)
{
    return hybrid_shared_get(&hybrid_destination()->agreed);
}

bool hybrid_dst_took(uint32_t flag)
{
    HybridDestination *h = hybrid_destination();

    return hybrid_shared_get(&h->agreed) && hybrid_shared_get(&h->flags) & flag;
}

void hybrid_dst_send(MigrationIncomingState *mis, HybridMessageKind kind,
                     HybridMessage *m)
{
    trace_hybrid_message("dst", hybrid_msg_str(kind));
    hybrid_point_message("dst-sends", hybrid_msg_str(kind));
    migrate_send_rp_hybrid(mis, m->bytes->data, m->bytes->len);
    hybrid_point_message("dst-sent", hybrid_msg_str(kind));
    hybrid_msg_free(m);
}
