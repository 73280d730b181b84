/*
 * What the test guest says, and the time.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <sys/klog.h>
#include <sys/reboot.h>
#include "serial.h"

static pthread_mutex_t say_lock = PTHREAD_MUTEX_INITIALIZER;
static int serial;
static uint64_t line_number;

int open_serial(void)
{
    struct termios t;

    serial = open("/dev/ttyS0", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (serial < 0) {
        exit(1);
    }
    tcgetattr(serial, &t);
    cfmakeraw(&t);
    t.c_cflag |= CLOCAL;
    tcsetattr(serial, TCSANOW, &t);
    /* From here on only a panic of the kernel may break into a line. */
    klogctl(8, NULL, 1);
    return serial;
}

uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

void sleep_until(uint64_t ns)
{
    struct timespec t = { ns / 1000000000, ns % 1000000000 };

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {
        ;
    }
}

void say(const char *format, ...)
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

void set_priority(int priority)
{
    struct sched_param param = { .sched_priority = priority };

    pthread_setschedparam(pthread_self(), SCHED_FIFO, &param);
}

void die(const char *what)
{
    say("fatal %s: %s", what, strerror(errno));
    sleep(1);
    reboot(RB_POWER_OFF);
    exit(1);
}
