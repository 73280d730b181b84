/*
 * Hybrid live migration, source: differences in the stop (policy:
 * policy/in-stop.h).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Before the package a destination cannot ask for a page as a whole, as the
 * source would have to wait for that with the guest standing still.  So if a
 * page cannot be made of its difference there, the load fails, and the guest
 * goes on here.  That may come of a mistake or of broken memory.  Not of too
 * little memory: that is said by DROPPED, and the answer to a PING behind the
 * bases says that no DROPPED is on its way.
 */

#include "migration/hybrid/source/in-stop.h"
#include "qemu/lockable.h"
#include "qemu/rcu.h"
#include "exec/ramlist.h"
#include "migration/migration.h"
#include "migration/options.h"
#include "migration/qemu-file.h"
#include "migration/ram.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/source/block.h"
#include "migration/hybrid/source/delta.h"
#include "migration/hybrid/source/probe.h"
#include "migration/hybrid/policy/in-stop.h"

/* In the stream before each of them: the offset, with its flags */
#define HYBRID_IN_STOP_HEADER 8

static void hybrid_in_stop_sample(HybridDeltas *d, HybridInStopAsk *ask,
                                  uint32_t slot, const uint8_t *host)
{
    int64_t begin_ns = get_clock();
    int bytes = hybrid_delta_encode(d, RAM_CHANNEL_PRECOPY, slot, host);

    hybrid_in_stop_add(ask, HYBRID_IN_STOP_HEADER +
                       (bytes < 0 ? d->page_size : HYBRID_DELTA_HEAD + bytes),
                       get_clock() - begin_ns);
}

/* How much is dirty, with a base and without; some of it is looked at */
static void hybrid_in_stop_count(HybridDeltas *d, HybridInStopAsk *ask)
{
    unsigned bits = qemu_target_page_bits();
    uint32_t step = MAX(1, DIV_ROUND_UP(hybrid_slots_taken(d->slots),
                                        HYBRID_IN_STOP_SAMPLE));
    uint64_t dirty = ram_bytes_remaining() >> bits;
    uint32_t slot = 0;

    for (guint i = 0; i < d->ranges->len; i++) {
        HybridSlotRange *range = &g_array_index(d->ranges, HybridSlotRange, i);

        for (; slot < range->end; slot++) {
            uint64_t page = hybrid_slots_page(d->slots, slot) -
                            hybrid_block_key(range->rb, 0);

            if (qatomic_read(&d->use[slot]) == HYBRID_SLOT_BASE &&
                test_bit(page, range->rb->bmap) && !(ask->based++ % step)) {
                hybrid_in_stop_sample(d, ask, slot,
                                      range->rb->host + (page << bits));
            }
        }
    }
    ask->whole = dirty - MIN(dirty, ask->based);
}

static bool HYBRID_SOURCE_THREAD
hybrid_in_stop_fits(HybridSource *h, bool stopped, int64_t since_us)
{
    HybridDeltas *d = h->deltas;
    HybridInStopAsk ask = {
        .page_size = d->page_size,
        .bandwidth = hybrid_rounds_stop_bandwidth(h->rounds),
        .limit_us = migrate_downtime_limit() * 1000,
        .gone_us = stopped ? hybrid_now_us() - since_us : 0,
        .stopped = stopped,
    };
    HybridInStopVerdict verdict;

    WITH_HYBRID_SOURCE_LOCK(h) {
        ask.one_way_us = hybrid_rtt_one_way(&h->rtt);
    }
    WITH_RCU_READ_LOCK_GUARD() {
        if (d->version == ram_list.version) { /* else a block has left */
            hybrid_in_stop_count(d, &ask);
        }
    }
    hybrid_in_stop_judge(&ask, &verdict);
    trace_hybrid_in_stop(stopped, ask.based, ask.whole, verdict.bytes,
                         verdict.us, ask.limit_us, verdict.fits);
    return verdict.fits;
}

/* May it be at all? */
static bool HYBRID_SOURCE_THREAD
hybrid_in_stop_possible(MigrationState *s, HybridDeltas *d)
{
    /* XBZRLE has to know all that is sent before the switch */
    return hybrid_shared_get(&d->on) && !hybrid_shared_get(&d->dropped) &&
           !migrate_xbzrle() && !qatomic_read(&s->start_postcopy);
}

void hybrid_in_stop_prepare(MigrationState *s)
{
    HybridSource *h = hybrid_source();
    HybridDeltas *d = h->deltas;

    d->there = hybrid_in_stop_possible(s, d) &&
               hybrid_in_stop_fits(h, false, 0) &&
               hybrid_src_probe_rtt(s, INT64_MAX);
    HYBRID_SOURCE_LOCK_GUARD(h);
    d->there = d->there && !h->rp_ended;    /* or nobody has answered */
}

bool hybrid_in_stop_choose(MigrationState *s)
{
    HybridSource *h = hybrid_source();
    HybridDeltas *d = h->deltas;

    d->foreseen = d->there && hybrid_in_stop_possible(s, d) &&
                  hybrid_in_stop_fits(h, false, 0);
    if (d->foreseen) {
        d->decided = hybrid_shared_get(&d->decision);
        hybrid_shared_set(&d->decision,
                          MIGRATION_HYBRID_DELTA_DECISION_IN_STOP);
        HYBRID_SOURCE_LOCK_GUARD(h);
        h->action = HYBRID_ACTION_COMPLETE;
    }
    return d->foreseen;
}

bool hybrid_in_stop_begin(HybridSource *h, int64_t since_us)
{
    HybridDeltas *d = h->deltas;

    if (!d->foreseen) {
        return true;
    }
    if (!hybrid_shared_get(&d->dropped) && hybrid_in_stop_fits(h, true, since_us)) {
        hybrid_shared_set(&d->in_stop, true);
        return true;
    }
    d->foreseen = false;
    hybrid_shared_set(&d->decision, d->decided);
    hybrid_shared_set(&h->completing, false);
    HYBRID_SOURCE_LOCK_GUARD(h);
    h->action = HYBRID_ACTION_HANDOFF;
    return false;
}

void hybrid_in_stop_end(HybridSource *h)
{
    HybridDeltas *d = h->deltas;

    /* What is dirtied from now on goes behind the package, as a whole */
    hybrid_shared_set(&d->on, false);
    hybrid_shared_set(&d->in_stop, false);
    HYBRID_SOURCE_LOCK_GUARD(h);
    /* LOADED says that they are placed, and nothing is asked for again */
    d->settled = hybrid_shared_get(&d->sent);
}
