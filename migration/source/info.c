/*
 * Hybrid live migration, source: query-migrate's "hybrid" object.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migration/hybrid/source/state.h"
#include "qapi/clone-visitor.h"
#include "qapi/qapi-visit-migration.h"
#include "exec/cpu-common.h"
#include "hw/boards.h"
#include "migration/migration.h"
#include "migration/migration-stats.h"
#include "migration/options.h"
#include "migration/hybrid/source/alive.h"
#include "migration/hybrid/source/delta.h"
#include "migration/hybrid/source/info.h"
#include "migration/hybrid/source/push.h"

static MigrationHybridAction hybrid_qapi_action(HybridAction action)
{
    static const MigrationHybridAction map[] = {
        [HYBRID_ACTION_CONTINUE] = MIGRATION_HYBRID_ACTION_CONTINUE,
        [HYBRID_ACTION_HANDOFF] = MIGRATION_HYBRID_ACTION_HANDOFF,
        [HYBRID_ACTION_COMPLETE] = MIGRATION_HYBRID_ACTION_COMPLETE,
    };

    return map[action];
}

/* Not for HYBRID_REASON_NONE, which QAPI expresses by absence */
static MigrationHybridReason hybrid_qapi_reason(HybridReason reason)
{
    static const MigrationHybridReason map[] = {
        [HYBRID_REASON_FITS] = MIGRATION_HYBRID_REASON_FITS,
        [HYBRID_REASON_NO_GAIN] = MIGRATION_HYBRID_REASON_NO_GAIN,
        [HYBRID_REASON_ROUND_LIMIT] = MIGRATION_HYBRID_REASON_ROUND_LIMIT,
        [HYBRID_REASON_TIME_LIMIT] = MIGRATION_HYBRID_REASON_TIME_LIMIT,
        [HYBRID_REASON_BYTE_LIMIT] = MIGRATION_HYBRID_REASON_BYTE_LIMIT,
        [HYBRID_REASON_REQUESTED] = MIGRATION_HYBRID_REASON_REQUESTED,
        [HYBRID_REASON_CLEAN] = MIGRATION_HYBRID_REASON_CLEAN,
    };

    assert(reason != HYBRID_REASON_NONE);
    return map[reason];
}

static MigrationHybridRound *hybrid_fill_round(const HybridRoundRecord *r)
{
    MigrationHybridRound *q = g_new0(MigrationHybridRound, 1);

    q->round = r->round;
    q->pages = r->pages;
    q->zero_pages = r->zero_pages;
    q->bytes = r->bytes;
    q->remaining_pages = r->remaining_pages;
    q->dirtied_pages = r->dirtied_pages;
    q->deferred_pages = r->deferred_pages;
    q->hot_pages = r->hot_pages;
    q->time_us = r->time_us;
    q->has_bandwidth = r->bandwidth;
    q->bandwidth = r->bandwidth;
    q->cut = r->cut;
    q->action = hybrid_qapi_action(r->action);
    q->has_reason = r->reason != HYBRID_REASON_NONE;
    if (q->has_reason) {
        q->reason = hybrid_qapi_reason(r->reason);
    }
    return q;
}

static void HYBRID_SOURCE_LOCKED
hybrid_fill_rounds(HybridSource *h, MigrationHybridInfo *i)
{
    MigrationHybridRoundList **tail = &i->rounds;

    i->has_round = i->has_rounds = true;
    i->round = hybrid_shared_get(&h->round);
    for (guint n = 0; n < h->records->len; n++) {
        HybridRoundRecord *r = &g_array_index(h->records, HybridRoundRecord, n);

        QAPI_LIST_APPEND(tail, hybrid_fill_round(r));
    }
    if (h->decided) {
        i->has_action = true;
        i->action = hybrid_qapi_action(h->action);
        i->has_end_reason = h->end_reason != HYBRID_REASON_NONE;
        if (i->has_end_reason) {
            i->end_reason = hybrid_qapi_reason(h->end_reason);
        }
    }
}

static void HYBRID_SOURCE_LOCKED
hybrid_fill_pages(HybridSource *h, MigrationHybridInfo *i)
{
    MigrationHybridPages *p = i->pages = g_new0(MigrationHybridPages, 1);

    p->total = stat64_get(&h->pages_total);
    p->first_sends = stat64_get(&h->pages_first);
    p->resends = p->total - MIN(p->total, p->first_sends);
    p->zero = stat64_get(&mig_stats.zero_pages);
    p->on_demand = stat64_get(&h->pages_on_demand);
    p->pushed = stat64_get(&h->pages_pushed);
    p->bytes = migration_transferred_bytes();
    if (h->received_known) {
        p->has_received = p->has_lost = true;
        p->received = h->pages_received;
        /* Of a difference that was refused both counts are of one page less */
        p->lost = p->total - MIN(p->total, p->received +
                                 stat64_get(&h->deltas->refused));
    }
}

static void hybrid_fill_time(int64_t us, bool *has, uint64_t *value)
{
    *has = us >= 0;
    if (*has) {
        *value = us;
    }
}

/* From @last_us to @end_us; if that is not known it is part of the next */
static void hybrid_fill_part(int64_t end_us, int64_t *last_us, bool *has,
                             uint64_t *value)
{
    *has = end_us >= *last_us;
    if (*has) {
        *value = end_us - *last_us;
        *last_us = end_us;
    }
}

