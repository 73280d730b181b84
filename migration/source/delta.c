/*
 * Hybrid live migration, source: pages that are sent as differences (policy:
 * policy/delta.h).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a page is compared with is in source/bases.c, and does not change any
 * more.  A slot's use belongs to the thread that has taken the page out of the
 * dirty bitmap, so two threads may send with a preempt channel.
 */

#include "migration/hybrid/source/delta.h"
#include <zlib.h>
#include "qapi/error.h"
#include "qemu/lockable.h"
#include "qemu/rcu.h"
#include "migration/migration.h"
#include "migration/postcopy-ram.h"
#include "migration/qemu-file.h"
#include "migration/ram.h"
#include "migration/xbzrle.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/common/tcp.h"
#include "migration/hybrid/source/block.h"
#include "migration/hybrid/source/timeout.h"

int hybrid_delta_encode(HybridDeltas *d, int channel, uint32_t slot,
                        const uint8_t *host)
{
    HybridDeltaHead head = { .slot = slot, .version = 1 };
    uint8_t *out = d->out[channel], *copy = d->copy[channel];
    int bytes;

    /*
     * What writes to it meanwhile (the guest, while it runs; a device's
     * backend in the stop) must not come between difference and checksum.
     */
    memcpy(copy, host, d->page_size);
    bytes = xbzrle_encode_buffer(hybrid_area_at(&d->area, slot), copy,
                                 d->page_size, out + HYBRID_DELTA_HEAD,
                                 HYBRID_DELTA_SHARE(d->page_size));
    if (bytes >= 0) {
        /*
         * CRC-32 finds each error of up to 32 bits in a row, and of others all
         * but one in four thousand million.  It is here to find mistakes, not
         * an enemy: who can write to the stream can write to the guest.
         */
        head.bytes = bytes;
        head.checksum = crc32(0, copy, d->page_size);
        hybrid_delta_head_put(out, &head);
    }
    return bytes;
}

const uint8_t *hybrid_src_delta(QEMUFile *f, RAMBlock *rb, unsigned long page,
                                size_t *len, bool *in_stop)
{
    HybridSource *h = hybrid_source();
    HybridDeltas *d = h->deltas;
    int channel, bytes;
    int64_t begin_ns;
    uint32_t slot;

    /* Before the package is there a page is loaded as in a round */
    if (!d || !hybrid_shared_get(&d->on) ||
        hybrid_shared_get(&d->dropped) ||
        (!hybrid_shared_get(&h->package_sent) &&
         !hybrid_shared_get(&d->in_stop))) {
        return NULL;
    }
    slot = hybrid_slots_find(d->slots, hybrid_block_key(rb, page));
    if (slot == HYBRID_SLOT_NONE ||
        qatomic_read(&d->use[slot]) != HYBRID_SLOT_BASE) {
        return NULL;
    }
    channel = f == migrate_get_current()->to_dst_file ?
              RAM_CHANNEL_PRECOPY : RAM_CHANNEL_POSTCOPY;
    begin_ns = get_clock();
    bytes = hybrid_delta_encode(d, channel, slot, rb->host +
                              ((uint64_t)page << qemu_target_page_bits()));
    stat64_add(&d->time_ns, get_clock() - begin_ns);
    if (bytes < 0) {
        qatomic_set(&d->use[slot], HYBRID_SLOT_USED);
        stat64_add(&d->whole, 1);
        return NULL;
    }
    qatomic_set(&d->use[slot], HYBRID_SLOT_DELTA);
    hybrid_shared_add(&d->sent, 1);
    stat64_add(&d->bytes, HYBRID_DELTA_HEAD + bytes);
    if (!bytes) {
        stat64_add(&d->current, 1);
    }
    *len = HYBRID_DELTA_HEAD + bytes;
    *in_stop = hybrid_shared_get(&d->in_stop);
    return d->out[channel];
}

/* ---- the end: all of them are placed, or sent as whole pages ---- */

static void HYBRID_SOURCE_THREAD
hybrid_deltas_ask(MigrationState *s, HybridDeltas *d, uint32_t sent)
{
    HybridMessage m;

    if (hybrid_shared_get(&d->asked) == sent) {
        return;
    }
    hybrid_shared_set(&d->asked, sent);
    d->asked_us = hybrid_now_us();
    m = hybrid_msg_new(HYBRID_MSG_DELTAS_TO_DST);
    hybrid_msg_put_be32(&m, sent);
    trace_hybrid_message("src", hybrid_msg_str(HYBRID_MSG_DELTAS_TO_DST));
    hybrid_msg_send_to_dst(s->to_dst_file, &m);
}

/* True: the destination is lost, as far as one can tell */
static bool HYBRID_SOURCE_THREAD
hybrid_deltas_await(MigrationState *s, HybridSource *h, uint32_t sent)
{
    HybridDeltas *d = h->deltas;
    int64_t waited_us = hybrid_now_us() - d->asked_us;
    bool lost = false;

    hybrid_src_idle_begin(s);
    WITH_HYBRID_SOURCE_LOCK(h) {
        h->end_fd = hybrid_tcp_socket(s->to_dst_file);
        hybrid_tcp_probe(h->end_fd);
        if (d->settled != sent && !h->rp_ended) {
            hybrid_src_wait(h, 100);
        }
        lost = d->settled != sent &&
               (h->rp_ended ||
                (waited_us >= hybrid_src_end_patience_us() &&
                 !hybrid_src_hears_peer(h)));
        h->end_fd = -1;         /* a recovery has another one */
    }
    hybrid_src_idle_end(s);
    return lost;
}

