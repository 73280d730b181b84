/*
 * Hybrid live migration, source: the bulk that is in flight on the main
 * channel (policy: policy/flow.h).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * All of it runs in the migration thread, but for hybrid_flow_peer_read().
 */

#include "migration/hybrid/source/state.h"
#include "qemu/event_notifier.h"
#include "exec/target_page.h"
#include "io/channel-socket.h"
#include "io/channel-tls.h"
#include "migration/migration.h"
#include "migration/migration-stats.h"
#include "migration/qemu-file.h"
#include "migration/ram.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/common/tcp.h"
#include "migration/hybrid/policy/flow.h"
#include "migration/hybrid/source/flow.h"
#include "migration/hybrid/source/kick.h"
#include "migration/hybrid/source/probe.h"
#include "migration/hybrid/source/push.h"

/* All times and amounts here are chosen. */

/*
 * A socket that holds no more than this, or than what a round trip takes to
 * keep the link busy, does not delay the package: four pages are 0.13 ms at
 * 1 Gbit/s
 */
#define HYBRID_FLOW_DRAINED (4 * 4096)
#define HYBRID_FLOW_DRAIN_STEP_US 1000
/* The drain ends when nothing moves: what hangs is not drain's to mend */
#define HYBRID_FLOW_DRAIN_PATIENCE_US 500000

/*
 * Before the stop, what relays hold has to arrive as well.  Where a round trip
 * takes no longer than this it is waited for, for so long.
 */
#define HYBRID_FLOW_SHORT_US 5000
#define HYBRID_FLOW_ARRIVE_US 10000000

/* With neither socket nor peer to say anything: how much goes before a look */
#define HYBRID_FLOW_LOOK (1024 * 1024)

/* Until the peer has read more: a kick ends it */
#define HYBRID_FLOW_PEER_US 10000

/* With nothing to push: how soon a new push policy is noticed */
#define HYBRID_FLOW_IDLE_US 50000

struct HybridInFlight {
    HybridFlow policy HYBRID_SOURCE_OWNED;
    /* that the policy knows; NULL: none */
    QEMUFile *file HYBRID_SOURCE_OWNED;
    int fd HYBRID_SOURCE_OWNED; /* of its socket, or -1 */
    bool control HYBRID_SOURCE_OWNED; /* by what the socket says */
    HybridPeer peer HYBRID_SOURCE_OWNED;
    /* The same, where each page is a whole one */
    HybridPeer pages HYBRID_SOURCE_OWNED;
    HybridMarks marks HYBRID_SOURCE_OWNED;
    uint64_t marked_pages HYBRID_SOURCE_OWNED;  /* at the last mark */
    uint64_t stop_at_pages HYBRID_SOURCE_OWNED; /* nor look before these */
    bool again HYBRID_SOURCE_OWNED; /* a connection that was recovered */
    /* what had been read when the policy began */
    uint64_t base HYBRID_SOURCE_OWNED;
    /* sent bytes up to which nobody need look */
    uint64_t stop_at HYBRID_SOURCE_OWNED;
    /* no room before that; 0: not known */
    int64_t HYBRID_SOURCE_OWNED wait_until_us;
    int64_t traced_us HYBRID_SOURCE_OWNED;
    int64_t traced_us_peer HYBRID_SOURCE_OWNED;

    /* shared with the return path */
    Stat64 peer_read;           /* bytes, as PLACED says; 0: not yet */
    HybridShared peer_step;
    HybridShared peer_pages;    /* its step in pages; 0: it says none */
    HybridShared awaits_peer;   /* sleeps until PLACED comes */
};

HybridInFlight *hybrid_flow_new(void)
{
    return g_new0(HybridInFlight, 1);
}

void hybrid_flow_free(HybridInFlight *flow)
{
    g_free(flow);
}

uint64_t hybrid_flow_queued(void)
{
    HybridTcp sock;
    int fd = hybrid_tcp_socket(migrate_get_current()->to_dst_file);

    return hybrid_tcp_ask(fd, &sock) ? sock.queued : 0;
}

