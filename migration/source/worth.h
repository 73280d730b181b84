/*
 * Hybrid live migration, source: which pages are worth a base (policy:
 * policy/worth.h).  Migration thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_WORTH_H
#define QEMU_MIGRATION_HYBRID_SOURCE_WORTH_H

#include "migration/hybrid/source/state.h"
#include "migration/hybrid/policy/worth.h"

HybridWorth *hybrid_worth_new(void);
void hybrid_worth_free(HybridWorth *w);

/* Gives the copies back: no more looks */
void hybrid_worth_end(HybridWorth *w);

/*
 * Bytes of memory that may get bases at all: not huge pages, which are placed,
 * and so sent, as a whole.
 */
uint64_t hybrid_worth_memory(void);

/*
 * In the rounds, between two pieces of work: begins a sample of what the guest
 * dirties, or compares it with what is there now, if it is time to.
 */
void HYBRID_SOURCE_THREAD hybrid_worth_look(HybridWorth *w, int64_t rounds_us);

/* The part of what @ask is about that differences would save, by now */
double HYBRID_SOURCE_THREAD
hybrid_worth_saves(HybridWorth *w, const HybridWorthAsk *ask);

/*
 * All of RAM has just been synced, @ask->pages are dirty: are there any that
 * are worth a base?  The answer is kept, and returned.
 */
const HybridWorthVerdict *HYBRID_SOURCE_THREAD
hybrid_worth_decide(HybridWorth *w, const HybridWorthAsk *ask);

/*
 * Those that are worth it, the @hot ones or all others: each is given to @take
 * until that returns false, block by block and each block in one piece.  False:
 * there was no memory to look at them.
 */
typedef bool HybridWorthTake(RAMBlock *rb, unsigned long page, void *opaque);
bool HYBRID_SOURCE_THREAD
hybrid_worth_each(HybridWorth *w, bool hot, HybridWorthTake *take,
                  void *opaque);

/* What the sample has said */
void HYBRID_SOURCE_LOCKED
hybrid_worth_info(HybridWorth *w, MigrationHybridDeltas *info);

#endif
