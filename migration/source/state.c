/*
 * Hybrid live migration, source: the migration, and what all its files use.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migration/hybrid/source/state.h"
#include "qapi/qapi-events-migration.h"
#include "migration/migration.h"
#include "migration/hybrid/trace.h"

HybridSrc hybrid_src;

static void __attribute__((__constructor__)) hybrid_src_construct(void)
{
    qemu_mutex_init(&hybrid_src.lock);
    qemu_cond_init(&hybrid_src.cond);
}

bool hybrid_src_step(HandoffEvent event)
{
    HandoffSrcState from = hybrid_src.state;
    bool ok = handoff_src_step(&hybrid_src.state, event);

    if (ok) {
        trace_hybrid_handoff_step("src", handoff_src_state_str(from),
                                  handoff_event_str(event),
                                  handoff_src_state_str(hybrid_src.state));
    } else {
        trace_hybrid_handoff_refused("src", handoff_src_state_str(from),
                                     handoff_event_str(event));
    }
    return ok;
}

void hybrid_src_wait(int timeout_ms)
{
    qemu_cond_timedwait(&hybrid_src.cond, &hybrid_src.lock, timeout_ms);
}

void hybrid_set_phase(MigrationHybridPhase phase, const char *reason)
{
    hybrid_src.phase = phase;
    trace_hybrid_phase(MigrationHybridPhase_str(phase), hybrid_src.round,
                       reason ?: "");
    qapi_event_send_migration_hybrid_phase(phase, hybrid_src.round, reason);
}

bool hybrid_src_completing(void)
{
    return hybrid_src.active && hybrid_src.agreed && hybrid_src.completing;
}

bool hybrid_src_agreed(void)
{
    return hybrid_src.active && hybrid_src.agreed;
}

bool hybrid_src_still_stopped(void)
{
    QEMU_LOCK_GUARD(&hybrid_src.lock);
    return hybrid_src.state == HANDOFF_SRC_STOPPED;
}

bool hybrid_src_requests_only(void)
{
    return hybrid_src.requests_only;
}
