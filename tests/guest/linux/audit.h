/*
 * What the test guest checks: its working set, memory that others look after,
 * its own code, a file, what lies in a pipe.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_LINUX_AUDIT_H
#define TESTS_GUEST_LINUX_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

/* Where the linker has put this program's code. */
extern const uint8_t __executable_start[], etext[];

void begin_audit(void);

/* Answers the command "audit". No worker may run. */
void say_audit(void);

/* Answers the command "changed". */
void say_changed(bool mark);

/* A command's error, or NULL. */
const char *corrupt(const char *arg);

#endif
