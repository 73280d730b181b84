/*
 * How much the test guest got done, each 10 ms.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_LINUX_PACE_H
#define TESTS_GUEST_LINUX_PACE_H

#include <stdint.h>

/* At each tick, by the thread that ticks: its time and its number. */
void note_pace(uint64_t ns, uint64_t tick);

/* Answers the command "pace COUNT". */
void say_pace(const char *arg);

#endif
