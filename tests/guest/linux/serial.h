/*
 * What the test guest says, and the time.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_LINUX_SERIAL_H
#define TESTS_GUEST_LINUX_SERIAL_H

#include <stdint.h>

uint64_t now_ns(void);
void sleep_until(uint64_t ns);

/* Of the calling thread, before all others'. */
void set_priority(int priority);

/* The serial port, also for reading; nothing is said before. */
int open_serial(void);

/* One line, with its number. */
__attribute__((format(printf, 1, 2)))
void say(const char *format, ...);

/* A kernel panic is what the harness sees of a guest that cannot start. */
__attribute__((noreturn))
void die(const char *what);

#endif
