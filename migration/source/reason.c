/*
 * Hybrid live migration, source: why the destination failed, as it says.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migration/hybrid/source/state.h"
#include "qapi/error.h"
#include "migration/migration.h"
#include "migration/hybrid/source/reason.h"

/*
 * How long a broken stream is listened to: what was sent is there already.
 * Chosen: the guest may stand still meanwhile.
 */
#define HYBRID_REASON_PATIENCE_US 500000

void hybrid_src_peer_failed(MigrationState *s, HybridSource *h,
                            const char *text, Error **errp)
{
    Error *err = NULL;

    /* The source's own reason was first, and caused it */
    if (h->timed_out || s->state == MIGRATION_STATUS_CANCELLING ||
        s->state == MIGRATION_STATUS_CANCELLED) {
        return;
    }
    error_setg(&err, handoff_src_may_run(h->state) ?
               "The destination failed, the guest stays at the source: %s" :
               "The destination failed while it paged: %s", text);
    /* It may come behind an error of the stream, which only follows from it */
    WITH_QEMU_LOCK_GUARD(&s->error_mutex) {
        error_free(s->error);
        s->error = error_copy(err);
    }
    h->peer_failed = true;
    error_propagate(errp, err);
}

bool hybrid_src_hear_out(MigrationState *s)
{
    HybridSource *h = hybrid_source();
    int64_t end_us = hybrid_now_us() + HYBRID_REASON_PATIENCE_US;

    if (!hybrid_src_agreed() ||
        !(hybrid_shared_get(&h->flags) & HYBRID_FLAG_FAILED)) {
        return false;
    }
    HYBRID_SOURCE_LOCK_GUARD(h);
    while (!h->rp_ended && !h->peer_failed && hybrid_now_us() < end_us) {
        hybrid_src_wait(h, 50);
    }
    return h->peer_failed;
}
