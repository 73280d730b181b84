/*
 * Hybrid live migration, destination: pages that come as differences (policy:
 * policy/delta.h).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Bases come while the guest still runs at the source, and are kept aside.
 * Afterwards a page is made from its base and the difference, checked, and
 * placed like any other.  In the stop of a migration that completes as precopy
 * it is written, or else the load fails.  After the switch, if anything is
 * wrong with a page, all bases are given up
 * (what is wrong with one may be wrong with others), and the source is asked
 * for whole pages: nothing is placed that was not checked.  In a pause their
 * memory is given back, but not its addresses: whoever still looks finds
 * zeroes, and no version that is one.
 *
 * The main thread writes bases, before the threads that load pages are there.
 * With a preempt channel these are two, which never have the same page.
 */

#include "migration/hybrid/destination/state.h"
#include <zlib.h>
#include "qemu/error-report.h"
#include "qemu/memalign.h"
#include "qemu/rcu.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "exec/target_page.h"
#include "migration/migration.h"
#include "migration/postcopy-ram.h"
#include "migration/qemu-file.h"
#include "migration/ram.h"
#include "migration/xbzrle.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/common/area.h"
#include "migration/hybrid/common/room.h"
#include "migration/hybrid/destination/delta.h"
#include "migration/hybrid/policy/delta.h"

struct HybridBases {
    uint32_t slots;             /* that we have announced */
    size_t page_size;
    HybridArea area;
    HybridArea what;            /* is in each slot: a HybridBase */
    /* Each thread's: what comes, and the page that is made of it */
    uint8_t *in[RAM_CHANNEL_MAX];
    uint8_t *made[RAM_CHANNEL_MAX];
    HybridShared off;           /* given up */
    uint64_t others;            /* have claimed, when last seen; main thread */

    HybridShared done;          /* placed, or asked for again */
    HybridShared asked;         /* to be said when so many are */

    Stat64 kept;
    Stat64 placed;
    Stat64 bytes;
    Stat64 current;
    Stat64 refused;
    Stat64 time_ns;
};

HybridBases *hybrid_bases_new(void)
{
    return g_new0(HybridBases, 1);
}

static void hybrid_bases_unmap(HybridBases *b)
{
    hybrid_area_destroy(&b->area);
    hybrid_area_destroy(&b->what);
    for (int i = 0; i < RAM_CHANNEL_MAX; i++) {
        g_clear_pointer(&b->made[i], qemu_vfree);
    }
}

void hybrid_bases_free(HybridBases *b)
{
    if (b) {
        hybrid_bases_unmap(b);
        for (int i = 0; i < RAM_CHANNEL_MAX; i++) {
            g_free(b->in[i]);
        }
        g_free(b);
    }
}

static uint64_t hybrid_bases_memory(const HybridBases *b)
{
    return qatomic_read(&b->area.bytes) + qatomic_read(&b->what.bytes);
}

void hybrid_bases_release(HybridDestination *h)
{
    HybridBases *b = h->bases;
    uint64_t bytes = hybrid_bases_memory(b);

    hybrid_shared_set(&b->off, true);
    hybrid_area_empty(&b->area);
    hybrid_area_empty(&b->what);
    HYBRID_DESTINATION_LOCK_GUARD(h);
    h->ledger_base -= MIN(h->ledger_base, bytes);
}

void hybrid_bases_pause(HybridDestination *h)
{
    hybrid_bases_release(h);
    hybrid_shared_set(&h->bases->asked, 0);
}

/* False: another QEMU looks at the ledger just now */
static bool hybrid_bases_see_others(HybridDestination *h)
{
    HYBRID_DESTINATION_LOCK_GUARD(h);
    if (!hybrid_ledger_try_lock(h->ledger)) {
        return false;
    }
    h->bases->others = hybrid_ledger_others(h->ledger);
    hybrid_ledger_unlock(h->ledger);
    return true;
}

/*
 * Memory that is spoken for: what is to come of this guest, and of others.
 * The main loop does not wait for what others have claimed, and the alive
 * thread needs our lock: it is what was seen last, then.
 */
static uint64_t hybrid_bases_reserved(HybridDestination *h)
{
    uint64_t rss = hybrid_host_rss();

    hybrid_bases_see_others(h);
    HYBRID_DESTINATION_LOCK_GUARD(h);
    return h->ledger_base - MIN(h->ledger_base, rss) + h->bases->others;
}

