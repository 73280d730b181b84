/*
 * Fuzz target: the loader of pages in runs, against one that loads one by one.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The input is a script: it says what the stream holds, and in which pieces it
 * arrives.
 */

#include "fuzz.h"
#include "policy/batch.h"

#define PAGE 64
#define LIMIT_PAGES 256
#define F_PAGE 0x28
#define F_ZERO 0x22

typedef struct World {
    const uint8_t *stream;
    size_t size;
    size_t read;                /* handed out */
    size_t at;                  /* the next that has to be placed */
    uint32_t pieces;            /* state of their sizes */
    unsigned fail_at;           /* the place() that fails; 0: none */
    unsigned placed;
} World;

static uint64_t header(const World *w, size_t at)
{
    uint64_t be;

    memcpy(&be, w->stream + at, sizeof(be));
    return GUINT64_FROM_BE(be);
}

typedef enum { PAGE_HERE, ZERO_HERE, OTHER_HERE, NOTHING_HERE } Here;

/* What lies at w->at, and where the next thing begins */
static Here next_thing(const World *w, size_t *next)
{
    size_t left = w->size - w->at;
    uint64_t h;

    if (left < 8) {
        return NOTHING_HERE;
    }
    h = header(w, w->at);
    if ((h & ~(uint64_t)(PAGE - 1)) >= LIMIT_PAGES * PAGE) {
        return OTHER_HERE;
    }
    if ((h & (PAGE - 1)) == F_PAGE) {
        *next = w->at + 8 + PAGE;
        return left < 8 + PAGE ? NOTHING_HERE : PAGE_HERE;
    }
    if ((h & (PAGE - 1)) == F_ZERO) {
        *next = w->at + 9;
        return left < 9 ? NOTHING_HERE : w->stream[w->at + 8] ? OTHER_HERE
                                                              : ZERO_HERE;
    }
    return OTHER_HERE;
}

static ssize_t read_piece(void *opaque, struct iovec *iov, unsigned n,
                          size_t held)
{
    World *w = opaque;
    size_t piece, done = 0;

    FUZZ_CHECK(n && iov[0].iov_len);
    FUZZ_CHECK(held == w->read - w->at);
    w->pieces = w->pieces * 1664525 + 1013904223;
    piece = 1 + (w->pieces >> 16) % (w->pieces >> 31 ? 2000 : 100);
    piece = MIN(piece, w->size - w->read);
    for (unsigned i = 0; i < n && piece; i++) {
        size_t part = MIN(piece, iov[i].iov_len);

        memcpy(iov[i].iov_base, w->stream + w->read, part);
        w->read += part;
        piece -= part;
        done += part;
    }
    return done;
}

static int place(void *opaque, uint64_t addr, unsigned pages,
                 const uint8_t *data)
{
    World *w = opaque;

    FUZZ_CHECK(pages && pages <= HYBRID_BATCH_PAGES);
    if (++w->placed == w->fail_at) {
        return -EEXIST;
    }
    for (unsigned i = 0; i < pages; i++) {
        size_t next;
        Here here = next_thing(w, &next);

        FUZZ_CHECK(here == (data ? PAGE_HERE : ZERO_HERE));
        FUZZ_CHECK(next <= w->read);
        FUZZ_CHECK((header(w, w->at) & ~(uint64_t)(PAGE - 1)) ==
                   addr + i * PAGE);
        FUZZ_CHECK(!data || !memcmp(data + i * PAGE, w->stream + w->at + 8,
                                    PAGE));
        w->at = next;
    }
    return 0;
}

static void put_header(GByteArray *out, uint64_t page, unsigned flags)
{
    uint64_t be = GUINT64_TO_BE(page * PAGE | flags);

    g_byte_array_append(out, (uint8_t *)&be, sizeof(be));
}

static GByteArray *make_stream(FuzzInput *in)
{
    GByteArray *out = g_byte_array_new();
    uint64_t page = 0;

    while (in->size && out->len < 65536) {
        uint8_t op = fuzz_number(in, 1), data[PAGE];

        memset(data, op, sizeof(data));
        if (op >= 0xe0) {
            data[0] = fuzz_number(in, 1);
            g_byte_array_append(out, data, 1);
            continue;
        }
        if (op >= 0xa0) {
            page = fuzz_number(in, op >= 0xd8 ? 8 : 1);
        }
        if (op >= 0xd0) {
            put_header(out, page, fuzz_number(in, 1) % PAGE);
        } else if (op < 0x60 || (op >= 0xa0 && op < 0xc0)) {
            put_header(out, page, F_PAGE);
            g_byte_array_append(out, data, sizeof(data));
        } else {
            data[0] = op == 0x9f;
            put_header(out, page, F_ZERO);
            g_byte_array_append(out, data, 1);
        }
        page++;
    }
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const HybridBatchOps ops = { .read = read_piece, .place = place };
    HybridBatchFormat format = { PAGE, F_PAGE, F_ZERO, true };
    FuzzInput in = { data, size };
    uint8_t *pages = g_malloc(HYBRID_BATCH_PAGES * PAGE);
    World w = { .pieces = fuzz_number(&in, 2) };
    HybridReadahead ahead = { 0 };
    GByteArray *stream;
    HybridBatch *b;
    size_t next;
    Here here;
    int ret;

    w.fail_at = fuzz_number(&in, 1);
    ahead.capacity = PAGE + 8 + fuzz_number(&in, 2) % 8000;
    ahead.buf = g_malloc(ahead.capacity);
    ahead.index = fuzz_number(&in, 1) % ahead.capacity;
    ahead.size = ahead.index + fuzz_number(&in, 1);
    stream = make_stream(&in);
    w.stream = stream->data;
    w.size = stream->len;
    ahead.size = MIN(MIN(ahead.size, ahead.capacity), ahead.index + w.size);
    memset(ahead.buf, 0xee, ahead.index);
    w.read = ahead.size - ahead.index;
    if (w.read) {
        memcpy(ahead.buf + ahead.index, w.stream, w.read);
    }

    b = hybrid_batch_new(&format, &ops, pages);
    ret = hybrid_batch_load(b, LIMIT_PAGES * PAGE, &ahead, &w);
    here = next_thing(&w, &next);
    if (ret == -EEXIST) {
        FUZZ_CHECK(w.placed == w.fail_at);
    } else if (ret) {
        FUZZ_CHECK(ret == -EIO && here == NOTHING_HERE && w.read == w.size);
    } else {
        size_t left = ahead.size - ahead.index;

        FUZZ_CHECK(here == OTHER_HERE);
        FUZZ_CHECK(ahead.index <= ahead.size && ahead.size <= ahead.capacity);
        FUZZ_CHECK(w.read - left == w.at);
        FUZZ_CHECK(!memcmp(ahead.buf + ahead.index, w.stream + w.at, left));
    }
    FUZZ_CHECK(!ret || ahead.index == ahead.size);
    hybrid_batch_free(b);
    g_byte_array_unref(stream);
    g_free(ahead.buf);
    g_free(pages);
    return 0;
}
