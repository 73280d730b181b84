/*
 * Hybrid live migration, source: the rounds (phase 2).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Drives the policy (policy/rounds.h) from the migration thread: measures
 * what happened in a round, and does what the policy says.
 */

#include "migration/hybrid/source/state.h"
#include "exec/target_page.h"
#include "hw/boards.h"
#include "system/cpu-throttle.h"
#include "migration/migration.h"
#include "migration/migration-stats.h"
#include "migration/options.h"
#include "migration/ram.h"
#include "migration/savevm.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/common/params.h"
#include "migration/hybrid/common/point.h"
#include "migration/hybrid/source/delta.h"
#include "migration/hybrid/source/discard.h"
#include "migration/hybrid/source/flow.h"
#include "migration/hybrid/source/in-stop.h"
#include "migration/hybrid/source/page-bitmap.h"

/* How often to look whether a device still holds the switch back; chosen */
#define HYBRID_HELD_MS 100

static void HYBRID_SOURCE_THREAD
hybrid_src_begin_round(HybridSource *h, int64_t now_us)
{
    hybrid_shared_set(&h->round, hybrid_shared_get(&h->round) + 1);
    h->round_start_us = now_us;
    h->round_start_bytes = migration_transferred_bytes();
    h->round_start_pages = stat64_get(&h->pages_total);
    h->round_start_zero = stat64_get(&mig_stats.zero_pages);
    h->round_start_queued = hybrid_flow_queued();
}

/* The least round trip, 0: it was never measured */
static uint64_t hybrid_src_rtt_us(HybridSource *h)
{
    HYBRID_SOURCE_LOCK_GUARD(h);
    return MAX(0, h->rtt.min_us);
}

static void HYBRID_SOURCE_THREAD
hybrid_src_begin_rounds(MigrationState *s, HybridSource *h)
{
    HybridRoundsConfig config = {
        .max_rounds = migrate_hybrid_max_rounds(),
        .min_gain = migrate_hybrid_min_gain(),
        .max_resend = migrate_hybrid_max_resend(),
        .max_time_us = (uint64_t)migrate_hybrid_max_precopy_time() * 1000,
        .max_bytes = migrate_hybrid_max_precopy_bytes(),
        .downtime_limit_us = migrate_downtime_limit() * 1000,
        .page_size = qemu_target_page_size(),
        .rtt_us = hybrid_src_rtt_us(h),
    };

    hybrid_rounds_init(h->rounds, &config,
                       ram_bytes_total() / qemu_target_page_size());
    trace_hybrid_rounds_config(config.max_rounds, config.min_gain,
                               config.max_resend,
                               config.max_time_us, config.max_bytes,
                               config.downtime_limit_us, config.page_size,
                               h->rounds->total_pages, config.rtt_us);
    h->rounds_start_us = hybrid_now_us();
    h->rounds_start_bytes = migration_transferred_bytes();
    hybrid_src_page_bitmap_begin(h->observe ? 0 :
                                 migrate_hybrid_hot_threshold());
    hybrid_src_begin_round(h, h->rounds_start_us);
    hybrid_set_phase(h, MIGRATION_HYBRID_PHASE_ROUNDS, NULL);
    if (!hybrid_src_agreed() && !h->observe) {
        /* The echo shows that a plain peer has got past ADVISE */
        qemu_savevm_send_ping(s->to_dst_file, HYBRID_PING_ADVISED);
    }
}

/* vCPU time taken away by auto-converge since the last call */
static void HYBRID_SOURCE_THREAD
hybrid_src_note_throttle(HybridSource *h, int64_t now_us)
{
    if (h->throttle_mark_us && cpu_throttle_active()) {
        HYBRID_SOURCE_LOCK_GUARD(h);
        h->throttled_us += (now_us - h->throttle_mark_us) *
                           MACHINE(qdev_get_machine())->smp.cpus *
                           cpu_throttle_get_percentage() / 100;
    }
    h->throttle_mark_us = now_us;
}

