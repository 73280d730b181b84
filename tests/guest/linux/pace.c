/*
 * How much the test guest got done, each 10 ms.
 *
 * It is kept here and said when it is asked for: a line over the serial port
 * each 10 ms would cost the guest more than what it is about. A sample takes
 * eight bytes, for each new page of them may have to be waited for at the
 * destination: five seconds fit one.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include "pace.h"
#include "serial.h"
#include "workloads.h"

#define PACE_US       10000
#define EARLY_US      500
#define SAMPLES       32768     /* 160 seconds may be asked for */
#define TICKS         10        /* of a sample that is in time */
#define DONE_BITS     28

typedef struct {
    uint64_t us;
    uint64_t tick;
    uint64_t done;
} Moment;

/* Since the sample before. */
typedef struct {
    uint32_t us;
    uint32_t done:DONE_BITS;
    uint32_t ticks:32 - DONE_BITS;
} Sample;

static Sample sample[SAMPLES] __attribute__((aligned(4096)));
static Moment last;             /* the thread that ticks writes it */
static _Atomic uint64_t taken;

void note_pace(uint64_t ns, uint64_t tick)
{
    uint64_t count = atomic_load(&taken);
    Moment now = { ns / 1000, tick, 0 };

    if (count && now.us - last.us < PACE_US - EARLY_US) {
        return;
    }
    now.done = work_done();
    sample[count % SAMPLES] = (Sample) {
        now.us - last.us, now.done - last.done, now.tick - last.tick
    };
    last = now;
    atomic_store(&taken, count + 1);
}

/* The last sample, and how many there were with it. */
static Moment last_moment(uint64_t *count)
{
    Moment found;

    do {
        *count = atomic_load(&taken);
        found = last;
        atomic_thread_fence(memory_order_seq_cst);
    } while (atomic_load(&taken) != *count);
    return found;
}

void say_pace(const char *arg)
{
    uint64_t count, wanted = 0, number;
    Moment at = last_moment(&count);
    char list[512];
    int used = 0;

    sscanf(arg, "%" SCNu64, &wanted);
    /* The oldest may be overwritten while they are read. */
    if (wanted > SAMPLES / 2) {
        wanted = SAMPLES / 2;
    }
    if (wanted >= count) {
        wanted = count ? count - 1 : 0;
    }
    for (number = count; number > count - wanted; number--) {
        at.us -= sample[(number - 1) % SAMPLES].us;
        at.tick -= sample[(number - 1) % SAMPLES].ticks;
    }
    for (Moment next = at; number < count; number++) {
        Sample s = sample[number % SAMPLES];

        next.us += s.us;
        next.tick += s.ticks;
        used += snprintf(list + used, sizeof(list) - used, "%s%u/%u",
                         used ? "," : "", s.us, (unsigned)s.done);
        if (s.ticks != TICKS) {
            used += snprintf(list + used, sizeof(list) - used, "/%u",
                             (unsigned)s.ticks);
        }
        if (used > (int)sizeof(list) - 40 || number + 1 == count) {
            say("sp at=%" PRIu64 " tick=%" PRIu64 " d=%s", at.us, at.tick,
                list);
            at = next;
            used = 0;
        }
    }
    say("pace count=%" PRIu64, wanted);
}
