/*
 * Hybrid live migration, destination: the migration, and what all its files
 * use.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_DESTINATION_STATE_H
#define QEMU_MIGRATION_HYBRID_DESTINATION_STATE_H

#include "qemu/osdep.h"
#include "qemu/rcu.h"
#include "qemu/stats64.h"
#include "qemu/thread.h"
#include "migration/hybrid/destination/hooks.h"
#include "migration/hybrid/destination/host.h"
#include "migration/hybrid/common/clock.h"
#include "migration/hybrid/common/wire.h"
#include "migration/hybrid/protocol/handoff.h"
#include "migration/hybrid/protocol/sections.h"
#include "system/runstate.h"

typedef struct HybridDestination HybridDestination;
typedef struct HybridFaults HybridFaults;
typedef struct HybridLoad HybridLoad;
typedef struct HybridReading HybridReading;
typedef struct HybridWatcher HybridWatcher;

/*
 * The destination's lock, for clang's thread safety analysis; see
 * HybridSourceLock in source/state.h for what it can and cannot say.
 */
typedef struct TSA_CAPABILITY("mutex") HybridDestinationLock
    HybridDestinationLock;
extern HybridDestinationLock hybrid_destination_locked;

#define HYBRID_DESTINATION_GUARDED TSA_GUARDED_BY(hybrid_destination_locked)
#define HYBRID_DESTINATION_LOCKED  TSA_REQUIRES(hybrid_destination_locked)

/*
 * One migration, from its first connection until another one goes out of this
 * QEMU.  Made and freed (RCU) with the BQL held.
 */
struct HybridDestination {
    struct rcu_head rcu;
    /* what a file keeps for itself */
    HybridFaults *faults;
    HybridLoad *load;
    HybridReading *reading;
    HybridWatcher *watch;

    /*
     * For state, start, running_said and what says so below.  Taken inside of
     * rp_mutex, by a thread whose message could not be sent: so it is never
     * held while one is.
     */
    QemuMutex lock;
    HandoffDstState state HYBRID_DESTINATION_GUARDED;
    bool agreed;
    bool plain HYBRID_DESTINATION_GUARDED; /* what came first was no hello */
    /* and not broken yet; under lock */
    bool channel_lost HYBRID_DESTINATION_GUARDED;
    uint32_t flags;             /* HYBRID_FLAG_*, agreed on */
    uint64_t id;                /* of the migration, from SETTINGS */
    int64_t package_us;         /* the package has come; for the trace */
    int64_t loaded_us;          /* LOADED is sent */
    int64_t grant_us;           /* the GRANT that counts has come */
    VMChangeStateEntry *vm_state;
    bool started HYBRID_DESTINATION_GUARDED; /* @start has run */
    int64_t running_us;         /* the vCPUs started first, -1: they did not */
    /* RUNNING with vCPUs running was sent */
    bool running_said HYBRID_DESTINATION_GUARDED;
    QEMUBHFunc *start HYBRID_DESTINATION_GUARDED;
    QemuEvent started_event;
    QemuThread ending;          /* says RUNNING until all is cleaned up */
    QemuSemaphore ending_done;
    bool ending_runs;
    HybridHostAnswer memory;
    char *refusal HYBRID_DESTINATION_GUARDED;
    char *unfit;                /* what is wrong with the stream's header */
    HybridMisfits misfits;      /* and with its sections */
    HybridLedger *ledger HYBRID_DESTINATION_GUARDED; /* under lock */
    uint64_t ledger_base;       /* our memory, once all has come */
    bool small_pages;           /* huge pages are kept off; listen thread */
    bool finished;              /* atomic: no thread of it uses this any more */
    Stat64 received;            /* target pages */
};

/*
 * The migration that comes in, or came: never NULL.  If nothing has come yet,
 * as in a QEMU that loads a snapshot, it is one that has agreed on nothing and
 * that nobody changes, see hybrid_destination_is_any().
 */
HybridDestination *hybrid_destination(void);
bool hybrid_destination_is_any(void);

/* A new one, for hybrid_destination() to return; and the end of one */
HybridDestination *hybrid_destination_new(void);
void hybrid_destination_destroy(HybridDestination *h);

/* @h, or NULL, is the one that counts from now on */
void hybrid_destination_set(HybridDestination *h);

/* The lock until the end of the scope; or of the block that follows */
static inline HybridDestination *
TSA_ASSERT(hybrid_destination_locked) TSA_NO_TSA
hybrid_destination_lock(HybridDestination *h)
{
    qemu_mutex_lock(&h->lock);
    return h;
}

static inline void TSA_NO_TSA hybrid_destination_unlock(HybridDestination **h)
{
    if (*h) {
        qemu_mutex_unlock(&(*h)->lock);
        *h = NULL;
    }
}

#define HYBRID_DESTINATION_LOCK_GUARD(h)                                \
    __attribute__((cleanup(hybrid_destination_unlock), unused))         \
    HybridDestination *glue(locked, __COUNTER__) =                      \
        hybrid_destination_lock(h)

#define WITH_HYBRID_DESTINATION_LOCK(h)                                 \
    for (HybridDestination *locked_                                     \
             __attribute__((cleanup(hybrid_destination_unlock)))        \
             = hybrid_destination_lock(h), **once_ = &locked_;          \
         once_; once_ = NULL, hybrid_destination_unlock(&locked_))

/* One step of the handoff, traced; lock held */
bool HYBRID_DESTINATION_LOCKED
hybrid_dst_step(HybridDestination *h, HandoffEvent event);

/* Where the time of the stop goes: since the package has come; for the trace */
void hybrid_dst_mark(const char *step);

/* And @flag (HYBRID_FLAG_*) is agreed on */
bool hybrid_dst_took(uint32_t flag);

/* To the source, traced; ends @m.  No lock but the BQL may be held. */
void hybrid_dst_send(MigrationIncomingState *mis, HybridMessageKind kind,
                     HybridMessage *m);

#endif
