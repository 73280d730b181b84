/*
 * Hybrid live migration: the clock of all its times.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_CLOCK_H
#define QEMU_MIGRATION_HYBRID_CLOCK_H

#include "qemu/timer.h"

/* Microseconds on the clock that all metrics use (monotonic) */
static inline int64_t hybrid_now_us(void)
{
    return qemu_clock_get_us(QEMU_CLOCK_REALTIME);
}

/* CPU time of this thread */
static inline int64_t hybrid_thread_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1000000ll + t.tv_nsec / 1000;
}

#endif