/* All that is needed for so many slots.  False: there is no memory for it. */
static bool hybrid_bases_alloc(HybridBases *b)
{
    bool all = hybrid_area_init(&b->area, b->slots, b->page_size) &&
               hybrid_area_init(&b->what, b->slots, sizeof(HybridBase));

    for (int i = 0; all && i < RAM_CHANNEL_MAX; i++) {
        b->made[i] = qemu_try_memalign(b->page_size, b->page_size);
        b->in[i] = b->in[i] ?: g_try_malloc(HYBRID_DELTA_MAX);
        all = b->made[i] && b->in[i];
    }
    if (!all) {
        hybrid_bases_unmap(b);
    }
    return all;
}

uint32_t hybrid_bases_allow(HybridDestination *h, uint32_t wanted)
{
    HybridBases *b = h->bases;

    b->page_size = qemu_target_page_size();
    for (int tries = 1; !hybrid_bases_see_others(h); tries++) {
        if (tries > HYBRID_LEDGER_PATIENCE_MS) {
            return 0;
        }
        g_usleep(1000);
    }
    if (b->page_size > HYBRID_DELTA_PAGE_MAX) {
        return 0;
    }
    /* The source has the same bound, but that is its word */
    wanted = MIN(wanted, hybrid_bases_wanted(UINT64_MAX, ram_bytes_total(),
                                             b->page_size));
    b->slots = hybrid_bases_offer(wanted, b->page_size + sizeof(HybridBase),
                                  hybrid_room_bytes(),
                                  hybrid_bases_reserved(h));
    /* Now, where the source hears of it: later each page would be refused */
    while (b->slots && !hybrid_bases_alloc(b)) {
        b->slots /= 2;
    }
    return b->slots;
}

/*
 * Where the base of @slot is kept.  NULL: there is no memory for it, and none
 * is kept, or to be kept, from now on.  Memory is claimed when it is taken:
 * what was offered may never be asked for, and is not withheld from others.
 */
static uint8_t *hybrid_base_place(HybridDestination *h, HybridBases *b,
                                  uint32_t slot)
{
    uint64_t reserved, had = hybrid_bases_memory(b);
    uint8_t *at;

    if (hybrid_shared_get(&b->off)) {
        return NULL;
    }
    if (hybrid_area_has(&b->area, slot) && hybrid_area_has(&b->what, slot)) {
        return hybrid_area_at(&b->area, slot);
    }
    reserved = hybrid_bases_reserved(h);
    at = hybrid_area_grow(&b->area, slot, b->what.bytes, reserved);
    if (at && !hybrid_area_grow(&b->what, slot, b->area.bytes, reserved)) {
        at = NULL;
    }
    WITH_HYBRID_DESTINATION_LOCK(h) {
        h->ledger_base += hybrid_bases_memory(b) - had;
    }
    if (!at) {
        HybridMessage m = hybrid_msg_new(HYBRID_MSG_DROPPED);

        hybrid_bases_release(h);
        hybrid_dst_send(migration_incoming_get_current(), HYBRID_MSG_DROPPED,
                        &m);
    }
    return at;
}

/* What lies in @slot, or NULL if nothing can */
static HybridBase *hybrid_base_in(const HybridBases *b, uint32_t slot)
{
    return slot < b->slots && hybrid_area_has(&b->what, slot) ?
           (HybridBase *)hybrid_area_at(&b->what, slot) : NULL;
}

/* Pages are known by their addresses among all blocks */
static uint64_t hybrid_base_key(RAMBlock *rb, uint64_t offset)
{
    return (rb->offset + offset) >> qemu_target_page_bits();
}

/* Such a page may be placed by itself */
static bool hybrid_base_may_be(RAMBlock *rb, uint64_t offset, uint64_t length,
                               size_t page_size)
{
    return rb && rb->host && qemu_ram_pagesize(rb) == page_size &&
           QEMU_IS_ALIGNED(offset, page_size) && offset < length;
}

int hybrid_dst_base(HybridMessage *m)
{
    HybridDestination *h = hybrid_destination();
    HybridBases *b = h->bases;
    uint8_t *at;

    RCU_READ_LOCK_GUARD();
    while (hybrid_msg_left(m)) {
        uint32_t slot = hybrid_msg_get_be32(m);
        uint32_t version = hybrid_msg_get_be32(m);
        g_autofree char *name = hybrid_msg_get_text(m);
        uint64_t offset = hybrid_msg_get_be64(m);
        const uint8_t *bytes = hybrid_msg_get_bytes(m, b->page_size);
        RAMBlock *rb = qemu_ram_block_by_name(name);

        if (m->overrun) {
            return 0;           /* the caller says so */
        }
        if (!b->page_size || slot >= b->slots || !rb ||
            !hybrid_base_may_be(rb, offset, qemu_ram_get_used_length(rb),
                                b->page_size)) {
            error_report("The source sent a base that cannot be: slot %" PRIu32
                         " of %" PRIu32 ", page 0x%" PRIx64 " of %s block '%s'",
                         slot, b->slots, offset, rb ? "the" : "an unknown",
                         name);
            return -EINVAL;
        }
        at = hybrid_base_place(h, b, slot);
        if (at) {
            memcpy(at, bytes, b->page_size);
            *hybrid_base_in(b, slot) = (HybridBase) {
                .page = hybrid_base_key(rb, offset), .version = version,
            };
            stat64_add(&b->kept, 1);
        }
    }
    return 0;
}

