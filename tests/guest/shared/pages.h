/*
 * The test guests' working set: pages whose every byte follows from the page's
 * number and version. The versions are kept apart from the pages, with a sum
 * of their own.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_SHARED_PAGES_H
#define TESTS_GUEST_SHARED_PAGES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define PAGE_SIZE     4096
#define PAGE_WORDS    (PAGE_SIZE / sizeof(uint64_t))
#define STEP          0x9e3779b97f4a7c15ull

/*
 * An odd version says that a thread is writing the page. Version 0 is a page
 * of zeros, whether written or never touched. The base is the version that was
 * written as a whole; each one after it has changed a part, whose place and
 * bytes follow from the page, its base and which one it is.
 */
extern _Atomic uint32_t *version;
extern _Atomic uint32_t *base;
extern uint8_t *set;
extern uint64_t set_pages, zero_pages, untouched_pages;
extern uint64_t data_first, data_pages;
extern _Atomic uint64_t writes;

static inline uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

/* Writes the zero pages and the first version of those with data. */
void fill_set(void);

/* False if another thread is writing it. */
bool write_page(uint64_t page);

/*
 * How large a part is, in bytes, and whether it is at a fixed place of a page
 * or at others, until all of the page has had its turn. Nobody may write
 * meanwhile, for pages with parts of another kind are written as a whole.
 */
static inline bool part_is_sized(uint64_t bytes)
{
    return bytes && bytes <= PAGE_SIZE && bytes % sizeof(uint64_t) == 0;
}

void set_part(uint64_t bytes, bool spread);

/* As write_page(), but a part of it, unless that is all of it. */
bool write_part(uint64_t page);

/*
 * Bytes that were written since the mark, each place once, pages that have
 * any, and the most of one page. While somebody writes, it is near enough.
 */
typedef struct {
    uint64_t pages;
    uint64_t bytes;
    uint64_t most;
} SetChanged;

/* Marks now; the table has one entry for each page, and is kept. */
void mark_set(_Atomic uint32_t *table);
SetChanged changed_set(void);

/*
 * Checks a page in passing. One that is written meanwhile tells nothing and
 * counts as right.
 */
bool page_reads_right(uint64_t page, uint32_t *v);

/* What an audit finds; nobody may write meanwhile. */
typedef struct {
    uint64_t wrong;
    uint64_t first[8];          /* of those that are wrong */
    bool table_right;           /* the sums of versions and of writes */
} SetAudit;

/* in_passing: called after each page, or NULL */
SetAudit audit_set(void (*in_passing)(void));

/*
 * Flips one bit of a page, unnoted. Which one follows from the page, so that
 * all offsets get their turn.
 */
void corrupt_page(uint64_t page);

#endif
