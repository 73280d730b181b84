/*
 * Fuzz target: the bodies of the private messages, as either side reads them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "fuzz.h"
#include "policy/delta.h"
#include "policy/flow.h"
#include "policy/metrics.h"
#include "protocol/blocks.h"
#include "protocol/encoding.h"
#include "protocol/sections.h"
#include "policy/ranges.h"
#include "policy/reserve.h"

#define NOW_US 5000000000

/* As hybrid_msg_read() leaves it: behind kind and version */
static HybridMessage received(const FuzzInput *in)
{
    HybridMessage m = { .bytes = g_byte_array_new() };

    hybrid_msg_put_be16(&m, 1);
    hybrid_msg_put_be16(&m, 1);
    g_byte_array_append(m.bytes, in->data, in->size);
    hybrid_msg_get_be16(&m);
    hybrid_msg_get_be16(&m);
    FUZZ_CHECK(!m.overrun && hybrid_msg_left(&m) == in->size);
    return m;
}

static void check_text(const char *text)
{
    FUZZ_CHECK(strlen(text) <= HYBRID_PEER_TEXT_MAX);
    FUZZ_CHECK(g_utf8_validate(text, -1, NULL));
    for (const char *p = text; *p; p = g_utf8_next_char(p)) {
        FUZZ_CHECK(g_unichar_isprint(g_utf8_get_char(p)));
    }
}

static void check_sizes(HybridMessage *m, uint64_t n)
{
    size_t before = hybrid_msg_left(m);
    GHashTable *sizes = hybrid_msg_get_sizes(m, n);
    GHashTableIter iter;
    gpointer name, size;
    size_t bytes = 0;

    /* No more than was in the message; the last one may be half there */
    FUZZ_CHECK(g_hash_table_size(sizes) <= before / 10 + 1);
    g_hash_table_iter_init(&iter, sizes);
    while (g_hash_table_iter_next(&iter, &name, &size)) {
        bytes += strlen(name);
    }
    FUZZ_CHECK(bytes <= before);
    FUZZ_CHECK(m->overrun || g_hash_table_size(sizes) <= n);
    g_hash_table_destroy(sizes);
}

static void settings(HybridMessage *m)
{
    HybridHostMemory host;
    HybridMemoryNeed need = { 0 };
    uint64_t needed, available;
    uint32_t overcommit = hybrid_msg_get_be32(m);

    hybrid_msg_get_be32(m);
    need.guest_bytes = hybrid_msg_get_be64(m);
    hybrid_reserve_host_init(&host);
    host.mem_available = hybrid_msg_get_be64(m);
    need.buffers_bytes = hybrid_msg_get_be64(m);
    FUZZ_CHECK(hybrid_reserve_check(&need, &host, overcommit, &needed,
                                    &available) == (needed <= available));
    FUZZ_CHECK(available >= host.mem_available || overcommit > UINT32_MAX);
    check_sizes(m, hybrid_msg_get_be64(m));
}

static void ready(HybridMessage *m)
{
    hybrid_msg_get_be64(m);
    hybrid_msg_get_be64(m);
    hybrid_msg_get_be32(m);
    check_sizes(m, hybrid_msg_get_be16(m));
}

static void refuse(HybridMessage *m)
{
    uint64_t needed = hybrid_msg_get_be64(m);
    uint64_t available = hybrid_msg_get_be64(m);
    g_autofree char *text = hybrid_msg_get_clean_text(m);
    g_autofree char *sentence = hybrid_reserve_refusal("memory", needed,
                                                       available);

    check_text(text);
    check_text(sentence);
}

