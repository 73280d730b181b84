/*
 * A compiler at work in the test guest, and what must come out.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_LINUX_COMPILE_H
#define TESTS_GUEST_LINUX_COMPILE_H

#include <stdbool.h>

#define COMPILE_FILES 32

/* Writes the sources, and compiles each once. False without a compiler. */
bool begin_compile(void);

/* One file; those of different workers differ. */
void do_compile(unsigned file);

/* Answers the command "compile": compiles all again. No worker may run. */
void say_compile(void);

/* Changes a source, unnoted; a command's error, or NULL. */
const char *corrupt_compile(const char *arg);

#endif
