/*
 * SQLite in the test guest, and what its table must hold.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_LINUX_SQLITE_H
#define TESTS_GUEST_LINUX_SQLITE_H

#include <stdbool.h>
#include <stdint.h>

/* False if it is not there. Fills the table, which takes a second. */
bool begin_sqlite(void);

/* Some rows, chosen by the number, are changed. False if it went wrong. */
bool sqlite_transaction(uint64_t number);

/* Answers the command "sqlite": its own check, and all rows by ours. */
void say_sqlite(void);

/* Changes a row's text, unnoted; a command's error, or NULL. */
const char *corrupt_sqlite(const char *arg);

#endif
