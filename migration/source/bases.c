/*
 * Hybrid live migration, source: the bases of differences (policy:
 * policy/delta.h).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * When the rounds are over, what is dirty goes to the destination as bases,
 * which it keeps aside, if the sample says that it is worth it: to guest memory
 * and to the dirty bitmaps nothing happens by that.  So all that is right
 * without it stays right: each page is still to be sent after the switch, and
 * whether as a whole or as a difference is decided by comparing it with the
 * copy.
 *
 * In the pass all belongs to the migration thread.  After it the table and the
 * copies do not change.
 */

#include "migration/hybrid/source/bases.h"
#include "qemu/cutils.h"
#include "qemu/rcu.h"
#include "exec/ramlist.h"
#include "migration/migration.h"
#include "migration/options.h"
#include "migration/qemu-file.h"
#include "migration/ram.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/common/params.h"
#include "migration/hybrid/common/point.h"
#include "migration/hybrid/common/room.h"
#include "migration/hybrid/source/block.h"

/* Bases between two looks at what else there is to do: 1 MiB, chosen */
#define HYBRID_BASES_PIECE 256

HybridDeltas *hybrid_deltas_new(void)
{
    HybridDeltas *d = g_new0(HybridDeltas, 1);

    d->worth = hybrid_worth_new();
    hybrid_shared_set(&d->decision, MIGRATION_HYBRID_DELTA_DECISION__MAX);
    return d;
}

void TSA_NO_TSA hybrid_deltas_end(HybridDeltas *d)
{
    hybrid_shared_set(&d->on, false);
    d->in_pass = false;
    hybrid_worth_end(d->worth);
    hybrid_area_destroy(&d->area);
    g_clear_pointer(&d->slots, hybrid_slots_free);
    g_clear_pointer(&d->ranges, g_array_unref);
    g_clear_pointer(&d->use, g_free);
    qatomic_set(&d->beside, 0);
    for (int i = 0; i < RAM_CHANNEL_MAX; i++) {
        g_clear_pointer(&d->out[i], g_free);
        g_clear_pointer(&d->copy[i], g_free);
    }
}

void hybrid_deltas_free(HybridDeltas *d)
{
    if (d) {
        hybrid_deltas_end(d);
        hybrid_worth_free(d->worth);
        g_free(d);
    }
}

uint32_t hybrid_deltas_wanted(HybridDeltas *d)
{
    size_t page_size = qemu_target_page_size();

    /*
     * With release-ram what was sent may be gone when it is asked for again;
     * and without looks at the dirty log nobody knows what pays.
     */
    if (page_size <= HYBRID_DELTA_PAGE_MAX && !migrate_release_ram() &&
        migrate_hybrid_hot_threshold()) {
        d->wanted = hybrid_bases_wanted(migrate_hybrid_delta_cache(),
                                        hybrid_worth_memory(), page_size);
    }
    return d->wanted;
}

void hybrid_deltas_allowed(HybridDeltas *d, uint32_t slots)
{
    d->allowed = MIN(slots, d->wanted);
}

/* ---- which pages get a base ---- */

void hybrid_deltas_look(HybridSource *h)
{
    HybridDeltas *d = h->deltas;

    if (d->allowed) {
        hybrid_worth_look(d->worth, hybrid_now_us() - h->rounds_start_us);
    }
}

static bool TSA_NO_TSA hybrid_deltas_take(RAMBlock *rb, unsigned long page,
                                          void *opaque)
{
    HybridDeltas *d = opaque;
    HybridSlotRange next = { .rb = rb }, *last = NULL;

    next.begin = hybrid_slots_add(d->slots, hybrid_block_key(rb, page));
    if (next.begin == HYBRID_SLOT_NONE) {
        return false;
    }
    if (d->ranges->len) {
        last = &g_array_index(d->ranges, HybridSlotRange, d->ranges->len - 1);
    }
    if (!last || last->rb != rb) {
        g_array_append_val(d->ranges, next);
        last = &g_array_index(d->ranges, HybridSlotRange, d->ranges->len - 1);
    }
    last->end = hybrid_slots_taken(d->slots);
    return true;
}

/*
 * What guests have claimed that come in to this host: not to be seen in what
 * it has available.
 */
static uint64_t hybrid_bases_claimed(void)
{
    HybridLedger *ledger = hybrid_ledger_open(HYBRID_LEDGER_DEFAULT_DIR, NULL);
    uint64_t bytes = UINT64_MAX;        /* others look at it all the time */

    if (hybrid_ledger_lock(ledger)) {
        bytes = hybrid_ledger_others(ledger);
        hybrid_ledger_unlock(ledger);
    }
    hybrid_ledger_close(ledger);
    return bytes;
}

