/*
 * What the bare guest says and hears; only the first CPU's.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_BARE_SERIAL_H
#define TESTS_GUEST_BARE_SERIAL_H

#include <stdbool.h>
#include <stdint.h>

extern char heard_text[256];
extern bool heard_line;                 /* there is one in it */

void begin_serial(void);

/* Bytes wait until the port has room, so that saying never takes long */
void exchange(void);

void begin_line(const char *kind);
void say_string(const char *text);
void say_number(uint64_t value);
void say_field(const char *name, uint64_t value);
void say_word(const char *name, const char *value);
void end_line(void);

__attribute__((noreturn))
void die(const char *what);

#endif
