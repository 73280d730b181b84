/*
 * Hybrid live migration: what the glue's files share.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Locking: hybrid_src.lock protects everything in HybridSrc that the return
 * path thread, the migration thread and the monitor share: the handoff state
 * and all that the messages of the destination bring.  It nests inside the
 * BQL and is never held while anything is sent or waited for (but on
 * hybrid_src.cond).  The rounds belong to the migration thread; a reader
 * takes the lock, the migration thread appends under it.
 */

#ifndef QEMU_MIGRATION_HYBRID_INTERNAL_H
#define QEMU_MIGRATION_HYBRID_INTERNAL_H

#include "qemu/osdep.h"
#include "qemu/stats64.h"
#include "qemu/thread.h"
#include "migration/hybrid/hooks.h"
#include "migration/hybrid/protocol/gate.h"
#include "migration/hybrid/protocol/handoff.h"
#include "migration/hybrid/destination/host.h"
#include "migration/hybrid/policy/metrics.h"
#include "migration/hybrid/policy/rounds.h"
#include "migration/hybrid/common/wire.h"

typedef struct HybridSrc {
    QemuMutex lock;
    QemuCond cond;

    bool active;
    bool observe;
    VMChangeStateEntry *vm_state;
    char *why_not;              /* why not active; also a refusal's text */

    /* the handoff, under lock */
    HandoffSrcState state;
    bool agreed;
    uint64_t id;                /* names the migration, see common/wire.h */
    bool peer_loaded;
    bool rp_ended;
    bool timed_out;
    bool silent;                /* the peer, while it was to answer */
    uint32_t peer_timeout_ms;   /* hybrid-peer-timeout, as told in SETTINGS */
    uint32_t peer_alive_ms;     /* the destination's own */
    int64_t heard_us;           /* the last message of the destination */
    bool deciding;              /* from the stop until GRANT or ABORT */
    uint32_t flags;             /* HYBRID_FLAG_*, what both sides know */

    /* the stop's parts; migration thread */
    int64_t synced_us;          /* RAM is synced, discards begin */
    int64_t discarded_us;       /* discards are sent */
    int64_t saved_us;           /* devices are saved */
    uint64_t discards_early;    /* pages discarded while the guest ran */
    uint64_t discards_stopped;  /* and while it stood still */

    uint32_t pong_seen;         /* last answered RTT probe */
    bool advised;               /* a plain peer has accepted ADVISE */
    bool peer_failed;           /* it has said why, which is s->error */
    uint64_t memory_needed;
    uint64_t memory_available;
    HybridTimes times;
    HybridRtt rtt;
    int64_t peer_rtt_us;        /* the least to the peer's threads; -1 */
    uint64_t pages_received;    /* the destination's own count */
    bool received_known;
    GArray *vcpu_blocked_us;    /* of uint64_t, as the destination says */

    /* the time-out of the handoff */
    QemuThread watchdog;
    bool watchdog_running;
    int64_t deadline_us;        /* 0: disarmed, the thread ends */
    int end_fd;                 /* waits for SHUT on this socket, or -1 */

    /* rounds: migration thread (appends under lock) */
    MigrationHybridPhase phase;
    HybridRounds rounds;
    GArray *records;            /* of HybridRoundRecord */
    uint32_t round;
    uint64_t tick_pages;        /* pages_total at the last tick */
    bool decided;
    bool held;                  /* decided, but the switch is not allowed */
    int64_t look_us;            /* when held: not to look again before */
    HybridAction action;
    HybridReason end_reason;
    bool completing;
    bool requests_only;
    uint32_t early_pages;       /* may be pushed all the same */
    int64_t rounds_start_us;
    int64_t round_start_us;
    uint64_t rounds_start_bytes;
    uint64_t round_start_bytes;
    uint64_t round_start_pages;
    uint64_t round_start_zero;
    uint64_t round_start_queued;    /* in the socket */

    /* throttling of vCPUs (auto-converge), integrated at every tick */
    int64_t throttle_mark_us;
    uint64_t throttled_us;

    /* pages, from two threads with a preempt channel */
    Stat64 pages_total;
    Stat64 pages_first;
    Stat64 pages_on_demand;
    Stat64 pages_pushed;
} HybridSrc;

