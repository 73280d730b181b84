/*
 * Hybrid live migration, source: decision, negotiation (phase 1) and
 * the messages of the destination.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migration/hybrid/source/state.h"
#include "qapi/error.h"
#include "qapi/qapi-events-migration.h"
#include "qemu/error-report.h"
#include "qemu/main-loop.h"
#include "exec/target_page.h"
#include "migration/migration.h"
#include "migration/options.h"
#include "migration/qemu-file.h"
#include "migration/ram.h"
#include "migration/savevm.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/source/pages.h"
#include "migration/hybrid/common/params.h"
#include "migration/hybrid/common/point.h"
#include "migration/hybrid/common/tcp.h"

/*
 * Round-trip probes before the settings are sent, and how long they may take
 * with the hello: the least round trip counts, and a long one is known well
 * by then
 */
#define HYBRID_RTT_PROBES 4
#define HYBRID_RTT_US     5000

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

void hybrid_src_reset(void)
{
    HybridSrc *h = &hybrid_src;

    hybrid_dst_forget();
    hybrid_push_reset();
    hybrid_devices_reset();
    QEMU_LOCK_GUARD(&h->lock);
    h->active = h->observe = h->agreed = h->peer_loaded = false;
    h->deciding = false;
    h->rp_ended = h->timed_out = h->received_known = false;
    h->decided = h->held = h->completing = h->requests_only = false;
    h->advised = h->peer_failed = h->silent = false;
    h->peer_timeout_ms = h->peer_alive_ms = 0;
    g_clear_pointer(&h->why_not, g_free);
    g_clear_pointer(&h->records, g_array_unref);
    g_clear_pointer(&h->vcpu_blocked_us, g_array_unref);
    h->state = HANDOFF_SRC_IDLE;
    h->action = HYBRID_ACTION_CONTINUE;
    h->end_reason = HYBRID_REASON_NONE;
    h->phase = MIGRATION_HYBRID_PHASE_PREPARATION;
    h->pong_seen = h->round = h->flags = 0;
    h->synced_us = h->discarded_us = h->saved_us = -1;
    h->discards_early = h->discards_stopped = 0;
    h->memory_needed = h->memory_available = 0;
    h->pages_received = 0;
    h->throttled_us = 0;
    h->throttle_mark_us = 0;
    hybrid_times_init(&h->times);
    hybrid_rtt_init(&h->rtt);
    h->peer_rtt_us = -1;
}

/* NULL: hybrid applies, else why not */
static const char *hybrid_why_not(MigrationState *s, MigrationAddress *addr)
{
    if (!migrate_postcopy_ram()) {
        return "capability postcopy-ram is off";
    }
    if (migrate_mode() != MIG_MODE_NORMAL) {
        return "migration mode is not 'normal'";
    }
    if (migrate_mapped_ram()) {
        return "capability mapped-ram is on";
    }
    if (migrate_background_snapshot()) {
        return "capability background-snapshot is on";
    }
    if (migrate_colo()) {
        return "capability x-colo is on";
    }
    if (migrate_multifd()) {
        return "capability multifd is on";
    }
    if (addr->transport != MIGRATION_ADDRESS_TYPE_SOCKET) {
        return "the URI is not a two-way stream (tcp, unix, vsock or fd)";
    }
    return NULL;
}

/*
 * The clock of the downtime starts when the last vCPU has stopped: stopping
 * the devices and flushing the disks, which follow, are part of it.  On a
 * stop, handlers of the highest priority are called first.
 */
static void hybrid_src_vm_state(void *opaque, bool running, RunState state)
{
    HybridSrc *h = &hybrid_src;

    if (h->active && h->times.package_us < 0 && h->times.done_us < 0) {
        QEMU_LOCK_GUARD(&h->lock);
        h->times.stop_us = running ? -1 : hybrid_now_us();
    }
}

void hybrid_src_decide(MigrationState *s, MigrationAddress *addr)
{
    HybridSrc *h = &hybrid_src;
    const char *why_not;

    if (!migrate_hybrid()) {
        return;
    }
    why_not = hybrid_why_not(s, addr);
    if (why_not) {
        h->why_not = g_strdup(why_not);
        warn_report("migration: hybrid does not apply: %s", why_not);
        return;
    }
    if (!h->vm_state) {
        h->vm_state =
            qemu_add_vm_change_state_handler_prio(hybrid_src_vm_state, NULL,
                                                  INT_MAX);
    }
    h->active = true;
    h->observe = migrate_hybrid_observe_only();
    h->records = g_array_new(false, true, sizeof(HybridRoundRecord));
    h->times.start_us = hybrid_now_us();
    stat64_set(&h->pages_total, 0);
    stat64_set(&h->pages_first, 0);
    stat64_set(&h->pages_on_demand, 0);
    stat64_set(&h->pages_pushed, 0);
    hybrid_pages_init();
    hybrid_flow_reset(false);
}

