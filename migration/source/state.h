/*
 * Hybrid live migration, source: the migration, and what all its files use.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Each field has one owner, and says so: what never changes is const; the
 * source's lock guards what the messages of the destination bring and whatever
 * else threads share; what belongs to the migration thread is used by that
 * alone; the BQL guards what the main loop calls; HybridShared and Stat64 are
 * atomic.  clang's thread safety analysis checks it (tests/style/locks.py).
 *
 * The lock nests inside the BQL and is never held while anything is sent or
 * waited for (but on cond).
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_STATE_H
#define QEMU_MIGRATION_HYBRID_SOURCE_STATE_H

#include "qemu/osdep.h"
#include "qemu/rcu.h"
#include "qemu/stats64.h"
#include "qemu/thread.h"
#include "migration/hybrid/source/hooks.h"
#include "migration/hybrid/common/bql.h"
#include "migration/hybrid/common/clock.h"
#include "migration/hybrid/common/guard.h"
#include "migration/hybrid/common/shared.h"
#include "migration/hybrid/common/wire.h"
#include "migration/hybrid/policy/metrics.h"
#include "migration/hybrid/policy/rounds.h"
#include "migration/hybrid/protocol/handoff.h"

typedef struct HybridDeltas HybridDeltas;
typedef struct HybridDevices HybridDevices;
typedef struct HybridInFlight HybridInFlight;
typedef struct HybridKick HybridKick;
typedef struct HybridPageBitmap HybridPageBitmap;
typedef struct HybridPusher HybridPusher;
typedef struct HybridScanner HybridScanner;
typedef struct HybridWatch HybridWatch;
typedef struct HybridWorth HybridWorth;

/* The lock of the one migration that there is */
HYBRID_LOCK_NAME(hybrid_source);

#define HYBRID_SOURCE_GUARDED  TSA_GUARDED_BY(hybrid_source_locked)
#define HYBRID_SOURCE_LOCKED   TSA_REQUIRES(hybrid_source_locked)

/*
 * The migration thread, in the same way: a role.  A hook that only it calls
 * takes the role by hybrid_source_in_thread(), which also looks whether that
 * is true; then its functions (HYBRID_SOURCE_THREAD) may use what is its own.
 */
HYBRID_CAPABILITY("role", hybrid_source_thread);

#define HYBRID_SOURCE_OWNED    TSA_GUARDED_BY(hybrid_source_thread)
#define HYBRID_SOURCE_THREAD   TSA_REQUIRES(hybrid_source_thread)

static inline void TSA_ASSERT(hybrid_source_thread) TSA_NO_TSA
hybrid_source_in_thread(void)
{
    assert(migration_thread_is_self());
}

/*
 * One migration, from the command (BQL) until the next one begins, which frees
 * it (RCU).
 */
struct HybridSource {
    struct rcu_head rcu;
    QemuMutex lock;
    QemuCond cond;

    /* as it was decided when it began */
    const bool active;
    const bool observe;
    const bool refused;         /* no migration at all: the command was */

    /* why not active; also a refusal's text */
    char *why_not HYBRID_SOURCE_GUARDED;
    /* what it reports when it is over: made at its end */
    MigrationHybridInfo *record HYBRID_SOURCE_GUARDED;

    /* until the end, if active */
    VMChangeStateEntry *vm_state HYBRID_BQL_GUARDED;
    QEMUTimer *connect_timer HYBRID_BQL_GUARDED;
    /*
     * What a file keeps for itself, with owners of its own.  The pointers are
     * set before others see the migration; they are NULL if it is not active
     * and at the end, when its threads have been joined.
     */
    HybridDeltas *deltas;
    HybridDevices *devices;
    HybridInFlight *flow;
    HybridKick *kick;
    HybridPageBitmap *page_bitmap;
    HybridPusher *push;
    HybridScanner *scan;
    HybridWatch *watch;

    /* the handoff */
    HandoffSrcState state HYBRID_SOURCE_GUARDED;
    HybridShared agreed;        /* set under the lock */
    HybridShared offered;       /* HYBRID_FLAG_*, by SETTINGS */
    HybridShared flags;         /* of these, what both sides know */
    /* names the migration, see protocol/messages.h */
    uint64_t id HYBRID_SOURCE_OWNED;
    bool peer_loaded HYBRID_SOURCE_GUARDED;
    bool rp_ended HYBRID_SOURCE_GUARDED;
    bool timed_out HYBRID_SOURCE_GUARDED;
    bool silent HYBRID_SOURCE_GUARDED; /* the peer, while it was to answer */
    /* hybrid-peer-timeout, as told in SETTINGS; the destination's own */
    uint32_t peer_timeout_ms HYBRID_SOURCE_OWNED;
    uint32_t peer_alive_ms HYBRID_SOURCE_GUARDED;
    /* the last message of the destination */
    int64_t heard_us HYBRID_SOURCE_GUARDED;
    /* from the stop until GRANT or ABORT */
    bool deciding HYBRID_SOURCE_GUARDED;

    /* pages discarded while the guest ran, and while it stood still */
    Stat64 discards_early;
    Stat64 discards_stopped;