extern HybridSrc hybrid_src;

/* Microseconds on the clock that all metrics use (monotonic) */
static inline int64_t hybrid_now_us(void)
{
    return qemu_clock_get_us(QEMU_CLOCK_REALTIME);
}

/* One step of the source's handoff, traced; hybrid_src.lock held */
bool hybrid_src_step(HandoffEvent event);

/*
 * Wait (hybrid_src.lock held) until something changes, at most @timeout_ms.
 */
void hybrid_src_wait(int timeout_ms);

/* Phase changes: event and trace */
void hybrid_set_phase(MigrationHybridPhase phase, const char *reason);

/* ---- source/timeout.c ---- */

/* What a cancel leaves to ABORT to get into the socket, on a stuck link */
#define HYBRID_ABORT_PATIENCE_US 500000

/*
 * From the stop to LOADED, in ms; what is sent while the guest stands still
 * has its own time
 */
uint64_t hybrid_src_patience_ms(void);

/*
 * As long may a destination be silent that has been given the guest, in
 * microseconds: hybrid-handoff-timeout, but never so short that its host
 * could not answer two probes in a row
 */
int64_t hybrid_src_end_patience_us(void);

/*
 * Behind GRANT: the destination need not have said all yet, it may lock its
 * memory or be busy.  As long as it, or at least its host, is heard, it is
 * not lost.  hybrid_src.lock held.
 */
bool hybrid_src_hears_peer(void);

/* The error that the time is over, for the operator */
void hybrid_src_timeout_error(Error **errp);

/*
 * Until hybrid_src_disarm() the switch has @patience_us from now; a time that
 * runs already is only shortened.  hybrid_src.lock held.
 */
void hybrid_src_arm(MigrationState *s, int64_t patience_us);

/* The time-out is of no use any more; hybrid_src.lock not held */
void hybrid_src_disarm(void);

/* Neither cancelled nor timed out, and the package is not sent yet */
bool hybrid_src_still_stopped(void);

/* destination/faults.c: the destination was found to be able to take the guest */
void hybrid_faults_begin(void);

/* A new connection: who waits is to be said again */
void hybrid_faults_recovered(MigrationIncomingState *mis);

/* Puts the vCPUs' block times into STATS */
void hybrid_faults_report(HybridMessage *m);

/* Pages are at @host now: whoever waited for them goes on */
void hybrid_faults_placed(void *host, uint64_t pages);

/*
 * source/gate.c, source, hybrid_src.lock held: is @msg to be handled?
 * No: it is ignored, or an error, with @errp set.
 */
bool hybrid_src_gate(HybridFromDst msg, Error **errp);

/* Destination: positive if @msg is to be handled, 0 ignored, else -errno */
int hybrid_dst_gate(HybridPlace place, HybridFromSrc msg);

/* destination/handoff.c: where does @msg come, in the package or outside of it? */
HybridPlace hybrid_dst_place(bool in_package, HybridFromSrc msg);

/* destination/handoff.c, for query-migrate at the destination */
void hybrid_dst_fill_info(MigrationInfo *info);

/* The source speaks the handoff protocol */

/* And @flag (HYBRID_FLAG_*) is agreed on */
bool hybrid_dst_took(uint32_t flag);

/*
 * source/start.c: a round trip, behind all that was sent, for which it waits at
 * most @patience_us; migration thread
 */
void hybrid_src_probe_rtt(MigrationState *s, uint32_t n, int64_t patience_us);

/* source/discard.c, at the destination */
int hybrid_dst_discard(HybridMessage *m);
/* Before LISTEN: nothing may be where a page is to be placed */
int hybrid_dst_drop_untouched(void);
/* The migration is over: huge pages as before */
void hybrid_dst_discards_end(void);

/*
 * source/pages.c: puts the page sizes of this side's blocks into READY, or
 * compares the peer's.  False: @errp names a block that has other pages there.
 */
