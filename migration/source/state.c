/*
 * Hybrid live migration, source: the migration, and what all its files use.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migration/hybrid/source/state.h"
#include "qapi/qapi-events-migration.h"
#include "qapi/qapi-types-migration.h"
#include "qemu/lockable.h"
#include "migration/migration.h"
#include "migration/qemu-file.h"
#include "migration/hybrid/trace.h"

/* What does not go out; nobody changes it */
static HybridSource hybrid_nothing;

static void TSA_NO_TSA hybrid_source_init(HybridSource *h)
{
    qemu_mutex_init(&h->lock);
    qemu_cond_init(&h->cond);
    h->state = HANDOFF_SRC_IDLE;
    h->action = HYBRID_ACTION_CONTINUE;
    h->end_reason = HYBRID_REASON_NONE;
    h->end_fd = -1;
    hybrid_shared_set(&h->phase, MIGRATION_HYBRID_PHASE_PREPARATION);
    hybrid_times_init(&h->times);
    hybrid_rtt_init(&h->rtt);
    h->peer_rtt_us = -1;
}

static void __attribute__((__constructor__)) hybrid_source_construct(void)
{
    hybrid_source_init(&hybrid_nothing);
}

HybridSource *hybrid_source(void)
{
    MigrationState *s = migrate_get_current();

    return qatomic_rcu_read(&s->hybrid) ?: &hybrid_nothing;
}

HybridSource *hybrid_source_new(HybridSourceKind kind, const char *why_not)
{
    HybridSource decided = {
        .active = kind == HYBRID_SOURCE_HYBRID || kind == HYBRID_SOURCE_OBSERVE,
        .observe = kind == HYBRID_SOURCE_OBSERVE,
        .refused = kind == HYBRID_SOURCE_REFUSED,
        .why_not = g_strdup(why_not),
        .rounds = g_new0(HybridRounds, 1),
    };
    HybridSource *h = g_memdup2(&decided, sizeof(decided));

    hybrid_source_init(h);
    return h;
}

void TSA_NO_TSA hybrid_source_destroy(HybridSource *h)
{
    g_clear_pointer(&h->records, g_array_unref);
    g_clear_pointer(&h->vcpu_blocked_us, g_array_unref);
    qapi_free_MigrationHybridInfo(h->record);
    g_free(h->why_not);
    g_free(h->rounds);
    qemu_cond_destroy(&h->cond);
    qemu_mutex_destroy(&h->lock);
    g_free(h);
}

bool hybrid_src_step(HybridSource *h, HandoffEvent event)
{
    HandoffSrcState from = h->state;
    bool ok = handoff_src_step(&h->state, event);

    if (ok) {
        trace_hybrid_handoff_step("src", handoff_src_state_str(from),
                                  handoff_event_str(event),
                                  handoff_src_state_str(h->state));
    } else {
        trace_hybrid_handoff_refused("src", handoff_src_state_str(from),
                                     handoff_event_str(event));
    }
    return ok;
}

void hybrid_src_wait(HybridSource *h, int timeout_ms)
{
    qemu_cond_timedwait(&h->cond, &h->lock, timeout_ms);
}

void hybrid_set_phase(HybridSource *h, MigrationHybridPhase phase,
                      const char *reason)
{
    uint32_t round = hybrid_shared_get(&h->round);

    hybrid_shared_set(&h->phase, phase);
    trace_hybrid_phase(MigrationHybridPhase_str(phase), round, reason ?: "");
    qapi_event_send_migration_hybrid_phase(phase, round, reason);
}

bool hybrid_src_stream_ok(MigrationState *s, HybridSource *h)
{
    return !h->rp_ended && !qemu_file_get_error(s->to_dst_file);
}

bool hybrid_src_completing(void)
{
    HybridSource *h = hybrid_source();

    return hybrid_src_agreed() && hybrid_shared_get(&h->completing);
}

bool hybrid_src_agreed(void)
{
    HybridSource *h = hybrid_source();

    return h->active && hybrid_shared_get(&h->agreed);
}

bool hybrid_src_still_stopped(void)
{
    HybridSource *h = hybrid_source();

    HYBRID_SOURCE_LOCK_GUARD(h);
    return h->state == HANDOFF_SRC_STOPPED;
}

bool hybrid_src_requests_only(void)
{
    return hybrid_shared_get(&hybrid_source()->requests_only);
}
