/*
 * Hybrid live migration, source: how the migration ended.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migration/hybrid/source/state.h"
#include "migration/migration.h"
#include "migration/hybrid/source/alive.h"
#include "migration/hybrid/source/delta.h"
#include "migration/hybrid/source/info.h"
#include "migration/hybrid/source/start.h"
#include "migration/hybrid/source/timeout.h"

/* False: it had ended before */
static bool hybrid_src_end(MigrationState *s, HybridSource *h)
{
    bool agreed = hybrid_src_agreed();

    WITH_HYBRID_SOURCE_LOCK(h) {
        if (h->times.done_us >= 0) {
            return false;
        }
        h->deciding = false;
    }
    hybrid_src_disarm();
    hybrid_alive_src_end();
    hybrid_deltas_end(h->deltas);
    WITH_HYBRID_SOURCE_LOCK(h) {
        h->times.done_us = hybrid_now_us();
        if (s->state == MIGRATION_STATUS_DEVICE && !agreed &&
            h->times.running_us < 0) {
            /* A plain peer says SHUT when it has started the guest */
            h->times.running_us = h->times.done_us;
        }
    }
    if (s->state == MIGRATION_STATUS_CANCELLING ||
        s->state == MIGRATION_STATUS_CANCELLED) {
        hybrid_set_phase(h, MIGRATION_HYBRID_PHASE_CANCELLED, NULL);
    } else if (s->state == MIGRATION_STATUS_FAILED) {
        WITH_HYBRID_SOURCE_LOCK(h) {
            if (agreed && handoff_src_may_run(h->state) &&
                h->state != HANDOFF_SRC_BACK) {
                hybrid_src_step(h, HANDOFF_EV_LINK_LOST);
            }
        }
        hybrid_set_phase(h, MIGRATION_HYBRID_PHASE_FAILED, NULL);
    } else {
        if (agreed) {
            HYBRID_SOURCE_LOCK_GUARD(h);
            hybrid_src_step(h, HANDOFF_EV_PEER_DONE);
        }
        hybrid_set_phase(h, MIGRATION_HYBRID_PHASE_COMPLETED, NULL);
    }
    return true;
}

void hybrid_src_done(MigrationState *s)
{
    HybridSource *h = hybrid_source();

    if (!h->active) {
        return;
    }
    if (hybrid_src_end(s, h)) {
        hybrid_src_make_record(h);
    }
    /*
     * A migration that has completed says so from its own thread, which still
     * has some steps to go; the clean-up, which comes at last in any case, has
     * joined that and the return path's.  The others have ended above.
     */
    hybrid_bql_held();
    if (!s->migration_thread_running) {
        hybrid_source_release(h);
    }
}
