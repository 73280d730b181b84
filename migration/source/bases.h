/*
 * Hybrid live migration, source: the bases of differences (policy:
 * policy/delta.h), and what is known of them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_BASES_H
#define QEMU_MIGRATION_HYBRID_SOURCE_BASES_H

#include "migration/hybrid/source/state.h"
#include "exec/ramblock.h"
#include "exec/target_page.h"
#include "migration/postcopy-ram.h"
#include "migration/hybrid/common/area.h"
#include "migration/hybrid/policy/delta.h"
#include "migration/hybrid/source/worth.h"

/* What became of a slot's base */
enum {
    HYBRID_SLOT_EMPTY,          /* not sent */
    HYBRID_SLOT_BASE,
    HYBRID_SLOT_DELTA,          /* a difference was sent */
    HYBRID_SLOT_USED,           /* the whole page was */
};

/* Slots that follow each other and belong to one block */
typedef struct HybridSlotRange {
    RAMBlock *rb;
    uint32_t begin, end;
} HybridSlotRange;

struct HybridDeltas {
    HybridWorth *worth;
    uint32_t wanted;            /* slots; by SETTINGS */
    uint32_t allowed;           /* by READY */
    HybridShared decision;      /* MigrationHybridDeltaDecision; _MAX: none */
    HybridShared on;            /* differences may be sent */
    HybridShared dropped;       /* the destination has given up the bases */

    /* the stop, see in-stop.c */
    HybridShared in_stop;       /* they are sent in it */
    bool there HYBRID_SOURCE_OWNED; /* nothing of them is on its way */
    bool foreseen HYBRID_SOURCE_OWNED;
    MigrationHybridDeltaDecision decided HYBRID_SOURCE_OWNED; /* otherwise */

    /* the pass; afterwards nothing of it changes */
    HybridSlots *slots;
    GArray *ranges;             /* of HybridSlotRange, ascending */
    HybridArea area;
    uint8_t *use;               /* of each slot; see the file's head */
    size_t beside;              /* bytes of slots and use; atomic */
    size_t beside_most;         /* atomic */
    uint64_t claimed HYBRID_SOURCE_OWNED;   /* by guests that come in here */
    size_t page_size;
    /* each thread's, that sends: a difference, and what it is made of */
    uint8_t *out[RAM_CHANNEL_MAX];
    uint8_t *copy[RAM_CHANNEL_MAX];
    bool in_pass HYBRID_SOURCE_OWNED;
    bool stopped HYBRID_SOURCE_OWNED;   /* before its end */
    uint32_t hot HYBRID_SOURCE_OWNED;   /* the first slots, sent last */
    uint32_t next HYBRID_SOURCE_OWNED;  /* slots that have been seen to */
    guint range HYBRID_SOURCE_OWNED;    /* of the last slot, or before it */
    int64_t deadline_us HYBRID_SOURCE_OWNED;
    /* of the list of blocks that ranges is of */
    uint32_t version HYBRID_SOURCE_OWNED;

    /* are all placed? */
    HybridShared sent;
    HybridShared asked;         /* that we asked for */
    int64_t asked_us HYBRID_SOURCE_OWNED;
    uint32_t settled HYBRID_SOURCE_GUARDED;

    Stat64 bases;
    Stat64 bytes;
    Stat64 current;
    Stat64 whole;
    Stat64 refused;
    Stat64 time_ns;
};

HybridDeltas *hybrid_deltas_new(void);
void hybrid_deltas_free(HybridDeltas *d);

/* SETTINGS: the slots that we would like, 0: none; READY: those we may use */
uint32_t hybrid_deltas_wanted(HybridDeltas *d);
void hybrid_deltas_allowed(HybridDeltas *d, uint32_t slots);

/*
 * In the rounds, between two pieces of work: finds out whether differences
 * would be small.  Not after hybrid_deltas_begin().
 */
void HYBRID_SOURCE_THREAD hybrid_deltas_look(HybridSource *h);

/*
 * If @pages were left, and handed over now: how many pages what would be sent
 * then amounts to, if differences are worth it.  1 at least.
 */
uint64_t HYBRID_SOURCE_THREAD
hybrid_deltas_expect(HybridSource *h, uint64_t pages);

/*
 * The rounds are over by a handoff, all of RAM has just been synced: is there
 * anything that is worth a base?  Then hybrid_deltas_send() sends some of
 * them each time, until it returns false: the pass is over.  Migration thread;
 * the second one uses the stream.  All that ends a migration is looked at in
 * between, as it is between two pieces of a round.
 */
bool HYBRID_SOURCE_THREAD hybrid_deltas_begin(HybridSource *h);
bool HYBRID_SOURCE_THREAD hybrid_deltas_send(MigrationState *s);

/* hybrid_deltas_begin() has returned true, and the pass is not over */
bool HYBRID_SOURCE_THREAD hybrid_deltas_in_pass(HybridDeltas *d);

/* A bound of the rounds is reached, or the operator does not wait: no more */
void HYBRID_SOURCE_THREAD hybrid_deltas_stop(HybridDeltas *d);

/* No thread sends any more */
void hybrid_deltas_end(HybridDeltas *d);

#endif