void hybrid_flow_recovers(HybridInFlight *flow)
{
    flow->file = NULL;
    flow->again = true;
    /* Nor wait for the connection that is gone: its descriptor is closed */
    flow->wait_until_us = 0;
    stat64_set(&flow->peer_read, 0);
    hybrid_shared_set(&flow->peer_step, 0);
    hybrid_shared_set(&flow->peer_pages, 0);
}

/* Begin with a connection that is new: the first, or after a recovery */
static void HYBRID_SOURCE_THREAD hybrid_flow_know(HybridSource *h, QEMUFile *f)
{
    HybridInFlight *flow = h->flow;
    HybridTcp s;
    double bandwidth = hybrid_rounds_bandwidth(h->rounds);
    int64_t rtt_us = flow->again ? -1 : h->peer_rtt_us;
    size_t page_size = qemu_target_page_size();

    if (f == flow->file) {
        return;
    }
    flow->file = f;
    flow->stop_at = 0;
    flow->wait_until_us = 0;
    flow->traced_us = flow->traced_us_peer = 0;
    flow->fd = hybrid_tcp_socket(f);
    /*
     * Without acknowledgements to count there is nothing to be controlled: a
     * UNIX socket does not say what lies behind it.
     */
    flow->control = hybrid_tcp_ask(flow->fd, &s) && s.delivered;
    hybrid_flow_init(&flow->policy, page_size, bandwidth);
    /* On the first connection the handoff shows that all has been read */
    flow->base = qemu_file_stream_bytes(f);
    hybrid_peer_init(&flow->peer, page_size, bandwidth, rtt_us);
    hybrid_peer_init(&flow->pages, page_size,
                     HYBRID_PEER_PAGES_PER_S * page_size, rtt_us);
    flow->pages.least = HYBRID_PEER_PAGES_PER_S * page_size;
    flow->marks = (HybridMarks) { .read = { flow->base, h->pages_main } };
    flow->marked_pages = flow->stop_at_pages = h->pages_main;
}

static void HYBRID_SOURCE_THREAD hybrid_flow_mark(HybridSource *h)
{
    HybridInFlight *flow = h->flow;

    hybrid_marks_put(&flow->marks, qemu_file_stream_bytes(flow->file),
                     h->pages_main);
    flow->marked_pages = h->pages_main;
}

static void HYBRID_SOURCE_THREAD
hybrid_flow_trace(HybridInFlight *flow, int64_t now_us, uint64_t queued)
{
    if (now_us - flow->traced_us >= 100000) {
        flow->traced_us = now_us;
        trace_hybrid_flow("push", flow->policy.bandwidth, flow->policy.rtt_us,
                          hybrid_flow_limit(&flow->policy), queued);
    }
}

static void HYBRID_SOURCE_THREAD
hybrid_flow_trace_peer(HybridInFlight *flow, int64_t now_us)
{
    const HybridPeer *p = &flow->peer, *pages = &flow->pages;

    if (now_us - flow->traced_us_peer >= 100000) {
        flow->traced_us_peer = now_us;
        trace_hybrid_flow("peer", p->bandwidth, p->rtt_us,
                          hybrid_peer_limit(p), p->sent - p->read);
        trace_hybrid_flow("pages", pages->bandwidth, pages->rtt_us,
                          hybrid_peer_limit(pages), pages->sent - pages->read);
    }
}

/* What the socket says: how much may be handed over now, 0: wait */
static uint64_t HYBRID_SOURCE_THREAD
hybrid_flow_socket_room(HybridInFlight *flow, uint64_t put, int64_t now_us)
{
    HybridTcp sock;
    uint64_t written, room;

    if (!flow->control || !hybrid_tcp_ask(flow->fd, &sock)) {
        return UINT64_MAX;
    }
    /* What is still in QEMU's own buffer goes out with what comes next */
    written = stat64_get(&mig_stats.qemu_file_transferred);
    sock.queued += put - MIN(put, written);
    hybrid_flow_sample(&flow->policy, now_us, sock.delivered, sock.queued,
                       sock.rtt_us);
    hybrid_flow_trace(flow, now_us, sock.queued);
    room = hybrid_flow_budget(&flow->policy, sock.queued);
    if (!room) {
        flow->wait_until_us = now_us + hybrid_flow_wait_us(&flow->policy,
                                                          sock.queued);
    }
    return room;
}

