/*
 * Hybrid live migration: ranges of pages that are to be discarded.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which they are, and how they are put into a message.
 *
 * A page at the destination is stale when it was sent and is dirty now.  What
 * was never sent needs no discard: the destination drops what a huge page has
 * filled with zeroes around a page that came, or what anything else there has
 * touched.  What was discarded and not sent again is gone.
 *
 * In a message each range is two numbers, the gap behind the range before it
 * (or page 0) and the number of pages less one, each in the variable-length
 * format of DWARF's unsigned LEB128: seven bits per byte, lowest first, bit 7
 * set on all but the last.  A guest that writes all over its memory has short
 * gaps and short ranges: about two bytes for each, and no worse if not.
 */

#ifndef QEMU_MIGRATION_HYBRID_RANGES_H
#define QEMU_MIGRATION_HYBRID_RANGES_H

/* ---- which pages ---- */

/* Bitmaps of one block, a bit for each target page */
typedef struct HybridStale {
    const unsigned long *dirty;
    const unsigned long *sent;
    const unsigned long *discarded;
    size_t pages;
    unsigned ratio;             /* target pages in a host page, from 1 */
} HybridStale;

/*
 * The first range of stale pages at or behind page *@first (of a host page),
 * as long as it goes.  Whole host pages: one in which a page is dirty and a
 * page was sent is stale, as it can only be replaced whole; all of it has to be
 * dirty by the time the guest runs at the destination.  Returns the number of
 * pages, 0 if there are none.
 */
size_t hybrid_stale_next(const HybridStale *s, size_t *first);

/*
 * The other side: the first range of host pages, @ratio target pages each, at
 * or behind page *@first of which no target page is in @received.  Returns the
 * number of target pages, 0 if there are none.
 */
size_t hybrid_missing_next(const unsigned long *received, size_t pages,
                           unsigned ratio, size_t *first);

/* ---- in a message ---- */

/* The longest that a range can be, in bytes: twice 64 bits, 7 to a byte */
#define HYBRID_RANGE_MAX_BYTES 20

typedef struct HybridRangeWriter {
    GByteArray *out;            /* is appended to */
    size_t limit;               /* of its length */
    uint64_t pos;               /* behind the last range */
} HybridRangeWriter;

/*
 * Ranges in ascending order, apart.  False if @out has no room for it: begin
 * another message.
 */
bool hybrid_range_put(HybridRangeWriter *w, uint64_t first, uint64_t pages);

typedef struct HybridRangeReader {
    const uint8_t *data;
    size_t size;
    uint64_t pos;
    bool bad;                   /* out: not a list of ranges */
} HybridRangeReader;

/* False at the end, or if the data is bad; no range goes beyond @limit */
bool hybrid_range_get(HybridRangeReader *r, uint64_t limit, uint64_t *first,
                      uint64_t *pages);

#endif
