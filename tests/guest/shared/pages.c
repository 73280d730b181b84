/*
 * The test guests' working set.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stddef.h>
#include <string.h>
#include "pages.h"

_Atomic uint32_t *version;
uint8_t *set;
uint64_t set_pages, zero_pages, untouched_pages;
uint64_t data_first, data_pages;
_Atomic uint64_t writes;

static _Atomic uint64_t table_sum;

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

bool write_page(uint64_t page)
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

bool page_reads_right(uint64_t page, uint32_t *v)
{
    *v = atomic_load(&version[page]);
    return *v & 1 || page_is(page, *v) || atomic_load(&version[page]) != *v;
}

void fill_set(void)
{
    uint64_t page;

    for (page = 0; page < zero_pages; page++) {
        memset(set + page * PAGE_SIZE, 1, PAGE_SIZE);
        memset(set + page * PAGE_SIZE, 0, PAGE_SIZE);
    }
    for (; page < set_pages - untouched_pages; page++) {
        write_page(page);
    }
}

SetAudit audit_set(void (*in_passing)(void))
{
    SetAudit found = { 0 };
    uint64_t sum = 0, total = 0;

    for (uint64_t page = 0; page < set_pages; page++) {
        uint32_t v = atomic_load(&version[page]);

        sum += v ? page_seed(page, v) : 0;
        total += v / 2;
        if (v & 1 || !page_is(page, v)) {
            if (found.wrong < sizeof(found.first) / sizeof(*found.first)) {
                found.first[found.wrong] = page;
            }
            found.wrong++;
        }
        if (in_passing) {
            in_passing();
        }
    }
    found.table_right = sum == atomic_load(&table_sum) &&
                        total == atomic_load(&writes);
    return found;
}

void corrupt_page(uint64_t page)
{
    uint64_t bit = mix(page) % (PAGE_SIZE * 8);

    set[page * PAGE_SIZE + bit / 8] ^= 1 << bit % 8;
}