/* False: there is no memory for what is small beside the bases */
static bool HYBRID_SOURCE_THREAD
hybrid_deltas_alloc(HybridDeltas *d, uint32_t slots)
{
    d->page_size = qemu_target_page_size();
    d->claimed = hybrid_bases_claimed();
    if (!hybrid_bases_have_room(0, hybrid_slots_bytes(slots) + slots,
                                hybrid_room_bytes(), d->claimed)) {
        return false;
    }
    qatomic_set(&d->beside, hybrid_slots_bytes(slots) + slots);
    qatomic_set(&d->beside_most, d->beside);
    d->slots = hybrid_slots_new(slots);
    d->use = g_try_malloc0(slots);
    d->ranges = g_array_new(false, false, sizeof(HybridSlotRange));
    for (int i = 0; i < RAM_CHANNEL_MAX; i++) {
        d->out[i] = g_malloc(HYBRID_DELTA_MAX);
        d->copy[i] = g_malloc(HYBRID_DELTA_PAGE_MAX);
    }
    return d->slots && d->use && hybrid_area_init(&d->area, slots,
                                                  d->page_size);
}

static HybridWorthAsk HYBRID_SOURCE_THREAD
hybrid_deltas_question(HybridSource *h, HybridDeltas *d, uint64_t pages)
{
    return (HybridWorthAsk) {
        .page_size = qemu_target_page_size(),
        .pages = MIN(pages, d->allowed),
        .bandwidth = hybrid_rounds_bandwidth(h->rounds),
        .spare = hybrid_rounds_resend(h->rounds),
    };
}

uint64_t hybrid_deltas_expect(HybridSource *h, uint64_t pages)
{
    HybridDeltas *d = h->deltas;
    HybridWorthAsk ask = hybrid_deltas_question(h, d, pages);
    double saved = ask.pages * hybrid_worth_saves(d->worth, &ask);

    return MAX(1, pages - MIN(pages, saved));
}

/* Would bases be worth it, of up to so many pages?  They are not sent yet */
static MigrationHybridDeltaDecision HYBRID_SOURCE_THREAD
hybrid_deltas_decide(HybridSource *h, HybridDeltas *d, uint32_t pages)
{
    HybridWorthAsk ask = hybrid_deltas_question(h, d, pages);
    const HybridWorthVerdict *v = hybrid_worth_decide(d->worth, &ask);
    HybridReason reason;

    WITH_HYBRID_SOURCE_LOCK(h) {
        reason = h->end_reason;
    }
    if (reason == HYBRID_REASON_TIME_LIMIT ||
        reason == HYBRID_REASON_BYTE_LIMIT ||
        reason == HYBRID_REASON_REQUESTED) {
        return MIGRATION_HYBRID_DELTA_DECISION_NO_TIME;
    }
    return !v->known ? MIGRATION_HYBRID_DELTA_DECISION_UNKNOWN :
           !v->worth ? MIGRATION_HYBRID_DELTA_DECISION_NOT_WORTH :
                       MIGRATION_HYBRID_DELTA_DECISION_WORTH;
}

bool hybrid_deltas_begin(HybridSource *h)
{
    HybridDeltas *d = h->deltas;
    uint32_t pages = MIN(ram_bytes_remaining() / qemu_target_page_size(),
                         d->allowed);
    MigrationHybridDeltaDecision decision;
    bool walked;
    uint32_t taken;
    int64_t patience_us;

    if (!d->allowed || d->slots || hybrid_shared_get(&d->dropped)) {
        return false;
    }
    decision = hybrid_deltas_decide(h, d, pages);
    hybrid_worth_end(d->worth);
    if (decision == MIGRATION_HYBRID_DELTA_DECISION_WORTH &&
        !hybrid_deltas_alloc(d, pages)) {
        hybrid_deltas_end(d);
        decision = MIGRATION_HYBRID_DELTA_DECISION_NO_MEMORY;
    }
    hybrid_shared_set(&d->decision, decision);
    if (decision != MIGRATION_HYBRID_DELTA_DECISION_WORTH) {
        return false;
    }
    d->version = ram_list.version;
    smp_rmb();                  /* then what is in the list */
    /* The hot ones first: if there are too few slots, others are left out */
    walked = hybrid_worth_each(d->worth, true, hybrid_deltas_take, d);
    d->hot = hybrid_slots_taken(d->slots);
    walked &= hybrid_worth_each(d->worth, false, hybrid_deltas_take, d);
    taken = hybrid_slots_taken(d->slots);
    patience_us = hybrid_bases_patience_us(taken, d->page_size,
                                           hybrid_rounds_bandwidth(h->rounds));
    trace_hybrid_delta_pass(d->hot, taken - d->hot, taken, patience_us);
    if (!taken) {
        hybrid_deltas_end(d);
        hybrid_shared_set(&d->decision, walked ?
                          MIGRATION_HYBRID_DELTA_DECISION_NOT_WORTH :
                          MIGRATION_HYBRID_DELTA_DECISION_NO_MEMORY);
        return false;
    }
    d->deadline_us = hybrid_now_us() + patience_us;
    d->in_pass = true;
    return true;
}

