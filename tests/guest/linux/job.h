/*
 * A job whose output is checked: it compresses a text of some parts again and
 * again, keeps what comes out, and reads it back.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_LINUX_JOB_H
#define TESTS_GUEST_LINUX_JOB_H

#include <stdbool.h>

#define JOB_PARTS     64

bool begin_job(void);

/* Parts of different workers differ: each is done by one at a time. */
void do_job(unsigned part);

/* Answers the command "job": checks all the output. No worker may run. */
void say_job(void);

/* A command's error, or NULL. */
const char *corrupt_job(const char *arg);

#endif