/* What only the time before the sync that ends a round can tell */
typedef struct HybridRoundEnd {
    int64_t end_us;
    uint64_t queued;            /* in the socket */
    uint64_t unsent_pages;
    uint64_t deferred_pages;
    uint64_t pending_pages;
    uint64_t pending_whole;     /* of whole host pages */
    bool sampled;               /* the page bitmap is at work */
} HybridRoundEnd;

static bool HYBRID_SOURCE_THREAD hybrid_src_sample(HybridSource *h, bool now)
{
    uint64_t over_us, pages, whole, runs;
    bool first = hybrid_shared_get(&h->round) == 1;
    bool far = hybrid_wait_matters(&h->rounds->wait);
    bool sampled = hybrid_src_page_bitmap_sample(now, first, &over_us, &pages,
                                                 &whole, far ? &runs : NULL);

    if (sampled) {
        hybrid_rounds_sample(h->rounds, over_us, pages, whole);
    }
    if (sampled && far) {
        hybrid_rounds_sample_runs(h->rounds, over_us, pages, runs);
    }
    return sampled;
}

/* Unlike our own bounds it may be changed while the migration runs */
static void hybrid_src_look_at_limit(HybridRounds *rounds)
{
    uint64_t limit_us = migrate_downtime_limit() * 1000;

    if (limit_us != rounds->cfg.downtime_limit_us) {
        hybrid_rounds_limit(rounds, limit_us);
        trace_hybrid_rounds_limit(limit_us);
    }
}

/*
 * The round is over and RAM has been synced: fill the record, let the policy
 * decide, and report.
 */
static HybridAction HYBRID_SOURCE_THREAD
hybrid_src_end_round(HybridSource *h, HybridReason cut_reason,
                     const HybridRoundEnd *end)
{
    HybridRoundRecord r = {
        .round = hybrid_shared_get(&h->round),
        .pages = stat64_get(&h->pages_total) - h->round_start_pages,
        .zero_pages = stat64_get(&mig_stats.zero_pages) - h->round_start_zero,
        .bytes = migration_transferred_bytes() - h->round_start_bytes,
        .unsent_pages = end->unsent_pages,
        .deferred_pages = end->deferred_pages,
        .whole.remaining = hybrid_src_page_bitmap_whole(),
        .whole.dirtied = end->pending_whole,
        .remaining_pages = ram_bytes_remaining() / qemu_target_page_size(),
        .time_us = end->end_us - h->round_start_us,
        .bandwidth = migrate_avail_switchover_bandwidth(),
        .cut = cut_reason != HYBRID_REASON_NONE,
        .cut_reason = cut_reason,
    };
    int64_t grown = end->queued - h->round_start_queued;

    r.hot_pages = hybrid_src_page_bitmap_hot(&r.whole.hot);
    if (hybrid_wait_matters(&h->rounds->wait)) {
        r.grown = grown;
        r.handoff_pages = hybrid_deltas_expect(h, MAX(r.whole.remaining,
                                                      r.remaining_pages));
    }
    if (!r.bandwidth) {
        r.bandwidth = hybrid_rounds_link(&r, grown);
    }
    /*
     * Without samples a page that was dirtied before it was sent cannot be
     * told from one that was not: it counts in unsent only.
     */
    r.dirtied_pages = end->sampled ? end->pending_pages :
                      r.remaining_pages - MIN(r.remaining_pages,
                                              end->unsent_pages);
    hybrid_src_look_at_limit(h->rounds);
    hybrid_rounds_end(h->rounds, &r);
    trace_hybrid_round(r.round, r.pages, r.bytes, r.remaining_pages,
                       r.dirtied_pages, r.time_us, r.bandwidth,
                       hybrid_action_str(r.action),
                       hybrid_reason_str(r.reason));
    trace_hybrid_round_more(r.round, r.zero_pages, r.unsent_pages,
                            r.deferred_pages, r.hot_pages, r.all, r.cut,
                            hybrid_reason_str(r.cut_reason));
    if (r.handoff_pages) {
        trace_hybrid_round_handoff(r.round, r.handoff_pages, r.grown, r.wait_us,
                                   r.eased_us, r.answers.ease);
    }
    if (r.whole.remaining != r.remaining_pages ||
        r.whole.dirtied != r.dirtied_pages || r.whole.hot != r.hot_pages) {
        trace_hybrid_round_whole(r.round, r.whole.remaining, r.whole.dirtied,
                                 r.whole.hot);
    }
    WITH_HYBRID_SOURCE_LOCK(h) {
        g_array_append_val(h->records, r);
        /*
         * Observe-only keeps the first decision.  Else it is carried out, or
         * made anew if a device held the switch back meanwhile.
         */
        if (!h->observe || !h->decided) {
            h->decided = r.action != HYBRID_ACTION_CONTINUE;
            h->action = r.action;
            h->end_reason = r.reason;
        }
    }
    if (r.action == HYBRID_ACTION_CONTINUE && !r.all) {
        hybrid_src_page_bitmap_defer_hot();
    }
    return r.action;
}