static void HYBRID_SOURCE_THREAD
hybrid_deltas_cut(HybridDeltas *d, MigrationHybridDeltaDecision why)
{
    d->stopped = true;          /* the bases that there are may be of use */
    hybrid_shared_set(&d->decision, why);
}

void hybrid_deltas_stop(HybridDeltas *d)
{
    hybrid_deltas_cut(d, MIGRATION_HYBRID_DELTA_DECISION_NO_TIME);
}

bool hybrid_deltas_in_pass(HybridDeltas *d)
{
    return d->in_pass;
}

/* ---- bases ---- */

/* False: the guest has it all zero, which needs no base */
static bool hybrid_base_put(HybridDeltas *d, HybridMessage *m, RAMBlock *rb,
                            uint32_t slot, uint8_t *copy)
{
    uint64_t offset = (hybrid_slots_page(d->slots, slot) <<
                       qemu_target_page_bits()) - rb->offset;

    /* The guest writes to it meanwhile: what is sent is what is kept */
    memcpy(copy, rb->host + offset, d->page_size);
    if (buffer_is_zero(copy, d->page_size)) {
        return false;
    }
    hybrid_msg_put_be32(m, slot);
    hybrid_msg_put_be32(m, 1);  /* version: no slot is used twice */
    hybrid_msg_put_text(m, rb->idstr);
    hybrid_msg_put_be64(m, offset);
    hybrid_msg_put_bytes(m, copy, d->page_size);
    d->use[slot] = HYBRID_SLOT_BASE;
    stat64_add(&d->bases, 1);
    return true;
}

/*
 * The slot that is the next to be sent.  The hot ones are the last: the
 * younger a base is, the less differs.
 */
static uint32_t HYBRID_SOURCE_THREAD hybrid_bases_next(HybridDeltas *d)
{
    uint32_t taken = hybrid_slots_taken(d->slots);

    return ((uint64_t)d->hot + d->next) % taken;
}

static RAMBlock *HYBRID_SOURCE_THREAD
hybrid_bases_block(HybridDeltas *d, uint32_t slot)
{
    HybridSlotRange *range;

    for (;; d->range = (d->range + 1) % d->ranges->len) {
        range = &g_array_index(d->ranges, HybridSlotRange, d->range);
        if (slot >= range->begin && slot < range->end) {
            return range->rb;
        }
    }
}

/* One message, as many bases as it holds; the next slot is beyond it then */
static void HYBRID_SOURCE_THREAD
hybrid_bases_message(MigrationState *s, HybridDeltas *d)
{
    HybridMessage m = hybrid_msg_new(HYBRID_MSG_BASE);
    bool any = false;

    while (d->next < hybrid_slots_taken(d->slots)) {
        uint32_t slot = hybrid_bases_next(d);
        RAMBlock *rb = hybrid_bases_block(d, slot);
        uint8_t *copy;

        if (!hybrid_msg_has_room(&m, 18 + strlen(rb->idstr) + d->page_size)) {
            break;
        }
        copy = hybrid_area_grow(&d->area, slot, d->beside, d->claimed);
        if (!copy) {
            hybrid_deltas_cut(d, MIGRATION_HYBRID_DELTA_DECISION_NO_MEMORY);
            break;
        }
        any |= hybrid_base_put(d, &m, rb, slot, copy);
        d->next++;
    }
    if (any) {
        hybrid_msg_put_to_dst(s->to_dst_file, &m);
    } else {
        hybrid_msg_free(&m);
    }
}

/* There are more to be sent */
static bool HYBRID_SOURCE_THREAD hybrid_bases_left(HybridDeltas *d)
{
    /* A block may have left with its device: no more, then */
    return d->version == ram_list.version && !d->stopped &&
           d->next < hybrid_slots_taken(d->slots);
}

bool hybrid_deltas_send(MigrationState *s)
{
    HybridDeltas *d = hybrid_source()->deltas;
    uint32_t end = d->next + HYBRID_BASES_PIECE;

    hybrid_point("src-in-bases");
    RCU_READ_LOCK_GUARD();
    while (hybrid_bases_left(d) && d->next < end &&
           !migration_rate_exceeded(s->to_dst_file) &&
           !qemu_file_get_error(s->to_dst_file)) {
        hybrid_bases_message(s, d);
    }
    if (qemu_file_get_error(s->to_dst_file)) {
        return true;
    }
    if (hybrid_shared_get(&d->dropped)) {
        trace_hybrid_delta_bases(stat64_get(&d->bases), d->next);
        hybrid_deltas_end(d);   /* ours are of no use without them */
        hybrid_shared_set(&d->decision,
                          MIGRATION_HYBRID_DELTA_DECISION_NO_MEMORY);
        return false;
    }
    if (hybrid_bases_left(d)) {
        if (hybrid_now_us() < d->deadline_us) {
            return true;
        }
        hybrid_deltas_stop(d);
    }
    trace_hybrid_delta_bases(stat64_get(&d->bases), d->next);
    d->in_pass = false;
    hybrid_shared_set(&d->on, true);
    return false;
}
