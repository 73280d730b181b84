/*
 * Hybrid live migration: loading pages in runs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../osdep.h"
#include "batch.h"

#define HEADER 8        /* of a page in the stream, in bytes */

struct HybridBatch {
    HybridBatchFormat format;
    HybridBatchOps ops;
    uint8_t *pages;
    uint8_t headers[HYBRID_BATCH_PAGES][HEADER];
    struct iovec iov[2 * HYBRID_BATCH_PAGES];

    /* the run that is being collected; its data lies in @pages in a row */
    uint64_t addr;
    unsigned count;
    const uint8_t *data;        /* NULL: zero pages */
};

typedef enum {
    KIND_PAGE,
    KIND_ZERO,
    KIND_OTHER,                 /* not ours */
} Kind;

HybridBatch *hybrid_batch_new(const HybridBatchFormat *format,
                              const HybridBatchOps *ops, uint8_t *pages)
{
    HybridBatch *b = g_new0(HybridBatch, 1);

    b->format = *format;
    b->ops = *ops;
    b->pages = pages;
    return b;
}

void hybrid_batch_free(HybridBatch *b)
{
    g_free(b);
}

static Kind parse(const HybridBatch *b, const uint8_t *header, uint64_t limit,
                  uint64_t *addr)
{
    uint64_t mask = b->format.page_size - 1;
    uint64_t be;

    memcpy(&be, header, HEADER);
    be = GUINT64_FROM_BE(be);
    *addr = be & ~mask;
    if (*addr >= limit) {
        return KIND_OTHER;
    }
    if ((be & mask) == b->format.page_flags) {
        return KIND_PAGE;
    }
    if ((be & mask) == b->format.zero_flags && b->format.zero_pages) {
        return KIND_ZERO;
    }
    return KIND_OTHER;
}

static int flush(HybridBatch *b, void *opaque)
{
    unsigned count = b->count;

    b->count = 0;
    return count ? b->ops.place(opaque, b->addr, count, b->data) : 0;
}

/* @data: in b->pages, or NULL for a zero page */
static int add(HybridBatch *b, uint64_t addr, const uint8_t *data,
               void *opaque)
{
    size_t size = (size_t)b->count * b->format.page_size;
    int ret = 0;

    if (b->count && (b->count == HYBRID_BATCH_PAGES ||
                     addr != b->addr + size ||
                     data != (b->data ? b->data + size : NULL))) {
        ret = flush(b, opaque);
    }
    if (!b->count) {
        b->addr = addr;
        b->data = data;
    }
    b->count++;
    return ret;
}

/*
 * Parse what is in @ahead.  Returns 1 when more is needed, 0 when something
 * comes that is not ours, or an error.  @zeros: a zero page was among it.
 */
static int load_row(HybridBatch *b, uint64_t limit, HybridReadahead *ahead,
                    bool *zeros, void *opaque)
{
    size_t page_size = b->format.page_size;
    unsigned used = 0;
    uint64_t addr;
    int ret = 0;

    while (!ret) {
        const uint8_t *p = ahead->buf + ahead->index;
        size_t left = ahead->size - ahead->index;
        Kind kind;

        if (left < HEADER) {
            return flush(b, opaque) ?: 1;
        }
        kind = parse(b, p, limit, &addr);
        if (kind == KIND_OTHER ||
            (kind == KIND_ZERO && left > HEADER && p[HEADER])) {
            return flush(b, opaque);    /* also a zero page that is none */
        }
        if (left < HEADER + (kind == KIND_PAGE ? page_size : 1)) {
            return flush(b, opaque) ?: 1;
        }
        if (kind == KIND_ZERO) {
            *zeros = true;
            ret = add(b, addr, NULL, opaque);
            ahead->index += HEADER + 1;
        } else {
            if (used == HYBRID_BATCH_PAGES) {
                ret = flush(b, opaque);
                used = 0;
            }
            if (!ret) {
                uint8_t *slot = b->pages + used++ * page_size;

                memcpy(slot, p + HEADER, page_size);
                ret = add(b, addr, slot, opaque);
            }
            ahead->index += HEADER + page_size;
        }
    }
    return ret;
}

/* Read on behind what is in @ahead */
static int read_row(HybridBatch *b, HybridReadahead *ahead, void *opaque)
{
    struct iovec iov;
    ssize_t len;

    memmove(ahead->buf, ahead->buf + ahead->index, ahead->size - ahead->index);
    ahead->size -= ahead->index;
    ahead->index = 0;
    iov.iov_base = ahead->buf + ahead->size;
    iov.iov_len = ahead->capacity - ahead->size;
    len = b->ops.read(opaque, &iov, 1, ahead->size);
    if (len <= 0) {
        return len ?: -EIO;
    }
    ahead->size += len;
    return 0;
}

/*
 * The scattered stream: @slots slots, each a header and a page.  Byte @pos of
 * it and what lies behind it up to a border.
 */
