/*
 * Where the bare guest's set lies in memory.
 *
 * The program ends a few hundred KiB above 1 MiB. Above it lie the tables of
 * versions, page tables, and the pages of the set; those of 4 KiB in an order
 * in which neighbours are far apart, as in a guest that has run for a while.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>
#include "../shared/pages.h"
#include "layout.h"
#include "memory.h"
#include "serial.h"
#include "start.h"

#define SPREAD          2654435761u     /* a prime larger than any set */
#define TABLES_MAX      512             /* all that one GiB needs */
#define LARGE_SIZE      0x200000ull
/* What the processor adds to an entry: that the page was used and written */
#define PAGE_USED       0x60ull

static uint64_t memory_next;            /* the first byte that is free */
static uint64_t memory_end;
static uint64_t *tables;
static uint64_t set_first;              /* where in memory the set begins */
static bool set_large, set_mixed;

static void *take(uint64_t size, uint64_t align)
{
    uint64_t at = (memory_next + align - 1) & -align;

    if (at + size > memory_end) {
        die("the working set does not fit");
    }
    memory_next = at + size;
    return (void *)at;
}

static uint64_t entry_of(uint64_t page)
{
    uint64_t place = set_mixed ? page * SPREAD % set_pages : page;

    return (set_first + place * PAGE_SIZE) | PAGE_ALL;
}

static uint64_t large_entry_of(uint64_t number)
{
    return (set_first + number * LARGE_SIZE) | PAGE_ALL | PAGE_LARGE;
}

void map_set(uint64_t end, bool large_pages, bool mixed)
{
    uint64_t large = (set_pages + TABLE_WORDS - 1) / TABLE_WORDS;

    memory_next = (uint64_t)program_end;
    memory_end = end;
    set_large = large_pages;
    set_mixed = mixed;
    if (large > TABLES_MAX) {
        die("the working set does not fit");
    }
    version = take(set_pages * sizeof(*version), PAGE_SIZE);
    memset((void *)version, 0, set_pages * sizeof(*version));
    base = take(set_pages * sizeof(*base), PAGE_SIZE);
    memset((void *)base, 0, set_pages * sizeof(*base));
    if (set_large) {
        set_first = (uint64_t)take(large * LARGE_SIZE, LARGE_SIZE);
        for (uint64_t i = 0; i < large; i++) {
            gib1[i] = large_entry_of(i);
        }
    } else {
        tables = take(large * PAGE_SIZE, PAGE_SIZE);
        set_first = (uint64_t)take(set_pages * PAGE_SIZE, PAGE_SIZE);
        for (uint64_t page = 0; page < set_pages; page++) {
            tables[page] = entry_of(page);
        }
        for (uint64_t i = 0; i < large; i++) {
            gib1[i] = (uint64_t)(tables + i * TABLE_WORDS) | PAGE_ALL;
        }
    }
    set = (uint8_t *)SET_ADDRESS;
}

bool tables_are_right(void)
{
    uint64_t differ = 0;

    for (uint64_t page = 0; !set_large && page < set_pages; page++) {
        differ |= (tables[page] ^ entry_of(page)) & ~PAGE_USED;
    }
    for (uint64_t i = 0; i * TABLE_WORDS < set_pages; i++) {
        uint64_t entry = set_large ? large_entry_of(i) :
                         (uint64_t)(tables + i * TABLE_WORDS) | PAGE_ALL;

        differ |= (gib1[i] ^ entry) & ~PAGE_USED;
    }
    return !differ;
}