    bool discards_begun HYBRID_SOURCE_OWNED; /* before the stop */
    HybridShared package_sent;  /* pages are pushed from here on */
    uint32_t probes HYBRID_SOURCE_GUARDED;  /* of the round trip, so far */
    uint32_t pong_seen HYBRID_SOURCE_GUARDED; /* the last one's answer */
    bool advised HYBRID_SOURCE_GUARDED; /* a plain peer has accepted ADVISE */
    /* it has said why, which is s->error */
    bool peer_failed HYBRID_SOURCE_GUARDED;
    uint64_t memory_needed HYBRID_SOURCE_GUARDED;
    uint64_t memory_available HYBRID_SOURCE_GUARDED;
    HybridTimes times HYBRID_SOURCE_GUARDED;
    HybridRtt rtt HYBRID_SOURCE_GUARDED;
    /* the least to the peer's threads; -1 */
    int64_t peer_rtt_us HYBRID_SOURCE_OWNED;
    /* the destination's own count */
    uint64_t pages_received HYBRID_SOURCE_GUARDED;
    bool received_known HYBRID_SOURCE_GUARDED;
    /* of uint64_t, as the destination says */
    GArray *vcpu_blocked_us HYBRID_SOURCE_GUARDED;

    /* the time-out of the handoff; who disarms it joins the thread */
    QemuThread watchdog;
    bool watchdog_running HYBRID_SOURCE_GUARDED;
    /* 0: disarmed, the thread ends */
    int64_t deadline_us HYBRID_SOURCE_GUARDED;
    /* waits for SHUT on this socket, or -1 */
    int end_fd HYBRID_SOURCE_GUARDED;

    /* the rounds: what others see of them */
    HybridShared phase;         /* MigrationHybridPhase */
    HybridShared round;
    /* as precopy; set before the stop, in it no more than taken back */
    HybridShared completing;
    HybridShared requests_only;
    GArray *records HYBRID_SOURCE_GUARDED; /* of HybridRoundRecord */
    bool decided HYBRID_SOURCE_GUARDED;
    HybridAction action HYBRID_SOURCE_GUARDED;
    HybridReason end_reason HYBRID_SOURCE_GUARDED;
    /* of vCPUs (auto-converge), integrated at every tick */
    uint64_t throttled_us HYBRID_SOURCE_GUARDED;

    /* and what they do not */
    HybridRounds *rounds HYBRID_SOURCE_OWNED;
    /* that this thread has sent, on the main channel therefore */
    uint64_t pages_main HYBRID_SOURCE_OWNED;
    /* pages_total at the last tick */
    uint64_t tick_pages HYBRID_SOURCE_OWNED;
    /* decided, but the switch is not allowed */
    bool held HYBRID_SOURCE_OWNED;
    /* when held: not to look again before */
    int64_t look_us HYBRID_SOURCE_OWNED;
    /* may be pushed although requests_only */
    uint32_t early_pages HYBRID_SOURCE_OWNED;
    int64_t rounds_start_us HYBRID_SOURCE_OWNED;
    int64_t round_start_us HYBRID_SOURCE_OWNED;
    uint64_t rounds_start_bytes HYBRID_SOURCE_OWNED;
    uint64_t round_start_bytes HYBRID_SOURCE_OWNED;
    uint64_t round_start_pages HYBRID_SOURCE_OWNED;
    uint64_t round_start_zero HYBRID_SOURCE_OWNED;
    /* in the socket */
    uint64_t round_start_queued HYBRID_SOURCE_OWNED;
    int64_t throttle_mark_us HYBRID_SOURCE_OWNED;

    /* pages, from two threads with a preempt channel */
    Stat64 pages_total;
    Stat64 pages_first;
    Stat64 pages_on_demand;
    Stat64 pages_pushed;
};

/*
 * The migration that goes out, or was the last to: never NULL.  If hybrid does
 * not apply, or nothing goes out, it is not active, and nothing else counts.
 * Whoever holds neither the BQL nor is a thread of the migration itself takes
 * the RCU read lock.
 */
HybridSource *hybrid_source(void);

/* What becomes of a migrate command */
typedef enum {
    HYBRID_SOURCE_PLAIN,        /* an ordinary migration */
    HYBRID_SOURCE_OBSERVE,      /* the same, with the rounds looked at */
    HYBRID_SOURCE_HYBRID,
    HYBRID_SOURCE_REFUSED,      /* none */
} HybridSourceKind;

/* A new one, for hybrid_source() to return; @why_not: if not active */
HybridSource *hybrid_source_new(HybridSourceKind kind, const char *why_not);

/* Does what hybrid_source_new() has done and start.c has not undone */
void hybrid_source_destroy(HybridSource *h);

/* The lock until the end of the scope; or of the block that follows */
HYBRID_LOCK_OF(HybridSource, hybrid_source)
#define HYBRID_SOURCE_LOCK_GUARD(h) HYBRID_LOCK_GUARD(hybrid_source, h)
#define WITH_HYBRID_SOURCE_LOCK(h)  WITH_HYBRID_LOCK(hybrid_source, h)

/* One step of the handoff, traced; lock held */
bool HYBRID_SOURCE_LOCKED hybrid_src_step(HybridSource *h, HandoffEvent event);

/* Wait, lock held, until something changes, at most @timeout_ms */
void HYBRID_SOURCE_LOCKED hybrid_src_wait(HybridSource *h, int timeout_ms);

/* One of the migration's times (of HybridTimes) is now.  Lock not held. */
#define hybrid_src_stamp(h, field)                                      \
    do {                                                                \
        WITH_HYBRID_SOURCE_LOCK(h) {                                    \
            (h)->times.field = hybrid_now_us();                         \
        }                                                               \
    } while (0)

/* Phase changes: event and trace.  Lock not held. */
void hybrid_set_phase(HybridSource *h, MigrationHybridPhase phase,
                      const char *reason);

/* Neither direction of the main connection is known to be broken */
bool HYBRID_SOURCE_LOCKED
hybrid_src_stream_ok(MigrationState *s, HybridSource *h);

/* The package is not sent yet, and the guest neither cancelled nor timed out */
bool hybrid_src_still_stopped(void);

#endif
