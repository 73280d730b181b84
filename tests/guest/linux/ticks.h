/*
 * Whether the test guest stood still, and how much it got done.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_LINUX_TICKS_H
#define TESTS_GUEST_LINUX_TICKS_H

#include <stdbool.h>

void begin_ticks(void);

/* Lines "tp" and "gap", ten times a second. */
void begin_reports(void);

/* Answers the command "stats". */
void stats(bool reset);

#endif
