/*
 * The threads that work on the test guest's pages, as they are told.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_LINUX_WORKLOADS_H
#define TESTS_GUEST_LINUX_WORKLOADS_H

#include <stdbool.h>
#include <stdint.h>

void begin_workers(void);

/*
 * "NAME pages= rate= threads= bytes= spread="; rate = 0 is as fast as it goes,
 * the last two are those of set_part().
 */
const char *start_work(char *args);

/* Returns when nobody works any more. */
void park_workers(void);

/* For the lines that say so. */
const char *work_name(void);
uint64_t work_done(void);       /* pages, by all of them */
uint64_t work_misread(void);

/* Answers the command "touch". */
void touch(bool reset);

#endif
