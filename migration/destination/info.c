/*
 * Hybrid live migration, destination: what has come, and what is told of it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migration/hybrid/destination/state.h"
#include "migration/migration.h"
#include "migration/hybrid/common/point.h"
#include "migration/hybrid/destination/alive.h"
#include "migration/hybrid/destination/delta.h"
#include "migration/hybrid/destination/faults.h"
#include "migration/hybrid/destination/info.h"
#include "migration/hybrid/destination/window.h"

/* The ledger learns of pages that have come in steps of 64 MiB; chosen */
#define HYBRID_LEDGER_STEP 16384

/*
 * What the guest has not touched yet is still in the ledger; what it has, the
 * host no longer shows as available.  @pages come in one at a time, or a huge
 * page or a run at a time, from one or two threads.
 */
static void hybrid_dst_count(uint64_t pages)
{
    HybridDestination *h = hybrid_destination();
    uint64_t before = stat64_get(&h->received);

    stat64_add(&h->received, pages);
    /* With the first page, too: ADVISE has given back what there was */
    if (before && before / HYBRID_LEDGER_STEP ==
        (before + pages) / HYBRID_LEDGER_STEP) {
        return;
    }
    WITH_HYBRID_DESTINATION_LOCK(h) {
        uint64_t rss = hybrid_host_rss();

        if (h->ledger) {
            hybrid_host_update(&h->memory, h->ledger,
                               h->ledger_base - MIN(h->ledger_base, rss));
        }
    }
}

void hybrid_dst_received(uint64_t pages)
{
    if (hybrid_dst_agreed()) {
        hybrid_point("dst-in-rounds");
        hybrid_dst_count(pages);
    }
}

void hybrid_dst_placed(void *host, uint64_t pages)
{
    if (!hybrid_dst_agreed()) {
        return;
    }
    hybrid_dst_count(pages);
    hybrid_point("dst-placed");
    hybrid_window_placed(pages);
    hybrid_faults_placed(host, pages);
}

static MigrationHybridPhase HYBRID_DESTINATION_LOCKED
hybrid_dst_phase(HybridDestination *h)
{
    switch (h->state) {
    case HANDOFF_DST_WAIT:
    case HANDOFF_DST_AGREED:
        return MIGRATION_HYBRID_PHASE_PREPARATION;
    case HANDOFF_DST_READY:
        return MIGRATION_HYBRID_PHASE_ROUNDS;
    case HANDOFF_DST_LOADING:
    case HANDOFF_DST_LOADED:
    case HANDOFF_DST_LOADED_PAUSED:
        return MIGRATION_HYBRID_PHASE_STATE_TRANSFER;
    case HANDOFF_DST_RUNNING:
    case HANDOFF_DST_RUNNING_PAUSED:
        return h->started ? MIGRATION_HYBRID_PHASE_PAGING
                                  : MIGRATION_HYBRID_PHASE_RESUME;
    case HANDOFF_DST_DONE:
        return MIGRATION_HYBRID_PHASE_COMPLETED;
    default:
        return MIGRATION_HYBRID_PHASE_FAILED;
    }
}

bool hybrid_dst_fill_info(MigrationInfo *info)
{
    HybridDestination *h = hybrid_destination();
    MigrationHybridInfo *i;

    HYBRID_DESTINATION_LOCK_GUARD(h);
    if (!hybrid_dst_agreed()) {
        return false;
    }
    i = info->hybrid = g_new0(MigrationHybridInfo, 1);
    i->active = h->state != HANDOFF_DST_GONE;
    i->agreed = true;
    i->reason = g_strdup(h->refusal);
    i->has_phase = true;
    i->phase = hybrid_dst_phase(h);
    i->has_peer_timeout = true;
    i->peer_timeout = hybrid_alive_dst_ms();
    i->has_memory_needed = i->has_memory_available = true;
    i->memory_needed = h->memory.needed;
    i->memory_available = h->memory.available;
    i->has_memory_limit_known = h->memory.checked;
    i->memory_limit_known = h->memory.limits_known;
    i->memory_warning = g_strdup(h->memory.warning);
    i->pages = g_new0(MigrationHybridPages, 1);
    i->pages->has_received = true;
    i->pages->received = stat64_get(&h->received);
    i->deltas = hybrid_bases_info(h->bases);
    return true;
}