void hybrid_src_refused(MigrationState *s, Error **errp)
{
    HybridSrc *h = &hybrid_src;

    /* While a migration runs, or after it took the guest, that one counts */
    if (!migrate_hybrid() || migration_is_running() ||
        s->state == MIGRATION_STATUS_COMPLETED) {
        return;
    }
    QEMU_LOCK_GUARD(&h->lock);
    h->active = false;
    g_free(h->why_not);
    h->why_not = g_strdup(error_get_pretty(*errp));
}

/* ---- phase 1 ---- */

/*
 * Wait, lock held, until the handoff leaves @state.  No time-out: nothing is
 * at stake yet, the guest runs, and migrate_cancel ends the wait.
 */
static bool hybrid_src_wait_answer(HandoffSrcState state)
{
    HybridSrc *h = &hybrid_src;

    h->heard_us = hybrid_now_us();
    while (h->state == state && !h->rp_ended) {
        int64_t timeout_us = migrate_hybrid_peer_timeout() * 1000ll;
        int64_t left_us = h->heard_us + timeout_us - hybrid_now_us();

        if (timeout_us && left_us <= 0) {
            h->silent = true;
            return false;
        }
        hybrid_src_wait(timeout_us ? MIN(1000, left_us / 1000 + 1) : 1000);
    }
    return h->state != state;
}

void hybrid_src_probe_rtt(MigrationState *s, uint32_t n, int64_t patience_us)
{
    HybridSrc *h = &hybrid_src;
    int64_t sent_us = hybrid_now_us();

    WITH_QEMU_LOCK_GUARD(&h->lock) {
        h->pong_seen = 0;       /* the same probe may have been sent before */
    }
    qemu_savevm_send_ping(s->to_dst_file, HYBRID_PING_RTT | n);
    hybrid_src_idle_begin(s);
    WITH_QEMU_LOCK_GUARD(&h->lock) {
        while (h->pong_seen != (HYBRID_PING_RTT | n) && !h->rp_ended &&
               hybrid_now_us() - sent_us < patience_us) {
            hybrid_src_wait(MIN(1000, patience_us / 1000));
        }
        if (h->pong_seen == (HYBRID_PING_RTT | n)) {
            hybrid_rtt_sample(&h->rtt, hybrid_now_us() - sent_us);
        }
    }
    hybrid_src_idle_end(s);
}

static void hybrid_src_send_settings(MigrationState *s)
{
    HybridMessage m = hybrid_msg_new(HYBRID_MSG_SETTINGS);
    HybridSrc *h = &hybrid_src;

    h->id = (uint64_t)g_random_int() << 32 | g_random_int();
    hybrid_msg_put_be32(&m, migrate_hybrid_memory_overcommit());
    hybrid_msg_put_be32(&m, HYBRID_FLAGS | (migrate_postcopy_preempt() ?
                                            HYBRID_FLAG_PREEMPT : 0));
    hybrid_msg_put_be64(&m, h->id);
    hybrid_need_put(&m);
    h->peer_timeout_ms = migrate_hybrid_peer_timeout();
    hybrid_msg_put_be32(&m, h->peer_timeout_ms);
    hybrid_msg_send_to_dst(s->to_dst_file, &m);
}

/* The peer is known: watch each other, if it can */
static void hybrid_src_begin_alive(void)
{
    HybridSrc *h = &hybrid_src;

    if (h->agreed && h->flags & HYBRID_FLAG_ALIVE) {
        hybrid_alive_src_begin(h->peer_timeout_ms, h->peer_alive_ms);
    } else if (migrate_hybrid_peer_timeout()) {
        warn_report("migration: hybrid-peer-timeout has no effect: the "
                    "destination gives no signs of life");
    }
}

