/*
 * The test guests' working set.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stddef.h>
#include <string.h>
#include "pages.h"

#define PART_UNIT     sizeof(uint64_t)

_Atomic uint32_t *version;
_Atomic uint32_t *base;
uint8_t *set;
uint64_t set_pages, zero_pages, untouched_pages;
uint64_t data_first, data_pages;
_Atomic uint64_t writes;

static _Atomic uint64_t table_sum;
static unsigned part_words = PAGE_WORDS;
static unsigned part_slots = 1;         /* a power of two */
static bool part_spread;
static _Atomic uint32_t *mark;

/* What the page's first word is; each next word is larger by STEP. */
static uint64_t page_seed(uint64_t page, uint32_t v)
{
    return mix((page << 32 | v) + STEP);
}

static uint64_t *page_words(uint64_t page)
{
    return (uint64_t *)(set + page * PAGE_SIZE);
}

/* So many words of the page from that one on, as that version has them. */
static void fill_words(uint64_t *word, uint64_t page, uint32_t v,
                       unsigned first, unsigned count)
{
    uint64_t value = page_seed(page, v) + first * STEP;

    for (unsigned i = first; i < first + count; i++, value += STEP) {
        word[i] = value;
    }
}

/*
 * Where the part number n (from 0 on, since the base) of a page is written.
 * Each time that all of a page is gone through, it is in another order.
 */
static unsigned part_place(uint64_t page, uint32_t of, uint32_t n)
{
    unsigned slot_words = PAGE_WORDS / part_slots;
    uint64_t order;

    if (!part_spread) {
        return mix(page) % (PAGE_WORDS - part_words + 1);
    }
    order = mix(page_seed(page, of) + n / part_slots);
    return ((order | 1) * n + (order >> 32)) % part_slots * slot_words;
}

/* Zeros are version 0, which has no seed. */
static void expect_page(uint64_t *word, uint64_t page, uint32_t v, uint32_t of)
{
    uint32_t count = (v - of) / 2, n = 0;

    if (of) {
        fill_words(word, page, of, 0, PAGE_WORDS);
    } else {
        memset(word, 0, PAGE_SIZE);
    }
    /* The last ones have covered what is older. */
    if (part_spread && count > 2 * part_slots) {
        n = (count / part_slots - 1) * part_slots;
    } else if (!part_spread && count) {
        n = count - 1;
    }
    for (; n < count; n++) {
        fill_words(word, page, of + 2 * (n + 1), part_place(page, of, n),
                   part_words);
    }
}

/* Every byte of the page is compared. */
static bool page_is(uint64_t page, uint32_t v)
{
    /* volatile: another thread may write the page while it is being read */
    const volatile uint64_t *word = page_words(page);
    uint32_t of = atomic_load(&base[page]);
    uint64_t value = v ? page_seed(page, v) : 0, step = v ? STEP : 0;
    uint64_t differ = 0;

    if (v != of) {
        uint64_t expected[PAGE_WORDS];

        expect_page(expected, page, v, of);
        for (unsigned i = 0; i < PAGE_WORDS; i++) {
            differ |= word[i] ^ expected[i];
        }
        return !differ;
    }
    for (unsigned i = 0; i < PAGE_WORDS; i++, value += step) {
        differ |= word[i] ^ value;
    }
    return !differ;
}

/* What a page adds to the sum over the tables. */
static uint64_t page_sum(uint64_t page, uint32_t v, uint32_t of)
{
    return v ? page_seed(page, v) + 3 * mix(page_seed(page, of)) : 0;
}

static bool write_words(uint64_t page, bool whole)
{
    uint32_t v = atomic_load(&version[page]), of, new_of;

    if (v & 1 || !atomic_compare_exchange_strong(&version[page], &v, v | 1)) {
        return false;
    }
    of = atomic_load(&base[page]);
    new_of = whole ? v + 2 : of;
    if (whole) {
        fill_words(page_words(page), page, v + 2, 0, PAGE_WORDS);
        atomic_store(&base[page], new_of);
    } else {
        fill_words(page_words(page), page, v + 2,
                   part_place(page, of, (v - of) / 2), part_words);
    }
    atomic_fetch_add(&table_sum,
                     page_sum(page, v + 2, new_of) - page_sum(page, v, of));
    atomic_fetch_add(&writes, 1);
    atomic_store(&version[page], v + 2);
    return true;
}

bool write_page(uint64_t page)
{
    return write_words(page, true);
}

bool write_part(uint64_t page)
{
    return write_words(page, part_words == PAGE_WORDS);
}

void set_part(uint64_t bytes, bool spread)
{
    unsigned words = bytes / PART_UNIT, slots = 1;

    if (words == part_words && spread == part_spread) {
        return;
    }
    for (uint64_t page = 0; page < set_pages; page++) {
        if (atomic_load(&version[page]) != atomic_load(&base[page])) {
            write_page(page);
        }
    }
    while (words * 2 * slots <= PAGE_WORDS) {
        slots *= 2;
    }
    part_words = words;
    part_slots = slots;
    part_spread = spread;
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

        sum += page_sum(page, v, atomic_load(&base[page]));
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

/* Of a page that was of that version. */
static uint64_t page_changed(uint64_t page, uint32_t from)
{
    uint32_t v = atomic_load(&version[page]) & ~1u;
    uint32_t of = atomic_load(&base[page]);
    uint64_t seen[PAGE_WORDS / 64] = { 0 }, places = 0;

    if (v == from) {
        return 0;
    }
    if (of > from) {
        return PAGE_SIZE;
    }
    if (!part_spread) {
        return part_words * PART_UNIT;
    }
    if ((v - from) / 2 >= 2 * part_slots) {
        from = v - 4 * part_slots;
    }
    for (uint32_t n = (from - of) / 2; n < (v - of) / 2; n++) {
        unsigned place = part_place(page, of, n);

        places += !(seen[place / 64] >> place % 64 & 1);
        seen[place / 64] |= 1ull << place % 64;
    }
    return places * part_words * PART_UNIT;
}

void mark_set(_Atomic uint32_t *table)
{
    for (uint64_t page = 0; page < set_pages; page++) {
        atomic_store(&table[page], atomic_load(&version[page]) & ~1u);
    }
    mark = table;
}

SetChanged changed_set(void)
{
    SetChanged found = { 0 };

    for (uint64_t page = 0; mark && page < set_pages; page++) {
        uint64_t bytes = page_changed(page, atomic_load(&mark[page]));

        found.pages += bytes > 0;
        found.bytes += bytes;
        if (bytes > found.most) {
            found.most = bytes;
        }
    }
    return found;
}

void corrupt_page(uint64_t page)
{
    uint64_t bit = mix(page) % (PAGE_SIZE * 8);

    set[page * PAGE_SIZE + bit / 8] ^= 1 << bit % 8;
}
