/*
 * The bare guest's memory: where the set lies, and the tables that say so.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_BARE_MEMORY_H
#define TESTS_GUEST_BARE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

/* How the set lies in memory that ends there; its sizes are known. */
void map_set(uint64_t memory_end, bool large, bool mixed);

/* The tables themselves are memory that has to be right */
bool tables_are_right(void);

#endif