bool hybrid_src_negotiate(MigrationState *s)
{
    HybridSrc *h = &hybrid_src;
    HybridTcp tcp;
    int64_t hello_us;
    Error *err = NULL;

    if (!h->active) {
        return true;
    }
    hybrid_set_phase(MIGRATION_HYBRID_PHASE_PREPARATION, NULL);
    if (h->observe) {
        return true;
    }

    WITH_QEMU_LOCK_GUARD(&h->lock) {
        hybrid_src_step(HANDOFF_EV_HELLO_SENT);
    }
    hello_us = hybrid_now_us();
    qemu_savevm_send_ping(s->to_dst_file, HYBRID_PING_HELLO);
    hybrid_point("src-said-hello");
    WITH_QEMU_LOCK_GUARD(&h->lock) {
        if (!hybrid_src_wait_answer(HANDOFF_SRC_HELLO)) {
            hybrid_src_step(HANDOFF_EV_LINK_LOST);
            goto lost;
        }
    }
    hybrid_rtt_sample(&h->rtt, hybrid_now_us() - hello_us);
    for (uint32_t n = 1; n <= HYBRID_RTT_PROBES &&
                         hybrid_now_us() - hello_us < HYBRID_RTT_US; n++) {
        hybrid_src_probe_rtt(s, n, INT64_MAX);
    }
    h->peer_rtt_us = h->rtt.min_us;
    if (hybrid_tcp_ask(hybrid_flow_socket(s->to_dst_file), &tcp) &&
        tcp.delivered) {
        /* Of the connection's own handshake, which waits for no thread */
        hybrid_rtt_sample(&h->rtt, tcp.rtt_us);
    }
    if (!h->agreed) {
        hybrid_src_begin_alive();
        return true;
    }

    hybrid_src_send_settings(s);
    hybrid_point_message("src-sent", "SETTINGS");
    WITH_QEMU_LOCK_GUARD(&h->lock) {
        if (!hybrid_src_wait_answer(HANDOFF_SRC_ASKED)) {
            hybrid_src_step(HANDOFF_EV_LINK_LOST);
            goto lost;
        }
        /* A refusal has its error set already, and a cancel needs none */
        if (h->state != HANDOFF_SRC_PRECOPY) {
            return false;
        }
    }
    hybrid_src_begin_alive();
    return true;

lost:
    if (h->silent) {
        error_setg(&err, "Nothing was heard from the destination for "
                   "hybrid-peer-timeout (%" PRIu32 " ms) while hybrid "
                   "migration was being negotiated",
                   migrate_hybrid_peer_timeout());
    } else {
        error_setg(&err, "The destination closed the connection while hybrid "
                   "migration was being negotiated");
    }
    migrate_set_error(s, err);
    error_free(err);
    return false;
}

void hybrid_src_explain(Error **err)
{
    HybridSrc *h = &hybrid_src;

    /*
     * A destination that lacks postcopy-ram breaks the stream when it sees
     * ADVISE, and tells only its own log why.
     */
    if (*err && h->active && h->state == HANDOFF_SRC_PLAIN && !h->advised) {
        error_prepend(err, "The destination broke the stream right after "
                      "post-copy was announced (probably its capability "
                      "postcopy-ram is off): ");
    }
    if (*err && hybrid_src_agreed() && !h->peer_failed) {
        QEMU_LOCK_GUARD(&h->lock);
        /* The return path notices first, and the first error is kept */
        if (h->state == HANDOFF_SRC_STOPPED ||
            h->state == HANDOFF_SRC_PACKAGED) {
            error_prepend(err, "The connection to the destination was lost "
                          "before the guest was handed off: ");
        }
    }
}

bool hybrid_src_completing(void)
{
    return hybrid_src.active && hybrid_src.agreed && hybrid_src.completing;
}

bool hybrid_src_agreed(void)
{
    return hybrid_src.active && hybrid_src.agreed;
}

/* ---- the destination's messages; return path thread ---- */

static void hybrid_src_running(MigrationState *s, HybridMessage *m)
{
    HybridSrc *h = &hybrid_src;
    bool first = h->state == HANDOFF_SRC_GRANTED;
    bool vcpus_run = hybrid_msg_get_be32(m);
    HybridStarted started = { 0, -1, -1 };
    int64_t now_us = hybrid_now_us();

    /* The times are not all in this message's first versions */
    if (hybrid_msg_left(m)) {
        started.ago_us = hybrid_msg_get_be64(m);
    }
    if (hybrid_msg_left(m)) {
        started.after_loaded_us = hybrid_msg_get_be64(m);
        started.after_grant_us = hybrid_msg_get_be64(m);
    }

    if (h->state == HANDOFF_SRC_RUNNING &&
        (!vcpus_run || h->times.running_seen)) {
        return;                 /* a sign of life, no news */
    }
    hybrid_src_step(HANDOFF_EV_PEER_RUNNING);
    if (vcpus_run && !h->times.running_seen) {
        hybrid_times_started(&h->times, &h->rtt, &started, now_us);
        /* Upstream's own figure, in ms; 0 would mean that it is not set */
        s->downtime = MAX(1, hybrid_times_downtime(&h->times, &h->rtt, NULL) /
                             1000);
    }
    if (first && !h->completing) {
        hybrid_set_phase(MIGRATION_HYBRID_PHASE_PAGING, NULL);
    }
}

static void hybrid_src_stats(HybridMessage *m)
{
    HybridSrc *h = &hybrid_src;

    h->pages_received = hybrid_msg_get_be64(m);
    h->received_known = true;
    g_clear_pointer(&h->vcpu_blocked_us, g_array_unref);
    h->vcpu_blocked_us = hybrid_msg_get_numbers(m, hybrid_msg_get_be32(m));
}

