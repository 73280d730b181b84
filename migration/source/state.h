/*
 * Hybrid live migration, source: the migration, and what all its files use.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Locking: the source's lock protects everything in HybridSource that the
 * return path thread, the migration thread and the monitor share: the handoff
 * state and all that the messages of the destination bring.  It nests inside
 * the BQL and is never held while anything is sent or waited for (but on cond).
 * The rounds belong to the migration thread; a reader takes the lock, the
 * migration thread appends under it.
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_STATE_H
#define QEMU_MIGRATION_HYBRID_SOURCE_STATE_H

#include "qemu/osdep.h"
#include "qemu/rcu.h"
#include "qemu/stats64.h"
#include "qemu/thread.h"
#include "migration/hybrid/source/hooks.h"
#include "migration/hybrid/common/clock.h"
#include "migration/hybrid/common/wire.h"
#include "migration/hybrid/policy/metrics.h"
#include "migration/hybrid/policy/rounds.h"
#include "migration/hybrid/protocol/handoff.h"

typedef struct HybridDevices HybridDevices;
typedef struct HybridInFlight HybridInFlight;
typedef struct HybridKick HybridKick;
typedef struct HybridPageBitmap HybridPageBitmap;
typedef struct HybridPusher HybridPusher;
typedef struct HybridScanner HybridScanner;
typedef struct HybridWatch HybridWatch;

/*
 * The source's lock, for clang's thread safety analysis.  In C an attribute
 * cannot name another member of a struct, so this name, which is never
 * defined, stands for the lock of the one migration that there is.  Within a
 * function the analysis takes it for held from where it is taken first.
 */
typedef struct TSA_CAPABILITY("mutex") HybridSourceLock HybridSourceLock;
extern HybridSourceLock hybrid_source_locked;

#define HYBRID_SOURCE_GUARDED  TSA_GUARDED_BY(hybrid_source_locked)
#define HYBRID_SOURCE_LOCKED   TSA_REQUIRES(hybrid_source_locked)

/*
 * One migration, from the command (BQL) until the next one begins, which frees
 * it (RCU).  active, observe and why_not are set before others can see it.
 */
struct HybridSource {
    struct rcu_head rcu;
    QemuMutex lock;
    QemuCond cond;

    bool active;
    bool observe;
    char *why_not;              /* why not active; also a refusal's text */
    VMChangeStateEntry *vm_state;
    QEMUTimer *connect_timer;   /* main loop */

    /* what a file keeps for itself; NULL if not active */
    HybridDevices *devices;
    HybridInFlight *flow;
    HybridKick *kick;
    HybridPageBitmap *page_bitmap;
    HybridPusher *push;
    HybridScanner *scan;
    HybridWatch *watch;

    /* the handoff, under lock */
    HandoffSrcState state HYBRID_SOURCE_GUARDED;
    bool agreed;
    uint64_t id;                /* names the migration, see common/wire.h */
    bool peer_loaded HYBRID_SOURCE_GUARDED;
    bool rp_ended HYBRID_SOURCE_GUARDED;
    bool timed_out HYBRID_SOURCE_GUARDED;
    bool silent HYBRID_SOURCE_GUARDED; /* the peer, while it was to answer */
    uint32_t peer_timeout_ms;   /* hybrid-peer-timeout, as told in SETTINGS */
    uint32_t peer_alive_ms;     /* the destination's own */
    /* the last message of the destination */
    int64_t heard_us HYBRID_SOURCE_GUARDED;
    /* from the stop until GRANT or ABORT */
    bool deciding HYBRID_SOURCE_GUARDED;
    uint32_t flags;             /* HYBRID_FLAG_*, what both sides know */

    /* the stop's parts; migration thread */
    uint64_t discards_early;    /* pages discarded while the guest ran */
    uint64_t discards_stopped;  /* and while it stood still */

    bool package_sent;          /* atomic: pages are pushed from here on */
    uint32_t pong_seen HYBRID_SOURCE_GUARDED; /* last answered RTT probe */
    bool advised HYBRID_SOURCE_GUARDED; /* a plain peer has accepted ADVISE */
    /* it has said why, which is s->error */
    bool peer_failed HYBRID_SOURCE_GUARDED;
    uint64_t memory_needed;
    uint64_t memory_available;
    HybridTimes times HYBRID_SOURCE_GUARDED;
    HybridRtt rtt HYBRID_SOURCE_GUARDED;
    int64_t peer_rtt_us;        /* the least to the peer's threads; -1 */
    /* the destination's own count */
    uint64_t pages_received HYBRID_SOURCE_GUARDED;
    bool received_known HYBRID_SOURCE_GUARDED;
    /* of uint64_t, as the destination says */
    GArray *vcpu_blocked_us HYBRID_SOURCE_GUARDED;

    /* the time-out of the handoff */
    QemuThread watchdog;
    bool watchdog_running HYBRID_SOURCE_GUARDED;
    /* 0: disarmed, the thread ends */
    int64_t deadline_us HYBRID_SOURCE_GUARDED;
    int end_fd;                 /* waits for SHUT on this socket, or -1 */

    /* rounds: migration thread (appends under lock) */
    MigrationHybridPhase phase; /* atomic */
    HybridRounds rounds;
    GArray *records HYBRID_SOURCE_GUARDED; /* of HybridRoundRecord */
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
};

/*
 * The migration that goes out, or was the last to: never NULL.  If hybrid does
 * not apply, or nothing goes out, it is not active, and nothing else counts.
 * Whoever holds neither the BQL nor is a thread of the migration itself takes
 * the RCU read lock.
 */
HybridSource *hybrid_source(void);

/* A new one that is not active, for hybrid_source() to return; BQL */
HybridSource *hybrid_source_new(void);

/* Does what hybrid_source_new() has done and start.c has not undone */
void hybrid_source_destroy(HybridSource *h);

/* The lock until the end of the scope; or of the block that follows */
static inline HybridSource *TSA_ASSERT(hybrid_source_locked) TSA_NO_TSA
hybrid_source_lock(HybridSource *h)
{
    qemu_mutex_lock(&h->lock);
    return h;
}

static inline void TSA_NO_TSA hybrid_source_unlock(HybridSource **h)
{
    if (*h) {
        qemu_mutex_unlock(&(*h)->lock);
        *h = NULL;
    }
}

#define HYBRID_SOURCE_LOCK_GUARD(h)                                     \
    __attribute__((cleanup(hybrid_source_unlock), unused))              \
    HybridSource *glue(locked, __COUNTER__) = hybrid_source_lock(h)

#define WITH_HYBRID_SOURCE_LOCK(h)                                      \
    for (HybridSource *locked_                                          \
             __attribute__((cleanup(hybrid_source_unlock)))             \
             = hybrid_source_lock(h), **once_ = &locked_;               \
         once_; once_ = NULL, hybrid_source_unlock(&locked_))

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

/* The package is not sent yet, and the guest neither cancelled nor timed out */
bool hybrid_src_still_stopped(void);

#endif