/* ---- differences ---- */

static void hybrid_deltas_say(MigrationIncomingState *mis, HybridBases *b)
{
    uint32_t asked = hybrid_shared_get(&b->asked);
    HybridMessage m;

    if (!asked || hybrid_shared_get(&b->done) < asked ||
        !hybrid_shared_replace(&b->asked, asked, 0)) {
        return;                 /* or the other thread does */
    }
    m = hybrid_msg_new(HYBRID_MSG_DELTAS);
    hybrid_msg_put_be32(&m, asked);
    hybrid_dst_send(mis, HYBRID_MSG_DELTAS, &m);
}

int hybrid_dst_deltas(HybridMessage *m)
{
    HybridBases *b = hybrid_destination()->bases;
    uint32_t sent = hybrid_msg_get_be32(m);

    if (m->overrun) {
        return 0;
    }
    if (!hybrid_dst_took(HYBRID_FLAG_DELTA)) {
        error_report("The source speaks of differences that were not agreed "
                     "on");
        return -EINVAL;
    }
    hybrid_shared_set(&b->asked, sent);
    smp_mb();                   /* pairs with hybrid_deltas_done() */
    hybrid_deltas_say(migration_incoming_get_current(), b);
    return 0;
}

static void hybrid_deltas_done(MigrationIncomingState *mis, HybridBases *b,
                               uint32_t pages)
{
    hybrid_shared_add(&b->done, pages); /* then look who asks */
    hybrid_deltas_say(mis, b);
}

void hybrid_deltas_placed(MigrationIncomingState *mis, uint32_t pages)
{
    hybrid_deltas_done(mis, hybrid_destination()->bases, pages);
}

/* Anything is wrong, as @why says: it comes as a whole */
static void hybrid_delta_refuse(MigrationIncomingState *mis, HybridBases *b,
                                RAMBlock *rb, uint64_t offset, const char *why)
{
    HybridMessage m = hybrid_msg_new(HYBRID_MSG_RAW);

    if (hybrid_shared_replace(&b->off, false, true)) {
        warn_report("hybrid migration: page 0x%" PRIx64 " of block %s cannot "
                    "be made from its difference (%s): the source is asked "
                    "for whole pages from now on", offset, rb->idstr, why);
    }
    stat64_add(&b->refused, 1);
    trace_hybrid_delta_refused("dst", rb->idstr, offset);
    hybrid_msg_put_text(&m, rb->idstr);
    hybrid_msg_put_be64(&m, offset);
    hybrid_dst_send(mis, HYBRID_MSG_RAW, &m);
}

/* NULL: @made is the page, else why not */
static const char *hybrid_delta_try(HybridBases *b, uint64_t key,
                                    const HybridDeltaHead *head,
                                    const uint8_t *in, uint8_t *made)
{
    if (hybrid_shared_get(&b->off)) {
        return "no bases are kept";
    }
    if (!hybrid_base_is(hybrid_base_in(b, head->slot), head, key)) {
        return "its base is another one";
    }
    memcpy(made, hybrid_area_at(&b->area, head->slot), b->page_size);
    if (xbzrle_decode_buffer((uint8_t *)in, head->bytes, made,
                             b->page_size) < 0) {
        return "it cannot be decoded";
    }
    if (crc32(0, made, b->page_size) != head->checksum) {
        return "its checksum is wrong";
    }
    return NULL;
}

static const char *hybrid_delta_make(HybridBases *b, uint64_t key,
                                     const HybridDeltaHead *head,
                                     const uint8_t *in, uint8_t *made)
{
    int64_t begin_ns = get_clock();
    const char *why = hybrid_delta_try(b, key, head, in, made);

    stat64_add(&b->time_ns, get_clock() - begin_ns);
    return why;
}

/* The page is made; it is placed, or the stream is broken */
static void hybrid_delta_used(HybridBases *b, const HybridDeltaHead *head)
{
    hybrid_base_in(b, head->slot)->version = 0;
    stat64_add(&b->placed, 1);
    stat64_add(&b->bytes, HYBRID_DELTA_HEAD + head->bytes);
    stat64_add(&b->current, !head->bytes);
}

