/*
 * How long the steps of the work took, of those that took long: a step
 * touches a page, and at the destination of a postcopy it may have to wait
 * for it. Part of init.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_TOUCH_H
#define TESTS_GUEST_TOUCH_H

#include <x86intrin.h>
#include "serial.h"

#define TOUCH_US      200
#define TOUCH_BUCKETS (40 * 8)  /* eight for each power of two */

/* Of one worker, which alone writes to it, but for a reset. */
typedef struct {
    _Atomic uint32_t bucket[TOUCH_BUCKETS];
    _Atomic uint64_t max;       /* time-stamp counts */
} Touch;

static uint64_t touch_limit;    /* time-stamp counts */
static double counts_per_us;

static void begin_touch(void)
{
    uint64_t start = now_ns(), first = __rdtsc();

    sleep_until(start + 20000000);
    counts_per_us = (__rdtsc() - first) * 1000.0 / (now_ns() - start);
    touch_limit = TOUCH_US * counts_per_us;
}

static void note_touch(Touch *touch, uint64_t counts)
{
    uint64_t us = counts / counts_per_us;
    unsigned power = 63 - __builtin_clzll(us | 8);
    unsigned bucket = power * 8 + (us >> (power - 3) & 7);

    atomic_fetch_add(&touch->bucket[bucket < TOUCH_BUCKETS ?
                                    bucket : TOUCH_BUCKETS - 1], 1);
    if (counts > atomic_load(&touch->max)) {
        atomic_store(&touch->max, counts);
    }
}

/* Called after each step; last is when the step before it had ended. */
static inline uint64_t time_touch(Touch *touch, uint64_t last)
{
    uint64_t now = __rdtsc();

    if (now - last > touch_limit) {
        note_touch(touch, now - last);
    }
    return now;
}

/* The upper end of the bucket that the part of all lies in. */
static uint64_t touch_part(const uint64_t *sum, double part)
{
    uint64_t all = 0, below = 0, wanted;

    for (unsigned i = 0; i < TOUCH_BUCKETS; i++) {
        all += sum[i];
    }
    wanted = all * part;
    for (unsigned i = 0; all && i < TOUCH_BUCKETS; i++) {
        below += sum[i];
        if (below > wanted || below == all) {
            return (i % 8 + 9ull) << (i / 8 - 3);
        }
    }
    return 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Answers the command "touch", for so many workers. */
static void say_touch(Touch *touch[], unsigned count, bool reset)
{
    uint64_t sum[TOUCH_BUCKETS] = { 0 }, all = 0, max = 0;

    for (unsigned w = 0; w < count; w++) {
        uint64_t us = atomic_load(&touch[w]->max) / counts_per_us;

        max = us > max ? us : max;
        for (unsigned i = 0; i < TOUCH_BUCKETS; i++) {
            sum[i] += atomic_load(&touch[w]->bucket[i]);
            all += atomic_load(&touch[w]->bucket[i]);
            if (reset) {
                atomic_store(&touch[w]->bucket[i], 0);
            }
        }
        if (reset) {
            atomic_store(&touch[w]->max, 0);
        }
    }
    say("touch above=%u count=%" PRIu64 " p50=%" PRIu64 " p99=%" PRIu64
        " max=%" PRIu64, TOUCH_US, all, least(touch_part(sum, 0.5), max),
        least(touch_part(sum, 0.99), max), max);
}

#endif
