/*
 * Hybrid live migration: loading pages in runs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * In the stream each page has a header of its own.  Most headers say the same
 * ("the next page of this block"), so they are guessed: one read scatters the
 * stream into an array of headers and an array of pages, where neighbours lie
 * side by side and can be placed at once, and no byte is copied in between.
 * Where a guess was wrong (a zero page, another block, the end), the rest of
 * what was read is put back in a row and parsed one by one.
 *
 * A run is placed as soon as
 *   - the next page does not follow it (gap, zero page after data, data after
 *     a zero page),
 *   - the buffer is full,
 *   - something else than a page of this block comes, or
 *   - nothing more has arrived: a page that is here is never held back for one
 *     that is not, somebody may wait for it.
 *
 * Not thread-safe: one thread uses one loader.
 */

#ifndef QEMU_MIGRATION_HYBRID_BATCH_H
#define QEMU_MIGRATION_HYBRID_BATCH_H

#include <sys/uio.h>

/*
 * The most pages in one run: so many, with their headers, fit the 256 KiB in
 * which a stream keeps what was read ahead
 */
#define HYBRID_BATCH_PAGES 63

typedef struct HybridBatchOps {
    /*
     * Read at least one byte into @iov, waiting for it.  @held: so many bytes
     * before these, less than a page and its header, are not placed yet.
     * Returns the number of bytes, 0 at the end of the stream, or negative if
     * it is broken.
     */
    ssize_t (*read)(void *opaque, struct iovec *iov, unsigned n, size_t held);
    /*
     * Place @pages pages at offset @addr of the block.  @data: NULL for zero
     * pages.  Returns 0 or a negative errno.
     */
    int (*place)(void *opaque, uint64_t addr, unsigned pages,
                 const uint8_t *data);
} HybridBatchOps;

typedef struct HybridBatchFormat {
    uint32_t page_size;     /* bytes; a header's bits below it are its kind */
    uint32_t page_flags;    /* kind: a page follows */
    uint32_t zero_flags;    /* kind: a zero page, one byte 0 follows */
    bool zero_pages;        /* place() takes zero pages */
} HybridBatchFormat;

/*
 * Where read-ahead is kept between two users of a stream: @buf holds, from
 * @index to @size, what was read and not used yet.
 */
typedef struct HybridReadahead {
    uint8_t *buf;
    size_t capacity;
    size_t index;
    size_t size;
} HybridReadahead;

typedef struct HybridBatch HybridBatch;

/*
 * @pages: memory for HYBRID_BATCH_PAGES pages, belongs to the caller and must
 * outlive the loader
 */
HybridBatch *hybrid_batch_new(const HybridBatchFormat *format,
                              const HybridBatchOps *ops, uint8_t *pages);
void hybrid_batch_free(HybridBatch *b);

/*
 * Load pages until the stream stands at something that is not one more page
 * below offset @limit of the block, and leave that, from its header on, in
 * @ahead.  @ahead must have room for at least one page and its header.
 *
 * Returns 0, or what place() or read() returned; -EIO for the end of the
 * stream.  After an error @ahead is empty: what was read and not placed is
 * lost, as with the connection.
 */
int hybrid_batch_load(HybridBatch *b, uint64_t limit, HybridReadahead *ahead,
                      void *opaque);

/*
 * Place @pages pages by @copy, which places pages from @first on and returns
 * how many it did (at least 1), or a negative errno if it did none.  -EAGAIN
 * is tried again.  @wanted: indexes of pages that somebody waits for, in
 * ascending order; they come first, each by itself, so that nobody waits for
 * the run around it.
 *
 * @done is called for each stretch that has been placed, also when an error
 * comes after it: what is placed must not be asked for again.
 *
 * Returns 0 or @copy's error.  There is none that is passed over: a page that
 * is present already (-EEXIST) was sent twice, or something here touched guest
 * memory that had not come; either way its contents are in doubt.
 */
typedef int HybridCopyFn(void *opaque, unsigned first, unsigned pages);
typedef void HybridDoneFn(void *opaque, unsigned first, unsigned pages);
int hybrid_batch_place(unsigned pages, const unsigned *wanted,
                       unsigned n_wanted, HybridCopyFn *copy,
                       HybridDoneFn *done, void *opaque);

#endif