/* The last piece of work has found nothing to be sent; notes what was */
static bool HYBRID_SOURCE_THREAD hybrid_src_note_sent(HybridSource *h)
{
    uint64_t sent = stat64_get(&h->pages_total);
    bool nothing = sent == h->tick_pages;

    h->tick_pages = sent;
    return nothing;
}

/*
 * Has the round sent all that it is to send?  The deferred pages are counted
 * only if the last piece of work has sent @nothing.
 */
static bool HYBRID_SOURCE_THREAD hybrid_src_scan_ended(bool nothing)
{
    uint64_t remaining = ram_bytes_remaining() / qemu_target_page_size();

    return !remaining ||
           (nothing && remaining <= hybrid_src_page_bitmap_deferred());
}

/*
 * The rounds are over, but a device holds the switch back (switchover-ack, or
 * state that only precopy can carry): is it too early to look at memory again?
 * What the guest dirties meanwhile belongs to the round that then ends.
 */
static bool HYBRID_SOURCE_THREAD
hybrid_src_held_back(MigrationState *s, HybridSource *h, bool can_switchover,
                     int64_t now_us)
{
    uint64_t must_precopy, can_postcopy;

    if (!h->held) {
        return false;
    }
    qemu_savevm_state_pending_estimate(&must_precopy, &can_postcopy);
    return !can_switchover || must_precopy > s->threshold_size ||
           now_us < h->look_us;
}

/* Which bound cuts the round, if any, or the operator */
static HybridReason HYBRID_SOURCE_THREAD
hybrid_src_cut(MigrationState *s, HybridSource *h, int64_t now_us)
{
    if (!hybrid_src_agreed() && !runstate_is_live(runstate_get())) {
        /*
         * An unpatched destination runs after postcopy what stood still
         * here; and nothing is dirtied, so the round ends as precopy.
         */
        return HYBRID_REASON_NONE;
    }
    return hybrid_rounds_tick(h->rounds, now_us - h->rounds_start_us,
                              migration_transferred_bytes() -
                              h->rounds_start_bytes,
                              qatomic_read(&s->start_postcopy));
}

/*
 * What the end of a round needs: what only the time before the sync can tell,
 * the sync, the decision.  @must_precopy: bytes that only precopy can carry.
 */
static HybridAction HYBRID_SOURCE_THREAD
hybrid_src_close_round(HybridSource *h, int64_t now_us, HybridReason cut,
                       uint64_t *must_precopy)
{
    uint64_t can_postcopy;
    HybridAction action;
    HybridRoundEnd end = {
        .end_us = now_us,
        .queued = hybrid_flow_queued(),
        .sampled = hybrid_src_sample(h, true),
        .unsent_pages = ram_bytes_remaining() / qemu_target_page_size(),
    };

    end.deferred_pages = hybrid_src_page_bitmap_deferred();
    end.pending_pages = hybrid_src_page_bitmap_pending(&end.pending_whole);
    end.unsent_pages -= MIN(end.unsent_pages, end.deferred_pages);
    qemu_savevm_state_pending_exact(must_precopy, &can_postcopy);
    action = hybrid_src_end_round(h, cut, &end);
    hybrid_point("src-round-ended");
    return action;
}

