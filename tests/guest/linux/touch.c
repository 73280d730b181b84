/*
 * How long the steps of the work took.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include "serial.h"
#include "touch.h"

uint64_t touch_limit;
static double counts_per_us;

void begin_touch(void)
{
    uint64_t start = now_ns(), first = __rdtsc();

    sleep_until(start + 20000000);
    counts_per_us = (__rdtsc() - first) * 1000.0 / (now_ns() - start);
    touch_limit = TOUCH_US * counts_per_us;
}

void note_touch(Touch *touch, uint64_t counts)
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

void say_touch(Touch *touch[], unsigned count, bool reset)
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