size_t hybrid_delta_take(RAMBlock *rb, uint64_t offset, const uint8_t *in,
                         size_t n, uint8_t *made)
{
    HybridBases *b = hybrid_destination()->bases;
    HybridDeltaHead head;

    if (n < HYBRID_DELTA_HEAD ||
        !hybrid_base_may_be(rb, offset, rb->postcopy_length, b->page_size)) {
        return 0;
    }
    hybrid_delta_head_get(in, &head);
    if (head.bytes > HYBRID_DELTA_SHARE(b->page_size) ||
        n < HYBRID_DELTA_HEAD + head.bytes ||
        hybrid_delta_make(b, hybrid_base_key(rb, offset), &head,
                          in + HYBRID_DELTA_HEAD, made)) {
        return 0;
    }
    hybrid_delta_used(b, &head);
    return HYBRID_DELTA_HEAD + head.bytes;
}

bool hybrid_dst_takes_deltas(void)
{
    return hybrid_dst_took(HYBRID_FLAG_DELTA);
}

/* A difference for the page at @offset of @rb, which has @length, is in @f */
static int hybrid_delta_read(HybridBases *b, QEMUFile *f, RAMBlock *rb,
                             uint64_t offset, uint64_t length, int channel,
                             HybridDeltaHead *head)
{
    uint8_t *in = b->in[channel];
    int ret;

    qemu_get_buffer(f, in, HYBRID_DELTA_HEAD);
    ret = qemu_file_get_error(f);
    if (ret) {
        return ret;
    }
    hybrid_delta_head_get(in, head);
    if (!hybrid_base_may_be(rb, offset, length, b->page_size) ||
        head->bytes > HYBRID_DELTA_SHARE(b->page_size)) {
        error_report("The source sent a difference of %u bytes for page 0x%"
                     PRIx64 " of block %s", head->bytes, offset, rb->idstr);
        return -EINVAL;
    }
    qemu_get_buffer(f, in, head->bytes);
    return qemu_file_get_error(f);
}

int hybrid_load_delta(MigrationIncomingState *mis, QEMUFile *f, RAMBlock *rb,
                      uint64_t offset, int channel)
{
    HybridBases *b = hybrid_destination()->bases;
    HybridDeltaHead head;
    const char *why;
    int ret;

    ret = hybrid_delta_read(b, f, rb, offset, rb->postcopy_length, channel,
                            &head);
    if (ret) {
        return ret;
    }
    why = hybrid_delta_make(b, hybrid_base_key(rb, offset), &head,
                            b->in[channel], b->made[channel]);
    if (why) {
        hybrid_delta_refuse(mis, b, rb, offset, why);
    } else {
        ret = postcopy_place_page(mis, rb->host + offset, b->made[channel], rb);
        if (ret) {
            return ret;
        }
        hybrid_delta_used(b, &head);
    }
    hybrid_deltas_done(mis, b, 1);
    return 0;
}

int hybrid_load_delta_in_stop(QEMUFile *f, RAMBlock *rb, uint64_t offset)
{
    HybridBases *b = hybrid_destination()->bases;
    HybridDeltaHead head;
    const char *why;
    int ret;

    if (!hybrid_dst_takes_deltas()) {
        error_report("The source sent a difference, which was not agreed on");
        return -EINVAL;
    }
    ret = hybrid_delta_read(b, f, rb, offset, qemu_ram_get_used_length(rb),
                            RAM_CHANNEL_PRECOPY, &head);
    if (ret) {
        return ret;
    }
    why = hybrid_delta_make(b, hybrid_base_key(rb, offset), &head,
                            b->in[RAM_CHANNEL_PRECOPY],
                            b->made[RAM_CHANNEL_PRECOPY]);
    if (why) {
        /* The source has the guest, and goes on with it: see source/in-stop.c */
        stat64_add(&b->refused, 1);
        error_report("Page 0x%" PRIx64 " of block %s cannot be made from its "
                     "difference: %s", offset, rb->idstr, why);
        return -EINVAL;
    }
    memcpy(rb->host + offset, b->made[RAM_CHANNEL_PRECOPY], b->page_size);
    hybrid_delta_used(b, &head);
    hybrid_shared_add(&b->done, 1);
    return 0;
}

MigrationHybridDeltas *hybrid_bases_info(HybridBases *b)
{
    MigrationHybridDeltas *info;

    if (!b->slots) {
        return NULL;
    }
    info = g_new0(MigrationHybridDeltas, 1);
    info->bases = stat64_get(&b->kept);
    info->pages = stat64_get(&b->placed);
    info->bytes = stat64_get(&b->bytes);
    info->current = stat64_get(&b->current);
    info->refused = stat64_get(&b->refused);
    info->memory = hybrid_bases_memory(b);
    info->memory_peak = qatomic_read(&b->area.most) +
                        qatomic_read(&b->what.most);
    info->time_us = stat64_get(&b->time_ns) / 1000;
    return info;
}