static void running(HybridMessage *m)
{
    HybridStarted started;
    HybridTimes t;
    HybridRtt rtt;
    int64_t downtime;

    hybrid_times_init(&t);
    t.start_us = NOW_US - 4000000;
    t.stop_us = NOW_US - 3000000;
    t.loaded_us = NOW_US - 2000000;
    t.grant_us = NOW_US - 1000000;
    hybrid_rtt_init(&rtt);
    hybrid_rtt_sample(&rtt, 1000);
    hybrid_msg_get_be32(m);
    started.ago_us = hybrid_msg_get_be64(m);
    started.after_loaded_us = hybrid_msg_get_be64(m);
    started.after_grant_us = hybrid_msg_get_be64(m);
    hybrid_times_started(&t, &rtt, &started, NOW_US);
    /* Half of the round trip behind: the delays of both ways may differ */
    FUZZ_CHECK(t.running_us >= t.grant_us);
    FUZZ_CHECK(t.running_us <= NOW_US + 500);
    downtime = hybrid_times_downtime(&t, &rtt, NULL);
    FUZZ_CHECK(downtime >= 0 && downtime <= 3000000);
}

static void stats(HybridMessage *m)
{
    size_t before;
    GArray *blocked;
    double lost;
    uint64_t n;

    hybrid_msg_get_be64(m);             /* pages */
    n = hybrid_msg_get_be32(m);
    before = hybrid_msg_left(m);
    blocked = hybrid_msg_get_numbers(m, n);
    FUZZ_CHECK(blocked->len <= before / 8 + 1);
    lost = hybrid_degradation((uint64_t *)blocked->data, blocked->len, 1000,
                              1000000);
    FUZZ_CHECK(lost >= 0 && lost <= 100);
    g_array_unref(blocked);
}

/* PLACED, several in a row */
static void placed(HybridMessage *m)
{
    g_autofree HybridMarks *marks = g_new0(HybridMarks, 1);
    uint64_t sent = 0, read, step, room;
    int64_t now_us = NOW_US;
    HybridPeer p;

    hybrid_peer_init(&p, 4096, 125000000, 1000);
    do {
        read = hybrid_msg_get_be64(m);
        step = MIN(hybrid_msg_get_be32(m), HYBRID_READER_STEP_MAX);
        /* The pages are known by what is believed */
        hybrid_marks_put(marks, sent, sent / 60);
        FUZZ_CHECK(hybrid_marks_read(marks, MIN(read, sent)) <= sent / 60);
        now_us += 2000;
        hybrid_peer_sample(&p, now_us, sent, read);
        room = hybrid_peer_budget(&p, step);
        /* However much it says that it has read, it has a bound in flight */
        FUZZ_CHECK(p.read <= sent);
        FUZZ_CHECK(room <= hybrid_peer_limit(&p) + step);
        sent += MIN(room, 1 << 24);
    } while (hybrid_msg_left(m) >= 12);
}

static void failed(HybridMessage *m)
{
    g_autofree char *text = hybrid_msg_get_clean_text(m);

    check_text(text);
}

static void discard(HybridMessage *m)
{
    g_autofree char *name = hybrid_msg_get_text(m);
    HybridRangeReader r = {
        .data = m->bytes->data + m->pos, .size = hybrid_msg_left(m),
    };
    uint64_t first, pages, limit = 1 << 18, next = 0;

    while (hybrid_range_get(&r, limit, &first, &pages)) {
        FUZZ_CHECK(first >= next && pages && pages <= limit - first);
        next = first + pages;
    }
    FUZZ_CHECK(strlen(name) <= m->bytes->len);
}

/* Of @n that were looked at */
static void end_misfits(HybridMisfits *misfits, uint32_t n, const char *things)
{
    g_autofree char *sentence = hybrid_misfits_sentence(misfits, things);

    FUZZ_CHECK(misfits->found <= n);
    FUZZ_CHECK(!sentence == !misfits->found);
    FUZZ_CHECK(!sentence || (strlen(sentence) < 4096 &&
                             g_utf8_validate(sentence, -1, NULL)));
    hybrid_misfits_free(misfits);
}