/* The rounds are over, as @action says, and nothing holds the switch back */
static void HYBRID_SOURCE_THREAD
hybrid_src_prepare_switch(HybridSource *h, HybridAction action)
{
    bool completing = action == HYBRID_ACTION_COMPLETE;
    uint64_t must_precopy, can_postcopy;

    hybrid_shared_set(&h->completing, completing);
    if (!completing && hybrid_src_page_bitmap_recent()) {
        qemu_savevm_state_pending_exact(&must_precopy, &can_postcopy);
        hybrid_src_page_bitmap_choose_recent();
    }
}

/*
 * State that only precopy can carry (devices) is not the policy's matter: as
 * upstream, it has to fit the downtime before the switch.  Until it does, the
 * rounds go on.
 */
static bool hybrid_src_hold_back(MigrationState *s, bool can_switchover,
                                 uint64_t must_precopy)
{
    return !can_switchover || must_precopy > s->threshold_size;
}

static HybridTick HYBRID_SOURCE_THREAD hybrid_src_next_round(HybridSource *h)
{
    h->look_us = hybrid_now_us() + HYBRID_HELD_MS * 1000;
    hybrid_src_begin_round(h, hybrid_now_us());
    hybrid_set_phase(h, MIGRATION_HYBRID_PHASE_ROUNDS, NULL);
    return HYBRID_TICK_ITERATE;
}

/*
 * The pass of bases is over.  It may have taken seconds, in which devices have
 * sent nothing: is what only precopy can carry still little?
 */
static HybridTick HYBRID_SOURCE_THREAD
hybrid_src_after_bases(MigrationState *s, HybridSource *h, bool can_switchover)
{
    uint64_t must_precopy, can_postcopy;

    qemu_savevm_state_pending_exact(&must_precopy, &can_postcopy);
    h->held = hybrid_src_hold_back(s, can_switchover, must_precopy);
    if (h->held) {
        return hybrid_src_next_round(h);
    }
    hybrid_src_prepare_switch(h, hybrid_in_stop_choose(s) ?
                                 HYBRID_ACTION_COMPLETE :
                                 HYBRID_ACTION_HANDOFF);
    return HYBRID_TICK_SWITCH;
}

/* Between two pieces of work in a round: nothing is sent meanwhile */
static HybridTick HYBRID_SOURCE_THREAD
hybrid_src_tick_round(MigrationState *s, HybridSource *h, bool can_switchover,
                      int64_t now_us)
{
    HybridReason cut;
    HybridAction action;
    uint64_t must_precopy;
    bool scan_ended;

    /* Has the round ended? */
    hybrid_src_sample(h, false);
    hybrid_deltas_look(h);
    cut = hybrid_src_cut(s, h, now_us);
    scan_ended = hybrid_src_scan_ended(hybrid_src_note_sent(h));
    if (hybrid_src_held_back(s, h, can_switchover, now_us)) {
        if (scan_ended) {
            qemu_sem_timedwait(&s->rate_limit_sem, HYBRID_HELD_MS);
        }
        return HYBRID_TICK_ITERATE;
    }
    if (!scan_ended && (cut == HYBRID_REASON_NONE || !can_switchover)) {
        return HYBRID_TICK_ITERATE;
    }
    if (scan_ended && cut != HYBRID_REASON_REQUESTED) {
        cut = HYBRID_REASON_NONE;
    }

    /* Close it, decide */
    action = hybrid_src_close_round(h, now_us, cut, &must_precopy);

    h->held = action != HYBRID_ACTION_CONTINUE &&
              hybrid_src_hold_back(s, can_switchover, must_precopy);
    if (action == HYBRID_ACTION_CONTINUE || h->held) {
        return hybrid_src_next_round(h);
    }
    /* First the bases, then the looks, which the stop must follow at once */
    if (action == HYBRID_ACTION_HANDOFF && hybrid_deltas_begin(h)) {
        return HYBRID_TICK_BUSY;
    }
    hybrid_src_prepare_switch(h, action);
    return HYBRID_TICK_SWITCH;
}

/*
 * True if nobody answers any more: what we send may arrive, but there is no
 * handoff without answers.
 */
