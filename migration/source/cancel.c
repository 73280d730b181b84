/*
 * Hybrid live migration, source: cancel, pause, and the end of QEMU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migration/hybrid/source/state.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-migration.h"
#include "qemu/lockable.h"
#include "qemu/main-loop.h"
#include "migration/migration.h"
#include "migration/options.h"
#include "migration/hybrid/source/timeout.h"

/*
 * Cancel as far as the handoff is concerned; false: it is too late.
 * *@waits: the migration thread is in the handoff and will do the rest.
 */
static bool hybrid_src_cancel_handoff(MigrationState *s, bool *waits)
{
    HybridSource *h = hybrid_source();

    *waits = false;
    if (!hybrid_src_agreed()) {
        return !hybrid_src_gave_guest();
    }
    HYBRID_SOURCE_LOCK_GUARD(h);
    if (h->state == HANDOFF_SRC_BACK) {
        return true;
    }
    /* In pre-switchover it is the monitor that the thread waits for */
    *waits = s->state == MIGRATION_STATUS_DEVICE &&
             (h->state == HANDOFF_SRC_STOPPED ||
              h->state == HANDOFF_SRC_PACKAGED);
    if (!hybrid_src_step(h, HANDOFF_EV_CANCEL)) {
        return false;
    }
    if (*waits) {
        /*
         * The stream stays open, so that ABORT can tell the destination to
         * go away; the watchdog sees to it that this does not take long.
         */
        migrate_set_state(&s->state, MIGRATION_STATUS_DEVICE,
                          MIGRATION_STATUS_CANCELLING);
        hybrid_src_arm(s, h, HYBRID_ABORT_PATIENCE_US);
    }
    qemu_cond_broadcast(&h->cond);
    return true;
}

bool hybrid_src_cancel(MigrationState *s)
{
    return hybrid_src_cancel_because(s, NULL);
}

bool hybrid_src_cancel_because(MigrationState *s, const Error *why)
{
    bool waits = false;

    /* If it is over, upstream's answer is success */
    if (migration_is_running() && !hybrid_src_cancel_handoff(s, &waits)) {
        return false;
    }
    if (why) {
        /* Before the errors that the cancel itself will bring */
        migrate_set_error(s, why);
    }
    if (!waits) {
        migration_cancel();
    } else if (migrate_dirty_limit()) {
        qmp_cancel_vcpu_dirty_limit(false, -1, NULL);
    }
    return true;
}

void hybrid_src_quit(MigrationState *s)
{
    HybridSource *h = hybrid_source();
    int64_t deadline_us = hybrid_now_us() + HYBRID_ABORT_PATIENCE_US;

    if (!h->active || !migration_is_running()) {
        return;
    }
    hybrid_src_cancel(s);
    bql_unlock();               /* the migration thread may need it */
    WITH_HYBRID_SOURCE_LOCK(h) {
        while (h->deciding && hybrid_now_us() < deadline_us) {
            hybrid_src_wait(h, 100);
        }
    }
    bql_lock();
}

/* ---- migrate-pause ---- */

/* The only hook that the monitor calls without the BQL */
bool hybrid_src_may_pause(MigrationState *s)
{
    HybridSource *h;
    bool active;

    WITH_RCU_READ_LOCK_GUARD() {
        h = hybrid_source();
        active = h->active && !h->observe;
    }
    if (!active) {
        return false;
    }
    switch (s->state) {
    case MIGRATION_STATUS_SETUP:
    case MIGRATION_STATUS_WAIT_UNPLUG:
    case MIGRATION_STATUS_ACTIVE:
    case MIGRATION_STATUS_PRE_SWITCHOVER:
    case MIGRATION_STATUS_DEVICE:
        break;
    default:
        return false;
    }
    /* Without a connection there is migrate_cancel only */
    QEMU_LOCK_GUARD(&s->qemu_file_lock);
    return s->to_dst_file;
}