static void hybrid_src_ready(HybridMessage *m, Error **errp)
{
    HybridSrc *h = &hybrid_src;

    h->memory_needed = hybrid_msg_get_be64(m);
    h->memory_available = hybrid_msg_get_be64(m);
    if (hybrid_msg_left(m)) {
        h->flags = hybrid_msg_get_be32(m) & HYBRID_FLAGS;
    }
    if (hybrid_msg_left(m) && !hybrid_page_sizes_same(m, errp)) {
        return;                 /* which ends the return path */
    }
    if (hybrid_msg_left(m)) {
        h->peer_alive_ms = hybrid_msg_get_be32(m);
    }
    hybrid_src_step(HANDOFF_EV_PEER_READY);
}

bool hybrid_src_rp_message(MigrationState *s, QEMUFile *rp, uint16_t type,
                           uint16_t len, Error **errp)
{
    HybridSrc *h = &hybrid_src;
    HybridMessageKind kind;
    HybridMessage m;

    if (type != HYBRID_RP_MSG || !hybrid_src_agreed()) {
        return false;
    }
    if (!hybrid_msg_read(&m, rp, len, &kind, errp)) {
        goto out;
    }
    trace_hybrid_message("src", hybrid_msg_str(kind));
    hybrid_point_message("src-read", hybrid_msg_str(kind));

    WITH_QEMU_LOCK_GUARD(&h->lock) {
        if (!hybrid_src_gate(hybrid_from_dst(kind), errp)) {
            goto out;
        }
        h->heard_us = hybrid_now_us();
        switch (kind) {
        case HYBRID_MSG_READY:
            hybrid_src_ready(&m, errp);
            break;
        case HYBRID_MSG_REFUSE:
            h->memory_needed = hybrid_msg_get_be64(&m);
            h->memory_available = hybrid_msg_get_be64(&m);
            g_free(h->why_not);
            h->why_not = hybrid_msg_get_clean_text(&m);
            hybrid_src_step(HANDOFF_EV_PEER_REFUSES);
            /* At once: SHUT follows, which only says that there is an error */
            error_setg(errp, "The destination refuses the migration: %s",
                       h->why_not);
            break;
        case HYBRID_MSG_LOADED:
            h->peer_loaded = true;
            h->times.loaded_us = hybrid_now_us();
            break;
        case HYBRID_MSG_RUNNING:
            hybrid_src_running(s, &m);
            break;
        case HYBRID_MSG_STATS:
            hybrid_src_stats(&m);
            break;
        case HYBRID_MSG_VCPU:
            hybrid_push_vcpu(hybrid_msg_get_be32(&m));
            break;
        case HYBRID_MSG_PLACED:
            hybrid_flow_peer_read(&m);
            break;
        case HYBRID_MSG_FAILED:
            {
                g_autofree char *text = hybrid_msg_get_clean_text(&m);

                if (!m.overrun) {
                    hybrid_src_peer_failed(s, text, errp);
                }
            }
            break;
        case HYBRID_MSG_ALIVE:
            hybrid_alive_src_heard(&m);
            break;
        default:
            /* Of a newer peer; it cannot matter if we did not ask for it */
            break;
        }
        qemu_cond_broadcast(&h->cond);
    }
    if (m.overrun && !*errp) {
        error_setg(errp, "hybrid message %s is too short (%u bytes)",
                   hybrid_msg_str(kind), len);
    }
out:
    hybrid_msg_free(&m);
    return true;
}

void hybrid_src_pong(uint32_t value)
{
    HybridSrc *h = &hybrid_src;

    if (!h->active) {
        return;
    }
    QEMU_LOCK_GUARD(&h->lock);
    if (value == HYBRID_PONG_ACK) {
        h->agreed |= hybrid_src_step(HANDOFF_EV_PEER_AGREES);
    } else if (value == HYBRID_PING_HELLO) {
        hybrid_src_step(HANDOFF_EV_PEER_PLAIN);
    } else if (value == HYBRID_PING_ADVISED) {
        h->advised = true;
    } else if ((value & HYBRID_PING_RTT_MASK) == HYBRID_PING_RTT) {
        h->pong_seen = value;
    } else if (value == 3 && !h->agreed && h->times.stop_us >= 0) {
        /*
         * PING 3 ends the package: its echo says that a plain destination
         * has loaded the devices and is about to run the guest.
         */
        h->times.running_us = hybrid_now_us();
    }
    qemu_cond_broadcast(&h->cond);
}

void hybrid_src_kick(void)
{
    hybrid_flow_kick();
    if (hybrid_src.requests_only) {
        QEMU_LOCK_GUARD(&hybrid_src.lock);
        qemu_cond_broadcast(&hybrid_src.cond);
    }
}

bool hybrid_src_requests_only(void)
{
    return hybrid_src.requests_only;
}
