/*
 * Hybrid live migration, source: the stop, and what of RAM is sent in it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migration/hybrid/source/state.h"
#include "qemu/main-loop.h"
#include "migration/migration.h"
#include "migration/migration-stats.h"
#include "migration/options.h"
#include "migration/qemu-file.h"
#include "migration/ram.h"
#include "migration/savevm.h"
#include "migration/hybrid/common/point.h"
#include "migration/hybrid/source/alive.h"
#include "migration/hybrid/source/in-stop.h"
#include "migration/hybrid/source/timeout.h"

void hybrid_src_stopped(MigrationState *s)
{
    HybridSource *h = hybrid_source();
    HybridReason reason;

    if (!h->active) {
        return;
    }
    WITH_HYBRID_SOURCE_LOCK(h) {
        h->timed_out = false;
        reason = h->end_reason;
        if (h->times.stop_us < 0) {
            h->times.stop_us = hybrid_now_us();
        }
        if (hybrid_shared_get(&h->agreed)) {
            hybrid_src_step(h, HANDOFF_EV_VM_STOPPED);
            h->deciding = true;
            /* The client's own pause (pre-switchover) comes on top */
            if (!migrate_pause_before_switchover()) {
                hybrid_src_arm(s, h, hybrid_src_patience_ms(h) * 1000);
            }
        }
    }
    hybrid_set_phase(h, MIGRATION_HYBRID_PHASE_STATE_TRANSFER,
                     reason == HYBRID_REASON_NONE ? NULL :
                     hybrid_reason_str(reason));
    hybrid_point("src-stopped");
}

/* Neither broken, cancelled nor timed out: RAM may go on */
static bool hybrid_src_may_send(MigrationState *s, HybridSource *h)
{
    HYBRID_SOURCE_LOCK_GUARD(h);
    return h->state == HANDOFF_SRC_STOPPED && hybrid_src_stream_ok(s, h);
}

int hybrid_src_complete_iterable(MigrationState *s)
{
    HybridSource *h = hybrid_source();
    bool completing = hybrid_src_completing();
    uint64_t must_precopy, can_postcopy;
    int64_t begin_us = hybrid_now_us();
    int ret;

    hybrid_source_in_thread();
    if (!hybrid_src_agreed()) {
        return qemu_savevm_state_complete_precopy_iterable(s->to_dst_file,
                                                           true);
    }
    WITH_HYBRID_SOURCE_LOCK(h) {
        hybrid_src_arm(s, h, hybrid_src_patience_ms(h) * 1000);
    }
    if (completing) {
        /*
         * The guest and its devices stand still, so this is the last sync
         * that finds much, and nothing needs the BQL while RAM is sent: the
         * monitor stays usable, also for migrate_cancel.
         */
        bql_unlock();
        migration_rate_set(RATE_LIMIT_DISABLED);
        hybrid_src_idle_begin(s);
        qemu_savevm_state_pending_exact(&must_precopy, &can_postcopy);
        completing = hybrid_in_stop_begin(h, begin_us);
        hybrid_src_idle_end(s);
        while (completing && ram_bytes_remaining() &&
               hybrid_src_may_send(s, h)) {
            qemu_savevm_state_iterate(s->to_dst_file, false);
            hybrid_point("src-in-completion");
        }
        hybrid_src_idle_bql_lock(s);
        if (!hybrid_src_may_send(s, h)) {
            return -ECANCELED;
        }
    }
    ret = qemu_savevm_state_complete_precopy_iterable(s->to_dst_file,
                                                      !completing);
    if (completing) {
        hybrid_in_stop_end(h);
    }
    return ret;
}