bool hybrid_deltas_settle(MigrationState *s)
{
    HybridSource *h = hybrid_source();
    HybridDeltas *d = h->deltas;
    uint32_t sent, settled;

    if (!d || !d->allowed || ram_bytes_remaining()) {
        return false;
    }
    WITH_QEMU_LOCK_GUARD(ram_bitmap_mutex()) {
        /* Who takes the last page out of the bitmap has counted it by now */
        sent = hybrid_shared_get(&d->sent);
    }
    WITH_HYBRID_SOURCE_LOCK(h) {
        settled = d->settled;
    }
    if (sent == settled) {
        hybrid_deltas_end(d);   /* here, where nobody waits for it */
        return false;
    }
    hybrid_deltas_ask(s, d, sent);
    if (hybrid_deltas_await(s, h, sent)) {
        migration_shutdown_channels(s);
    }
    return true;
}

void hybrid_deltas_settled(HybridSource *h, HybridMessage *m, Error **errp)
{
    HybridDeltas *d = h->deltas;
    uint32_t placed = hybrid_msg_get_be32(m);
    uint32_t sent = hybrid_shared_get(&d->sent);

    if (m->overrun) {
        return;
    }
    if (placed != sent || placed != hybrid_shared_get(&d->asked)) {
        error_setg(errp, "The destination says that it has placed %" PRIu32
                   " differences: %" PRIu32 " were sent, it was asked for %"
                   PRIu32, placed, sent, hybrid_shared_get(&d->asked));
        return;
    }
    d->settled = placed;
}

static RAMBlock *hybrid_deltas_block(const char *name)
{
    RAMBlock *rb = qemu_ram_block_by_name(name);

    return rb && rb->bmap && rb->hybrid ? rb : NULL;
}

void hybrid_deltas_refused(HybridSource *h, HybridMessage *m, Error **errp)
{
    HybridDeltas *d = h->deltas;
    g_autofree char *name = hybrid_msg_get_text(m);
    uint64_t offset = hybrid_msg_get_be64(m);
    unsigned bits = qemu_target_page_bits();
    uint32_t slot = HYBRID_SLOT_NONE;
    RAMBlock *rb;
    bool open;

    if (m->overrun) {
        return;
    }
    WITH_HYBRID_SOURCE_LOCK(h) {
        open = d->settled != hybrid_shared_get(&d->sent);
    }
    RCU_READ_LOCK_GUARD();
    rb = hybrid_deltas_block(name);
    if (open && rb && d->slots && offset < qemu_ram_get_used_length(rb)) {
        slot = hybrid_slots_find(d->slots,
                                 hybrid_block_key(rb, offset >> bits));
    }
    if (slot == HYBRID_SLOT_NONE ||
        qatomic_read(&d->use[slot]) != HYBRID_SLOT_DELTA) {
        error_setg(errp, "The destination asks for page 0x%" PRIx64 " of block "
                   "'%s' again, which was not sent as a difference", offset,
                   name);
        return;
    }
    /* No more of them: what is wrong with one may be wrong with others */
    hybrid_shared_set(&d->on, false);
    qatomic_set(&d->use[slot], HYBRID_SLOT_USED);
    stat64_add(&d->refused, 1);
    trace_hybrid_delta_refused("src", rb->idstr, offset);
    ram_postcopy_send_again(rb, QEMU_ALIGN_DOWN(offset, 1ull << bits));
}

void hybrid_deltas_recover(HybridDeltas *d)
{
    HybridSource *h = hybrid_source();

    /* What was not placed is missing in the bitmaps, which come next */
    WITH_QEMU_LOCK_GUARD(ram_bitmap_mutex()) {
        hybrid_shared_set(&d->on, false);
    }
    WITH_HYBRID_SOURCE_LOCK(h) {
        d->settled = hybrid_shared_get(&d->sent);
        hybrid_shared_set(&d->asked, d->settled);
    }
    hybrid_deltas_end(d);
}

MigrationHybridDeltas *HYBRID_SOURCE_LOCKED
hybrid_deltas_info(HybridDeltas *d)
{
    MigrationHybridDeltas *info;

    if (!d->allowed) {
        return NULL;
    }
    info = g_new0(MigrationHybridDeltas, 1);
    info->bases = stat64_get(&d->bases);
    info->pages = hybrid_shared_get(&d->sent);
    info->bytes = stat64_get(&d->bytes);
    info->current = stat64_get(&d->current);
    info->whole = stat64_get(&d->whole);
    info->refused = stat64_get(&d->refused);
    info->memory = qatomic_read(&d->area.bytes) + qatomic_read(&d->beside);
    info->memory_peak = qatomic_read(&d->area.most) +
                        qatomic_read(&d->beside_most);
    info->time_us = stat64_get(&d->time_ns) / 1000;
    info->decision = hybrid_shared_get(&d->decision);
    info->has_decision = info->decision < MIGRATION_HYBRID_DELTA_DECISION__MAX;
    hybrid_worth_info(d->worth, info);
    return info;
}
