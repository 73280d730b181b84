/*
 * What the test guest says, and the time. Part of init.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_SERIAL_H
#define TESTS_GUEST_SERIAL_H

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/reboot.h>

static pthread_mutex_t say_lock = PTHREAD_MUTEX_INITIALIZER;
static int serial;
static uint64_t line_number;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
    struct timespec t = { ns / 1000000000, ns % 1000000000 };

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {
        ;
    }
}

__attribute__((format(printf, 1, 2)))
static void say(const char *format, ...)
{
    char line[600];
    int used, n;
    va_list list;

    pthread_mutex_lock(&say_lock);
    used = snprintf(line, sizeof(line), "@%" PRIu64 " ", line_number++);
    va_start(list, format);
    n = vsnprintf(line + used, sizeof(line) - used - 1, format, list);
    va_end(list);
    used += n;
    if (used > (int)sizeof(line) - 2) {
        used = sizeof(line) - 2;
    }
    line[used++] = '\n';
    for (char *p = line; used > 0; p += n, used -= n) {
        n = write(serial, p, used);
        if (n < 0) {
            n = 0;
        }
    }
    pthread_mutex_unlock(&say_lock);
}

static void set_priority(int priority)
{
    struct sched_param param = { .sched_priority = priority };

    pthread_setschedparam(pthread_self(), SCHED_FIFO, &param);
}

/* A kernel panic is what the harness sees of a guest that cannot start. */
static void die(const char *what)
{
    say("fatal %s: %s", what, strerror(errno));
    sleep(1);
    reboot(RB_POWER_OFF);
    exit(1);
}

#endif
