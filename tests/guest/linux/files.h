/*
 * Files that the test guest writes to its disk, one after the other, and
 * reads back. What each holds follows from its number.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_LINUX_FILES_H
#define TESTS_GUEST_LINUX_FILES_H

#include <stdint.h>

/* Where they are; without, this guest has no disk. */
void set_file_folder(const char *name);

/* Commands: their error, or NULL. */
const char *start_files(void);
void stop_files(void);
const char *corrupt_file(const char *arg);

/* Answers the command "files". */
void check_files(void);

/* How many are written, and synced. */
uint64_t files_done(void);

#endif
