/*
 * Whether the bare guest stood still, and how much it got done: as
 * ../linux/ticks.h, but called in passing; only the first CPU's.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_BARE_TICKS_H
#define TESTS_GUEST_BARE_TICKS_H

#include <stdbool.h>
#include <stdint.h>

extern uint64_t tick_due;

void begin_ticks(void);
void tick_if_due(void);

/* Answers the command "stats". */
void stats(bool reset);

#endif
