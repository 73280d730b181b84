/*
 * Hybrid live migration, destination: the migration, and what all its files
 * use.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_DESTINATION_STATE_H
#define QEMU_MIGRATION_HYBRID_DESTINATION_STATE_H

#include "qemu/osdep.h"
#include "qapi/qapi-types-run-state.h"
#include "qemu/notify.h"
#include "qemu/rcu.h"
#include "qemu/stats64.h"
#include "qemu/thread.h"
#include "migration/hybrid/destination/hooks.h"
#include "migration/hybrid/destination/host.h"
#include "migration/hybrid/common/bql.h"
#include "migration/hybrid/common/clock.h"
#include "migration/hybrid/common/guard.h"
#include "migration/hybrid/common/shared.h"
#include "migration/hybrid/common/wire.h"
#include "migration/hybrid/protocol/handoff.h"
#include "migration/hybrid/protocol/misfits.h"
#include "system/runstate.h"

typedef struct HybridDestination HybridDestination;
typedef struct HybridBases HybridBases;
typedef struct HybridFaults HybridFaults;
typedef struct HybridLoad HybridLoad;
typedef struct HybridReading HybridReading;
typedef struct HybridWatcher HybridWatcher;

/* The lock of the one migration that there is */
HYBRID_LOCK_NAME(hybrid_destination);

#define HYBRID_DESTINATION_GUARDED TSA_GUARDED_BY(hybrid_destination_locked)
#define HYBRID_DESTINATION_LOCKED  TSA_REQUIRES(hybrid_destination_locked)

/*
 * The listen thread, which reads the main channel in postcopy: a role, as the
 * migration thread at the source.  Others come before it and when it has ended.
 */
HYBRID_CAPABILITY("role", hybrid_listen_thread);

#define HYBRID_LISTEN_OWNED    TSA_GUARDED_BY(hybrid_listen_thread)
#define HYBRID_LISTEN_THREAD   TSA_REQUIRES(hybrid_listen_thread)

void TSA_ASSERT(hybrid_listen_thread) hybrid_dst_in_listen_thread(void);

/*
 * One migration, from its first connection until another one goes out of this
 * QEMU.  Made and freed (RCU) with the BQL held.
 *
 * Each field has one owner, see source/state.h.  Until the package is loaded
 * the stream is read in the main loop, with the BQL; what only that uses, and
 * the end, is guarded by the BQL.
 */
struct HybridDestination {
    struct rcu_head rcu;
    /*
     * What a file keeps for itself, with owners of its own.  The pointers are
     * set before any other thread of the migration begins.
     */
    HybridBases *bases;
    HybridFaults *faults;
    HybridLoad *load;
    HybridReading *reading;
    HybridWatcher *watch;

    /*
     * Taken inside of rp_mutex, by a thread whose message could not be sent:
     * so it is never held while one is.
     */
    QemuMutex lock;
    HandoffDstState state HYBRID_DESTINATION_GUARDED;
    HybridShared agreed;        /* set under the lock */
    bool plain HYBRID_DESTINATION_GUARDED; /* what came first was no hello */
    /* and not broken yet */
    bool channel_lost HYBRID_DESTINATION_GUARDED;
    HybridShared flags;         /* HYBRID_FLAG_*, agreed on */
    /* of the migration, from SETTINGS */
    uint64_t id HYBRID_DESTINATION_GUARDED;
    /* the package has come; for the trace */
    int64_t package_us HYBRID_DESTINATION_GUARDED;
    /* LOADED is sent; the GRANT that counts has come */
    int64_t loaded_us HYBRID_DESTINATION_GUARDED;
    int64_t grant_us HYBRID_DESTINATION_GUARDED;
    VMChangeStateEntry *vm_state HYBRID_BQL_GUARDED;
    /* why this QEMU ends, if it does */
    Notifier quit;
    ShutdownCause quit_cause HYBRID_BQL_GUARDED;
    bool started HYBRID_DESTINATION_GUARDED; /* @start has run */
    /* the vCPUs started first, -1: they did not */
    int64_t running_us HYBRID_DESTINATION_GUARDED;
    /* RUNNING with vCPUs running was sent */
    bool running_said HYBRID_DESTINATION_GUARDED;
    QEMUBHFunc *start HYBRID_DESTINATION_GUARDED;
    QemuEvent started_event;
    /* says RUNNING until all is cleaned up; who does that joins it */
    QemuThread ending;
    QemuSemaphore ending_done;
    bool ending_runs HYBRID_DESTINATION_GUARDED;
    HybridHostAnswer memory HYBRID_DESTINATION_GUARDED;
    char *refusal HYBRID_DESTINATION_GUARDED;
    /* what is wrong with the stream's header, and with its sections */
    char *unfit HYBRID_BQL_GUARDED;
    HybridMisfits misfits HYBRID_BQL_GUARDED;
    HybridMisfits misfit_blocks HYBRID_BQL_GUARDED; /* the guest's memory */
    int announced HYBRID_BQL_GUARDED;   /* messages of SECTIONS and BLOCKS */
    HybridLedger *ledger HYBRID_DESTINATION_GUARDED;
    /* our memory, once all has come */
    uint64_t ledger_base HYBRID_DESTINATION_GUARDED;
    /* huge pages are kept off, and what is missing was dropped */
    bool small_pages HYBRID_BQL_GUARDED;
    bool never_huge HYBRID_BQL_GUARDED; /* they are, for want of memory */
    HybridShared finished;      /* no thread of it uses this any more */
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
HYBRID_LOCK_OF(HybridDestination, hybrid_destination)
#define HYBRID_DESTINATION_LOCK_GUARD(h) \
    HYBRID_LOCK_GUARD(hybrid_destination, h)
#define WITH_HYBRID_DESTINATION_LOCK(h) WITH_HYBRID_LOCK(hybrid_destination, h)

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