/* How many pages more, so that what they take the peer is bounded, too */
static uint64_t HYBRID_SOURCE_THREAD
hybrid_flow_pages_room(HybridSource *h, int64_t now_us)
{
    HybridInFlight *flow = h->flow;
    size_t page_size = qemu_target_page_size();
    uint64_t step = hybrid_shared_get(&flow->peer_pages);
    uint64_t handled;

    if (!step && !stat64_get(&flow->peer_read) &&
        (hybrid_shared_get(&h->flags) & HYBRID_FLAG_DELTA)) {
        step = HYBRID_READER_STEP_PAGES;        /* of its first message */
    }
    hybrid_flow_mark(h);
    handled = page_size * hybrid_marks_read(&flow->marks, flow->peer.read);
    hybrid_peer_sample(&flow->pages, now_us, page_size * h->pages_main,
                       handled);
    if (!step) {
        return UINT64_MAX;      /* it may say no more before more bytes come */
    }
    return hybrid_peer_budget(&flow->pages, step * page_size) / page_size;
}

/* The same, by what the peer has read.  *@pages: how many of them. */
static uint64_t HYBRID_SOURCE_THREAD
hybrid_flow_peer_room(HybridSource *h, QEMUFile *f, int64_t now_us,
                      uint64_t *pages)
{
    HybridInFlight *flow = h->flow;
    uint64_t read, room;

    *pages = UINT64_MAX;
    if (!(hybrid_shared_get(&h->flags) & HYBRID_FLAG_PLACED)) {
        return UINT64_MAX;
    }
    /* Before it is looked at: PLACED that comes now ends the sleep */
    hybrid_shared_set(&flow->awaits_peer, true);
    smp_mb();                   /* pairs with hybrid_flow_peer_read() */
    read = MAX(stat64_get(&flow->peer_read), flow->base);
    hybrid_peer_sample(&flow->peer, now_us, qemu_file_stream_bytes(f), read);
    room = hybrid_peer_budget(&flow->peer, hybrid_shared_get(&flow->peer_step));
    *pages = hybrid_flow_pages_room(h, now_us);
    if (room && *pages) {
        hybrid_shared_set(&flow->awaits_peer, false);
    } else {
        flow->wait_until_us = now_us + HYBRID_FLOW_PEER_US;
    }
    hybrid_flow_trace_peer(flow, now_us);
    return *pages ? room : 0;
}

bool hybrid_flow_full(QEMUFile *f)
{
    HybridSource *h = hybrid_source();
    HybridInFlight *flow = h->flow;
    MigrationState *s = migrate_get_current();
    uint64_t put, room, pages = UINT64_MAX;
    int64_t now_us;

    if (!h->active || h->observe ||
        s->state != MIGRATION_STATUS_POSTCOPY_ACTIVE) {
        return false;
    }
    hybrid_source_in_thread();
    hybrid_flow_know(h, f);
    put = qemu_file_transferred(f);
    if (flow->stop_at > put && flow->stop_at_pages > h->pages_main) {
        if (h->pages_main - flow->marked_pages >= HYBRID_MARKS_APART) {
            hybrid_flow_mark(h);
        }
        return false;
    }
    now_us = hybrid_now_us();
    flow->wait_until_us = 0;
    hybrid_shared_set(&flow->awaits_peer, false);
    room = hybrid_flow_socket_room(flow, put, now_us);
    if (room) {
        room = MIN(room, hybrid_flow_peer_room(h, f, now_us, &pages));
    }
    flow->stop_at_pages = pages == UINT64_MAX ? pages
                                              : h->pages_main + pages;
    flow->stop_at = room == UINT64_MAX ? put + HYBRID_FLOW_LOOK : put + room;
    return !room;
}

