/*
 * The test guest's working set: pages whose every byte follows from the page's
 * number and version. The versions are kept apart from the pages, with a sum
 * of their own. Part of init.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_PAGES_H
#define TESTS_GUEST_PAGES_H

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
static _Atomic uint32_t *version;
static uint8_t *set;
static uint64_t set_pages, zero_pages, untouched_pages;
static uint64_t data_first, data_pages;
static _Atomic uint64_t table_sum;
static _Atomic uint64_t writes;

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

/* What the page's first word is; each next word is larger by STEP. */
static uint64_t page_seed(uint64_t page, uint32_t v)
{
    return mix((page << 32 | v) + STEP);
}

static uint64_t *page_words(uint64_t page)
{
    return (uint64_t *)(set + page * PAGE_SIZE);
}

static void fill_page(uint64_t page, uint32_t v)
{
    uint64_t *word = page_words(page), value = page_seed(page, v);

    for (unsigned i = 0; i < PAGE_WORDS; i++, value += STEP) {
        word[i] = value;
    }
}

/* Every byte of the page is compared. */
static bool page_is(uint64_t page, uint32_t v)
{
    /* volatile: another thread may write the page while it is being read */
    const volatile uint64_t *word = page_words(page);
    uint64_t value = v ? page_seed(page, v) : 0, step = v ? STEP : 0;
    uint64_t differ = 0;

    for (unsigned i = 0; i < PAGE_WORDS; i++, value += step) {
        differ |= word[i] ^ value;
    }
    return !differ;
}

static bool write_page(uint64_t page)
{
    uint32_t v = atomic_load(&version[page]);

    if (v & 1 || !atomic_compare_exchange_strong(&version[page], &v, v | 1)) {
        return false;
    }
    fill_page(page, v + 2);
    atomic_fetch_add(&table_sum,
                     page_seed(page, v + 2) - (v ? page_seed(page, v) : 0));
    atomic_fetch_add(&writes, 1);
    atomic_store(&version[page], v + 2);
    return true;
}

/*
 * Checks a page in passing. One that is written meanwhile tells nothing and
 * counts as right.
 */
static bool page_reads_right(uint64_t page, uint32_t *v)
{
    *v = atomic_load(&version[page]);
    return *v & 1 || page_is(page, *v) || atomic_load(&version[page]) != *v;
}

#endif