static void sections(HybridMessage *m)
{
    size_t before = hybrid_msg_left(m);
    HybridMisfits misfits = { 0 };
    HybridSection s;
    uint32_t n = 0;

    while (hybrid_section_get(m, &s)) {
        FUZZ_CHECK(strlen(s.idstr) <= before);
        if (!hybrid_misfits_look(&misfits)) {
            FUZZ_CHECK(n == HYBRID_SECTIONS_MAX);
            g_free(s.idstr);
            break;
        }
        n++;
        if (s.instance_id % 2) {
            hybrid_misfits_missing(&misfits, &s);
        } else {
            hybrid_misfits_version(&misfits, &s, 1, 3);
        }
        g_free(s.idstr);
    }
    FUZZ_CHECK(n <= before / 10);
    end_misfits(&misfits, n, "devices are");
}

static void blocks(HybridMessage *m)
{
    size_t before = hybrid_msg_left(m);
    HybridMisfits misfits = { 0 };
    HybridBlock b;
    uint32_t n = 0;

    while (hybrid_block_get(m, &b)) {
        g_autofree char *name = b.name;

        FUZZ_CHECK(strlen(name) <= before);
        FUZZ_CHECK(hybrid_misfits_look(&misfits));
        n++;
        if (b.length % 2) {
            hybrid_misfits_no_block(&misfits, &b);
        } else if (b.length % 4) {
            hybrid_misfits_length(&misfits, &b, 4096);
        } else {
            hybrid_misfits_place(&misfits, &b, 1ull << 32);
        }
    }
    FUZZ_CHECK(n <= before / 18);
    end_misfits(&misfits, n, "memory is");
}

/* BASE, as the destination keeps it, and what it then offers to be a page's */
static void bases(HybridMessage *m)
{
    enum { SLOTS = 8, PAGE = 64 };
    HybridBase base[SLOTS] = {};
    HybridDeltaHead head;

    while (hybrid_msg_left(m)) {
        uint32_t slot = hybrid_msg_get_be32(m);
        uint32_t version = hybrid_msg_get_be32(m);
        g_autofree char *name = hybrid_msg_get_text(m);
        uint64_t offset = hybrid_msg_get_be64(m);
        const uint8_t *bytes = hybrid_msg_get_bytes(m, PAGE);

        if (m->overrun || slot >= SLOTS) {
            return;
        }
        FUZZ_CHECK(bytes >= m->bytes->data &&
                   bytes + PAGE <= m->bytes->data + m->bytes->len);
        FUZZ_CHECK(strlen(name) <= m->bytes->len);
        base[slot].page = offset / PAGE;
        base[slot].version = version;
        hybrid_delta_head_get(bytes, &head);
        if (head.slot < SLOTS &&
            hybrid_base_is(&base[head.slot], &head, offset / PAGE)) {
            FUZZ_CHECK(head.slot < SLOTS && head.version &&
                       base[head.slot].page == offset / PAGE);
        }
    }
}

/* However many slots a source wants, what they take has its bound */
static void wanted(HybridMessage *m)
{
    uint32_t slots = hybrid_msg_get_be32(m);
    uint64_t available = hybrid_msg_get_be64(m);
    uint64_t needed = hybrid_msg_get_be64(m);
    uint32_t offer = hybrid_bases_offer(slots, 4096, available, needed);

    FUZZ_CHECK(offer <= slots);
    FUZZ_CHECK(!offer || offer * 4096ull <= (available - needed) / 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void (*const kinds[])(HybridMessage *m) = {
        settings, ready, refuse, running, stats, placed, failed, discard,
        sections, blocks, bases, wanted,
    };
    FuzzInput in = { data, MIN(size, HYBRID_MSG_MAX_BODY) };

    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        HybridMessage m = received(&in);

        kinds[i](&m);
        FUZZ_CHECK(m.pos <= m.bytes->len);
        hybrid_msg_free(&m);
    }
    if (size) {
        g_autofree char *clean = hybrid_peer_text((const char *)data, size);

        check_text(clean);
    }
    return 0;
}
