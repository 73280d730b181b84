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
 * of zeros, whether written or never touched.
 */
extern _Atomic uint32_t *version;
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