static void HYBRID_SOURCE_LOCKED
hybrid_fill_stop(HybridSource *h, MigrationHybridInfo *i)
{
    int64_t last_us = h->times.stop_us;
    MigrationHybridStop *q;

    if (h->times.grant_us < 0 || last_us < 0) {
        return;
    }
    q = i->stop = g_new0(MigrationHybridStop, 1);
    hybrid_fill_part(h->times.synced_us, &last_us, &q->has_sync_us,
                     &q->sync_us);
    hybrid_fill_part(h->times.discarded_us, &last_us, &q->has_discard_us,
                     &q->discard_us);
    hybrid_fill_part(h->times.saved_us, &last_us, &q->has_save_us, &q->save_us);
    hybrid_fill_part(h->times.package_us, &last_us, &q->has_send_us,
                     &q->send_us);
    hybrid_fill_part(h->times.loaded_us, &last_us, &q->has_load_us,
                     &q->load_us);
    hybrid_fill_part(h->times.grant_us, &last_us, &q->has_grant_us,
                     &q->grant_us);
    q->discards = stat64_get(&h->discards_stopped);
    q->discards_before = stat64_get(&h->discards_early);
}

static void HYBRID_SOURCE_LOCKED
hybrid_fill_times(HybridSource *h, MigrationHybridInfo *i)
{
    bool estimated = false;
    int64_t one_way_us = hybrid_rtt_one_way(&h->rtt);
    int64_t total_us = hybrid_times_total(&h->times);

    hybrid_fill_time(hybrid_times_preparation(&h->times),
                     &i->has_preparation_time_us, &i->preparation_time_us);
    hybrid_fill_time(hybrid_times_downtime(&h->times, &h->rtt, &estimated),
                     &i->has_downtime_us, &i->downtime_us);
    i->has_downtime_estimated = i->has_downtime_us;
    i->downtime_estimated = estimated;
    hybrid_fill_stop(h, i);
    hybrid_fill_time(one_way_us, &i->has_one_way_delay_us,
                     &i->one_way_delay_us);
    if (hybrid_shared_get(&h->phase) != MIGRATION_HYBRID_PHASE_COMPLETED) {
        return;
    }
    hybrid_fill_time(hybrid_times_resume(&h->times, &h->rtt),
                     &i->has_resume_time_us, &i->resume_time_us);
    hybrid_fill_time(total_us, &i->has_total_time_us, &i->total_time_us);
}

/* vCPU time blocked and throttled, over what there was to have */
static void HYBRID_SOURCE_LOCKED
hybrid_fill_degradation(HybridSource *h, MigrationHybridInfo *i)
{
    uint64List **tail = &i->vcpu_blocked_us;
    int64_t total_us = hybrid_times_total(&h->times);

    i->has_throttled_us = true;
    i->throttled_us = h->throttled_us;
    if (!h->vcpu_blocked_us || total_us <= 0) {
        return;
    }
    i->has_vcpu_blocked_us = true;
    for (guint n = 0; n < h->vcpu_blocked_us->len; n++) {
        QAPI_LIST_APPEND(tail, g_array_index(h->vcpu_blocked_us, uint64_t, n));
    }
    i->has_degradation = true;
    i->degradation = hybrid_degradation(
        (const uint64_t *)h->vcpu_blocked_us->data, h->vcpu_blocked_us->len,
        h->throttled_us, total_us);
}

static MigrationHybridInfo *HYBRID_SOURCE_LOCKED
hybrid_src_info(HybridSource *h)
{
    MigrationHybridInfo *i = g_new0(MigrationHybridInfo, 1);

    i->active = h->active;
    i->reason = g_strdup(h->why_not);
    if (!h->active) {
        return i;
    }
    i->agreed = hybrid_shared_get(&h->agreed);
    i->observe_only = h->observe;
    i->has_phase = true;
    /*
     * The connection failed at once: nobody has come to report it, and there
     * is no record
     */
    i->phase = qatomic_read(&migrate_get_current()->state) ==
               MIGRATION_STATUS_FAILED ?
               MIGRATION_HYBRID_PHASE_FAILED : hybrid_shared_get(&h->phase);
    if (i->agreed) {
        i->has_peer_timeout = true;
        i->peer_timeout = hybrid_alive_src_ms();
    }
    if (h->memory_needed) {
        i->has_memory_needed = i->has_memory_available = true;
        i->memory_needed = h->memory_needed;
        i->memory_available = h->memory_available;
    }
    hybrid_fill_rounds(h, i);
    hybrid_fill_pages(h, i);
    i->push = hybrid_push_info();
    i->deltas = hybrid_deltas_info(h->deltas);
    hybrid_fill_times(h, i);
    hybrid_fill_degradation(h, i);
    return i;
}

void hybrid_src_make_record(HybridSource *h)
{
    HYBRID_SOURCE_LOCK_GUARD(h);
    h->record = hybrid_src_info(h);
}

bool hybrid_src_fill_info(MigrationInfo *info)
{
    HybridSource *h = hybrid_source();

    HYBRID_SOURCE_LOCK_GUARD(h);
    if (h->refused || (!h->active && !h->why_not)) {
        return false;
    }
    info->hybrid = h->record ? QAPI_CLONE(MigrationHybridInfo, h->record)
                             : hybrid_src_info(h);
    return true;
}

void hybrid_src_fill_refusal(MigrationInfo *info)
{
    HybridSource *h = hybrid_source();

    if (h->refused) {
        HYBRID_SOURCE_LOCK_GUARD(h);
        info->hybrid = hybrid_src_info(h);
    }
}
