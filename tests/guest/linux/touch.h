/*
 * How long the steps of the work took, of those that took long: a step
 * touches a page, and at the destination of a postcopy it may have to wait
 * for it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_LINUX_TOUCH_H
#define TESTS_GUEST_LINUX_TOUCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <x86intrin.h>

#define TOUCH_US      200
#define TOUCH_BUCKETS (40 * 8)  /* eight for each power of two */

/* Of one worker, which alone writes to it, but for a reset. */
typedef struct {
    _Atomic uint32_t bucket[TOUCH_BUCKETS];
    _Atomic uint64_t max;       /* time-stamp counts */
} Touch;

extern uint64_t touch_limit;    /* time-stamp counts */

void begin_touch(void);
void note_touch(Touch *touch, uint64_t counts);

/* Called after each step; last is when the step before it had ended. */
static inline uint64_t time_touch(Touch *touch, uint64_t last)
{
    uint64_t now = __rdtsc();

    if (now - last > touch_limit) {
        note_touch(touch, now - last);
    }
    return now;
}

/* Answers the command "touch", for so many workers. */
void say_touch(Touch *touch[], unsigned count, bool reset);

#endif