void hybrid_flow_peer_read(HybridSource *h, HybridMessage *m)
{
    HybridInFlight *flow = h->flow;
    uint64_t read = hybrid_msg_get_be64(m);

    hybrid_shared_set(&flow->peer_step, MIN(hybrid_msg_get_be32(m),
                                            HYBRID_READER_STEP_MAX));
    /* Of a message without it there is no bound by pages */
    hybrid_shared_set(&flow->peer_pages, !hybrid_msg_left(m) ? 0 :
                      MIN(hybrid_msg_get_be32(m), HYBRID_READER_STEP_MAX /
                                                  qemu_target_page_size()));
    stat64_set(&flow->peer_read, read);
    smp_mb();                   /* said; then look who is about to wait */
    if (hybrid_shared_get(&flow->awaits_peer)) {
        hybrid_kick_surely(h->kick);
    }
}

/* Until the connection breaks, a page is requested, or time is up */
static void HYBRID_SOURCE_THREAD
hybrid_flow_sleep(HybridSource *h, QEMUFile *f, int64_t us)
{
    /* In the middle of a huge page: the peer waits for what is in the buffer */
    qemu_fflush(f);
    if (!hybrid_kick_sleep(h->kick, h->flow->fd, us)) {
        /* Nothing may be sent that would run into it */
        qemu_file_set_error(f, -EIO);
    }
}

void hybrid_flow_wait(QEMUFile *f)
{
    HybridSource *h = hybrid_source();
    HybridInFlight *flow = h->flow;

    if (!h->active) {
        return;
    }
    hybrid_source_in_thread();
    while (!qemu_file_get_error(f) && !ram_postcopy_requests_pending()) {
        int64_t left_us = flow->wait_until_us - hybrid_now_us();

        if (hybrid_push_idle()) {
            hybrid_flow_know(h, f);
            hybrid_flow_sleep(h, f, HYBRID_FLOW_IDLE_US);
        } else if (flow->wait_until_us && left_us > 0) {
            hybrid_flow_sleep(h, f, left_us);
            flow->wait_until_us = 0;
        } else if (!hybrid_flow_full(f)) {
            break;
        }
    }
}

void hybrid_flow_drain(MigrationState *s)
{
    HybridSource *h = hybrid_source();
    QEMUFile *f = s->to_dst_file;
    double bandwidth = hybrid_rounds_bandwidth(h->rounds);
    int64_t moved_us = hybrid_now_us();
    uint64_t least, drained;
    HybridTcp sock;
    int fd = hybrid_tcp_socket(f);

    if (qemu_fflush(f) || !hybrid_tcp_ask(fd, &sock)) {
        return;
    }
    drained = MAX(HYBRID_FLOW_DRAINED, bandwidth * sock.rtt_us / 1000000);
    trace_hybrid_flow("drain", bandwidth, sock.rtt_us, drained, sock.queued);
    least = sock.queued;
    while (sock.queued > drained && !qemu_file_get_error(f) &&
           hybrid_now_us() - moved_us < HYBRID_FLOW_DRAIN_PATIENCE_US) {
        g_usleep(HYBRID_FLOW_DRAIN_STEP_US);
        if (!hybrid_tcp_ask(fd, &sock)) {
            break;
        }
        if (sock.queued < least) {
            least = sock.queued;
            moved_us = hybrid_now_us();
        }
    }
    trace_hybrid_flow("drained", bandwidth, sock.rtt_us, drained, sock.queued);
    if (!qemu_file_get_error(f) && h->peer_rtt_us >= 0 &&
        (h->peer_rtt_us <= HYBRID_FLOW_SHORT_US || !sock.delivered)) {
        hybrid_src_probe_rtt(s, HYBRID_FLOW_ARRIVE_US);
        trace_hybrid_flow("arrived", bandwidth, h->peer_rtt_us, 0, 0);
    }
}
