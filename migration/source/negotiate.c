/*
 * Hybrid live migration, source: negotiation (phase 1).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migration/hybrid/source/state.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "migration/migration.h"
#include "migration/options.h"
#include "migration/qemu-file.h"
#include "migration/savevm.h"
#include "migration/hybrid/common/need.h"
#include "migration/hybrid/common/params.h"
#include "migration/hybrid/common/point.h"
#include "migration/hybrid/common/same-files.h"
#include "migration/hybrid/common/tcp.h"
#include "migration/hybrid/source/alive.h"
#include "migration/hybrid/source/announce.h"
#include "migration/hybrid/source/delta.h"
#include "migration/hybrid/source/probe.h"

/*
 * Round-trip probes before the settings are sent, and how long they may take
 * with the hello: the least round trip counts, and a long one is known well
 * by then.  The number is chosen; without the bound four probes took 160 ms of
 * the total time on a link of 40 ms.
 */
#define HYBRID_RTT_PROBES 4
#define HYBRID_RTT_US     5000

/*
 * Wait, lock held, until the handoff leaves @state.  No time-out: nothing is
 * at stake yet, the guest runs, and migrate_cancel ends the wait.
 */
static bool HYBRID_SOURCE_LOCKED
hybrid_src_wait_answer(HybridSource *h, HandoffSrcState state)
{
    h->heard_us = hybrid_now_us();
    while (h->state == state && !h->rp_ended) {
        int64_t timeout_us = migrate_hybrid_peer_timeout() * 1000ll;
        int64_t left_us = h->heard_us + timeout_us - hybrid_now_us();

        if (timeout_us && left_us <= 0) {
            h->silent = true;
            return false;
        }
        hybrid_src_wait(h, timeout_us ? MIN(1000, left_us / 1000 + 1) : 1000);
    }
    return h->state != state;
}

static void HYBRID_SOURCE_THREAD hybrid_src_send_settings(MigrationState *s)
{
    HybridMessage m = hybrid_msg_new(HYBRID_MSG_SETTINGS);
    HybridSource *h = hybrid_source();
    uint32_t slots = hybrid_deltas_wanted(h->deltas);
    uint32_t flags = HYBRID_FLAGS & ~(slots ? 0 : HYBRID_FLAG_DELTA);

    hybrid_shared_set(&h->offered, flags);
    h->id = (uint64_t)g_random_int() << 32 | g_random_int();
    hybrid_msg_put_be32(&m, migrate_hybrid_memory_overcommit());
    hybrid_msg_put_be32(&m, flags | (migrate_postcopy_preempt() ?
                                     HYBRID_FLAG_PREEMPT : 0));
    hybrid_msg_put_be64(&m, h->id);
    hybrid_need_put(&m);
    h->peer_timeout_ms = migrate_hybrid_peer_timeout();
    hybrid_msg_put_be32(&m, h->peer_timeout_ms);
    hybrid_files_put(&m);
    if (slots) {
        hybrid_msg_put_be32(&m, slots);
    }
    hybrid_msg_send_to_dst(s->to_dst_file, &m);
}

/* The peer is known: watch each other, if it can */
static void HYBRID_SOURCE_THREAD hybrid_src_begin_alive(void)
{
    HybridSource *h = hybrid_source();
    uint32_t peer_ms;

    WITH_HYBRID_SOURCE_LOCK(h) {
        peer_ms = h->peer_alive_ms;
    }
    if (hybrid_shared_get(&h->flags) & HYBRID_FLAG_ALIVE) {
        hybrid_alive_src_begin(h->peer_timeout_ms, peer_ms);
    } else if (migrate_hybrid_peer_timeout()) {
        warn_report("migration: hybrid-peer-timeout has no effect: the "
                    "destination gives no signs of life");
    }
}

/*
 * The hello was sent at @hello_us and has just been answered.  False: a probe
 * was not.
 */
static bool HYBRID_SOURCE_THREAD
hybrid_src_measure_rtt(MigrationState *s, HybridSource *h, int64_t hello_us)
{
    int64_t timeout_us = migrate_hybrid_peer_timeout() * 1000ll;
    HybridTcp tcp;

    WITH_HYBRID_SOURCE_LOCK(h) {
        hybrid_rtt_sample(&h->rtt, hybrid_now_us() - hello_us);
    }
    for (uint32_t n = 1; n <= HYBRID_RTT_PROBES &&
                         hybrid_now_us() - hello_us < HYBRID_RTT_US; n++) {
        if (!hybrid_src_probe_rtt(s, timeout_us ?: INT64_MAX)) {
            return false;
        }
    }
    hybrid_tcp_ask(hybrid_tcp_socket(s->to_dst_file), &tcp);
    WITH_HYBRID_SOURCE_LOCK(h) {
        h->peer_rtt_us = h->rtt.min_us;
        if (tcp.delivered) {
            /* Of the connection's own handshake, which waits for no thread */
            hybrid_rtt_sample(&h->rtt, tcp.rtt_us);
        }
    }
    return true;
}

bool hybrid_src_negotiate(MigrationState *s)
{
    HybridSource *h = hybrid_source();
    int64_t hello_us;
    Error *err = NULL;

    if (!h->active) {
        return true;
    }
    hybrid_source_in_thread();
    hybrid_set_phase(h, MIGRATION_HYBRID_PHASE_PREPARATION, NULL);
    if (h->observe) {
        return true;
    }

    WITH_HYBRID_SOURCE_LOCK(h) {
        hybrid_src_step(h, HANDOFF_EV_HELLO_SENT);
    }
    hello_us = hybrid_now_us();
    qemu_savevm_send_ping(s->to_dst_file, HYBRID_PING_HELLO);
    hybrid_point("src-said-hello");
    WITH_HYBRID_SOURCE_LOCK(h) {
        if (!hybrid_src_wait_answer(h, HANDOFF_SRC_HELLO)) {
            hybrid_src_step(h, HANDOFF_EV_LINK_LOST);
            goto lost;
        }
    }
    if (!hybrid_src_measure_rtt(s, h, hello_us)) {
        WITH_HYBRID_SOURCE_LOCK(h) {
            h->silent = true;
            if (hybrid_src_agreed()) {
                hybrid_src_step(h, HANDOFF_EV_LINK_LOST);
            }
            goto lost;
        }
    }
    if (!hybrid_src_agreed()) {
        hybrid_src_begin_alive();
        return true;
    }

    hybrid_announce(s->to_dst_file);
    hybrid_src_send_settings(s);
    hybrid_point_message("src-sent", "SETTINGS");
    WITH_HYBRID_SOURCE_LOCK(h) {
        if (!hybrid_src_wait_answer(h, HANDOFF_SRC_ASKED)) {
            hybrid_src_step(h, HANDOFF_EV_LINK_LOST);
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