static uint8_t *scattered(HybridBatch *b, size_t pos, size_t *len)
{
    size_t slot = pos / (HEADER + b->format.page_size);
    size_t in = pos % (HEADER + b->format.page_size);

    if (in < HEADER) {
        *len = HEADER - in;
        return b->headers[slot] + in;
    }
    *len = HEADER + b->format.page_size - in;
    return b->pages + slot * b->format.page_size + (in - HEADER);
}

static void scatter(HybridBatch *b, const uint8_t *from, size_t size)
{
    for (size_t pos = 0, len; pos < size; pos += len) {
        uint8_t *to = scattered(b, pos, &len);

        len = MIN(len, size - pos);
        memcpy(to, from + pos, len);
    }
}

static void gather(HybridBatch *b, size_t from, size_t to,
                   HybridReadahead *ahead)
{
    ahead->index = ahead->size = 0;
    for (size_t pos = from, len; pos < to; pos += len) {
        const uint8_t *p = scattered(b, pos, &len);

        len = MIN(len, to - pos);
        memcpy(ahead->buf + ahead->size, p, len);
        ahead->size += len;
    }
}

/*
 * Read pages scattered, beginning with what is in @ahead (part of a page at
 * most), until a header comes that is not a page's.  That and all behind it
 * is put into @ahead.
 */
static int load_scattered(HybridBatch *b, uint64_t limit,
                          HybridReadahead *ahead, void *opaque)
{
    size_t slot_size = HEADER + b->format.page_size;
    size_t slots = MIN(ahead->capacity / slot_size, HYBRID_BATCH_PAGES);
    size_t done = 0;            /* slots that are placed */
    size_t filled = ahead->size - ahead->index;
    bool guess = true;

    scatter(b, ahead->buf + ahead->index, filled);
    ahead->index = ahead->size = 0;

    while (guess) {
        unsigned n = 0;
        ssize_t len;
        int ret = 0;

        /* Make room, if only the beginning of a page has to be moved for it */
        if (done > slots / 2) {
            size_t pos = done * slot_size, part;

            for (size_t to = 0; pos < filled; pos += part, to += part) {
                uint8_t *from = scattered(b, pos, &part);
                size_t room;

                part = MIN(part, filled - pos);
                memcpy(scattered(b, to, &room), from, part);
            }
            filled -= done * slot_size;
            done = 0;
        }
        for (size_t pos = filled, part; pos < slots * slot_size; pos += part) {
            b->iov[n].iov_base = scattered(b, pos, &part);
            b->iov[n++].iov_len = part;
        }
        len = b->ops.read(opaque, b->iov, n, filled - done * slot_size);
        if (len <= 0) {
            return len ?: -EIO;
        }
        filled += len;

        while (!ret && done * slot_size + HEADER <= filled) {
            uint64_t addr;

            if (parse(b, b->headers[done], limit, &addr) != KIND_PAGE) {
                guess = false;
                break;
            }
            if ((done + 1) * slot_size > filled) {
                break;
            }
            ret = add(b, addr, b->pages + done * b->format.page_size, opaque);
            done++;
        }
        ret = ret ?: flush(b, opaque);
        if (ret) {
            return ret;
        }
    }
    gather(b, done * slot_size, filled, ahead);
    return 0;
}

int hybrid_batch_load(HybridBatch *b, uint64_t limit, HybridReadahead *ahead,
                      void *opaque)
{
    int ret;

    b->count = 0;
    do {
        bool zeros = false;

        ret = load_row(b, limit, ahead, &zeros, opaque);
        if (ret == 1) {
            /* Zero pages make every guess wrong: read what follows in a row */
            ret = zeros ? read_row(b, ahead, opaque)
                        : load_scattered(b, limit, ahead, opaque);
            ret = ret ?: 1;
        }
    } while (ret == 1);

    if (ret) {
        b->count = 0;
        ahead->index = ahead->size = 0;
    }
    return ret;
}

static int place_stretch(unsigned first, unsigned pages, HybridCopyFn *copy,
                         HybridDoneFn *done, void *opaque)
{
    unsigned placed = 0;
    int ret = 0;

    while (placed < pages) {
        ret = copy(opaque, first + placed, pages - placed);
        if (ret > 0) {
            placed += ret;
        } else if (ret != -EAGAIN) {
            break;
        }
    }
    if (placed) {
        done(opaque, first, placed);
    }
    return placed < pages ? ret : 0;
}

int hybrid_batch_place(unsigned pages, const unsigned *wanted,
                       unsigned n_wanted, HybridCopyFn *copy,
                       HybridDoneFn *done, void *opaque)
{
    unsigned from = 0;
    int ret = 0;

    for (unsigned i = 0; !ret && i < n_wanted; i++) {
        ret = place_stretch(wanted[i], 1, copy, done, opaque);
    }
    for (unsigned i = 0; !ret && i <= n_wanted; i++) {
        unsigned to = i < n_wanted ? wanted[i] : pages;

        if (from < to) {
            ret = place_stretch(from, to - from, copy, done, opaque);
        }
        from = to + 1;
    }
    return ret;
}