static bool HYBRID_SOURCE_THREAD
hybrid_src_give_up(MigrationState *s, HybridSource *h)
{
    bool rp_ended;

    WITH_HYBRID_SOURCE_LOCK(h) {
        rp_ended = h->rp_ended;
    }
    if (rp_ended) {
        migration_shutdown_channels(s);
    }
    return rp_ended;
}

static HybridTick HYBRID_SOURCE_THREAD
hybrid_src_tick_decide(MigrationState *s, HybridSource *h, bool can_switchover)
{
    int64_t now_us;

    if (!h->active || s->state != MIGRATION_STATUS_ACTIVE) {
        if (h->active && s->state == MIGRATION_STATUS_POSTCOPY_ACTIVE) {
            hybrid_point("src-in-paging");
        }
        return HYBRID_TICK_NONE;
    }
    if (!hybrid_shared_get(&h->round)) {
        hybrid_src_begin_rounds(s, h);
    }
    now_us = hybrid_now_us();
    hybrid_src_note_throttle(h, now_us);
    if (h->observe) {
        return HYBRID_TICK_NONE;
    }
    hybrid_point("src-in-rounds");
    if (hybrid_src_give_up(s, h)) {
        return HYBRID_TICK_ITERATE;
    }
    if (hybrid_deltas_in_pass(h->deltas)) {
        if (hybrid_src_cut(s, h, now_us) != HYBRID_REASON_NONE) {
            hybrid_deltas_stop(h->deltas);
        }
        return HYBRID_TICK_BUSY;
    }
    return hybrid_src_tick_round(s, h, can_switchover, now_us);
}

HybridTick hybrid_src_tick(MigrationState *s, bool can_switchover)
{
    HybridSource *h = hybrid_source();
    HybridTick tick;

    hybrid_source_in_thread();
    hybrid_src_idle_begin(s);
    tick = hybrid_src_tick_decide(s, h, can_switchover);
    hybrid_src_idle_end(s);
    if (tick == HYBRID_TICK_BUSY && !hybrid_deltas_send(s)) {
        hybrid_in_stop_prepare(s);
        hybrid_src_idle_begin(s);
        tick = hybrid_src_after_bases(s, h, can_switchover);
        hybrid_src_idle_end(s);
    } else if (s->state == MIGRATION_STATUS_POSTCOPY_ACTIVE &&
               hybrid_deltas_settle(s)) {
        tick = HYBRID_TICK_BUSY;
    }
    if (tick == HYBRID_TICK_SWITCH) {
        if (!hybrid_shared_get(&h->completing)) {
            hybrid_discard_before_stop(s);
        }
        hybrid_flow_drain(s);
        hybrid_point("src-before-stop");
        if (hybrid_src_give_up(s, h)) {
            tick = HYBRID_TICK_ITERATE; /* the guest need not stop for that */
        }
    }
    return tick;
}

bool hybrid_src_drives_rounds(void)
{
    HybridSource *h = hybrid_source();

    return h->active && !h->observe;
}

bool hybrid_src_needs_handoff(void)
{
    HybridSource *h = hybrid_source();

    return hybrid_shared_get(&h->agreed) || !hybrid_shared_get(&h->completing);
}

bool hybrid_src_may_complete(MigrationState *s)
{
    HybridSource *h = hybrid_source();

    return hybrid_shared_get(&h->completing) &&
           s->state == (hybrid_shared_get(&h->agreed) ?
                        MIGRATION_STATUS_DEVICE : MIGRATION_STATUS_ACTIVE);
}

void hybrid_src_observe(MigrationState *s)
{
    HybridSource *h = hybrid_source();

    if (!h->active || !h->observe || !hybrid_shared_get(&h->round) ||
        s->state != MIGRATION_STATUS_ACTIVE) {
        return;
    }
    hybrid_source_in_thread();
    hybrid_src_end_round(h, HYBRID_REASON_NONE,
                         &(HybridRoundEnd) { .end_us = hybrid_now_us() });
    hybrid_src_begin_round(h, hybrid_now_us());
    hybrid_set_phase(h, MIGRATION_HYBRID_PHASE_ROUNDS, NULL);
}
