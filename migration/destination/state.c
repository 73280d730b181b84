/*
 * Hybrid live migration, destination: the migration, and what all its files
 * use.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migration/hybrid/destination/state.h"
#include "migration/migration.h"
#include "migration/hybrid/trace.h"

HybridDst hybrid_dst;

static void __attribute__((__constructor__)) hybrid_dst_construct(void)
{
    qemu_mutex_init(&hybrid_dst.lock);
    qemu_event_init(&hybrid_dst.started_event, false);
    qemu_sem_init(&hybrid_dst.ending_done, 0);
    hybrid_dst.running_us = -1;
}

/* Where the time of the stop goes: since the package has come */
void hybrid_dst_mark(const char *step)
{
    HybridDst *h = &hybrid_dst;
    int64_t now_us = hybrid_now_us();

    if (!h->package_us) {
        h->package_us = now_us;
    }
    trace_hybrid_stop("dst", step, now_us - h->package_us);
}

bool hybrid_dst_step(HandoffEvent event)
{
    HandoffDstState from = hybrid_dst.state;
    bool ok = handoff_dst_step(&hybrid_dst.state, event);

    if (ok) {
        trace_hybrid_handoff_step("dst", handoff_dst_state_str(from),
                                  handoff_event_str(event),
                                  handoff_dst_state_str(hybrid_dst.state));
    } else {
        trace_hybrid_handoff_refused("dst", handoff_dst_state_str(from),
                                     handoff_event_str(event));
    }
    return ok;
}

bool hybrid_dst_agreed(void)
{
    return hybrid_dst.agreed;
}

bool hybrid_dst_took(uint32_t flag)
{
    return hybrid_dst.agreed && hybrid_dst.flags & flag;
}