void hybrid_page_sizes_put(HybridMessage *m);
bool hybrid_page_sizes_same(HybridMessage *m, Error **errp);

/* destination/load.c: can post-copy place pages in each block of memory? */
bool hybrid_load_possible(Error **errp);

/* The listen thread has ended, or never was */
void hybrid_load_cleanup(void);

/*
 * A new outgoing migration, or an attempt at one: what came in before is no
 * longer of interest, if it is over
 */
void hybrid_dst_forget(void);

/*
 * source/flow.c.  The socket below the channel of @f, -1 if there is
 * none.
 */
int hybrid_flow_socket(QEMUFile *f);

/* Source, migration thread: bytes that the main channel's socket holds */
uint64_t hybrid_flow_queued(void);

/* A new connection: a new migration's, or @again one that is recovered */
void hybrid_flow_reset(bool again);

/* Source: PLACED has come.  Return path thread. */
void hybrid_flow_peer_read(HybridMessage *m);

/* Destination: the connection is lost, another one follows; listen thread */
void hybrid_flow_recovers(void);

/*
 * Destination, post-copy: @bytes of main channel @f were read, and what is in
 * them was placed.  Says so (PLACED) when it is time.  Listen thread.
 */
void hybrid_flow_has_read(QEMUFile *f, uint64_t bytes);

/* A page was requested; any thread */
void hybrid_flow_kick(void);

/*
 * Destination, post-copy: target pages were placed.  Keeps the receive window
 * of the main channel small (see HybridWindow).  Any thread; works in the
 * listen thread only, which owns that channel.
 */
void hybrid_flow_placed(uint64_t pages);

/*
 * Before the guest is stopped: wait until what was sent has arrived, so that
 * the package does not queue behind it.  Bounded: it ends when nothing moves
 * for half a second.  Migration thread, no locks held.
 */
void hybrid_flow_drain(MigrationState *s);

/* source/devices.c.  A new migration */
void hybrid_devices_reset(void);
/*
 * The devices are saved, and while hybrid_src_requests_only() holds: send
 * what they read.  Migration thread, without the BQL.
 */
void hybrid_devices_send(MigrationState *s);
/* The next of these pages that is to be sent, if any; bitmap_mutex held */
bool hybrid_devices_pick(RAMBlock **block, unsigned long *page);

/* source/push.c.  A new migration */
void hybrid_push_reset(void);
/* @index (or HYBRID_NO_VCPU) waits for what is requested next */
void hybrid_push_vcpu(uint32_t index);
/* Pages that are pushed before GRANT; then await LOADED */
void hybrid_push_early_begin(void);

/* Pages are left, and none is to be sent until it is requested */
bool hybrid_push_idle(void);

/* NULL: nothing was pushed or requested yet */
MigrationHybridPush *hybrid_push_info(void);

/*
 * ---- common/alive.c ----
 *
 * The peer takes part in it: begin, with what it was @told_ms of our timeout
 * (source), and @peer_ms, the peer's own; end; ALIVE has come.
 */
void hybrid_alive_src_begin(uint32_t told_ms, uint32_t peer_ms);
void hybrid_alive_src_end(void);
void hybrid_alive_src_heard(HybridMessage *m);
void hybrid_alive_dst_begin(uint32_t peer_ms);
void hybrid_alive_dst_end(void);
void hybrid_alive_dst_heard(HybridMessage *m);
/* The end of the stream was read: the source has nothing more to say */
void hybrid_alive_dst_stream_ended(bool ended);

/* The timeout that is in effect, 0: none */
uint32_t hybrid_alive_src_ms(void);
uint32_t hybrid_alive_dst_ms(void);

/* The big lock, which may take long to get: in between the stream is idle */
void hybrid_src_idle_bql_lock(MigrationState *s);

/* ---- source/reason.c ---- */

/* FAILED came; hybrid_src.lock held */
void hybrid_src_peer_failed(MigrationState *s, const char *text, Error **errp);

#endif
