/*
 * Whether the test guest stood still, and how much it got done.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/io.h>
#include "../shared/pages.h"
#include "files.h"
#include "pace.h"
#include "serial.h"
#include "ticks.h"
#include "workloads.h"

#define TICK_PORT     0xe9
#define TICK_NS       1000000
#define REPORT_TICKS  100
#define GAP_NS        5000000
#define GAPS          32

typedef struct {
    uint64_t at_ns;             /* when the tick came that was late */
    uint64_t ns;                /* since the tick before */
} Gap;

static Gap largest[GAPS];
static Gap recent[GAPS];
static _Atomic unsigned recent_head;
static _Atomic uint64_t ticks;
static pthread_mutex_t gap_lock = PTHREAD_MUTEX_INITIALIZER;

static void note_gap(uint64_t at_ns, uint64_t ns)
{
    unsigned least = 0;

    pthread_mutex_lock(&gap_lock);
    for (unsigned i = 1; i < GAPS; i++) {
        if (largest[i].ns < largest[least].ns) {
            least = i;
        }
    }
    if (ns > largest[least].ns) {
        largest[least] = (Gap) { at_ns, ns };
    }
    if (ns > GAP_NS) {
        unsigned head = atomic_load(&recent_head);

        recent[head % GAPS] = (Gap) { at_ns, ns };
        atomic_store(&recent_head, head + 1);
    }
    pthread_mutex_unlock(&gap_lock);
}

static void *tick_thread(void *opaque)
{
    uint64_t last = now_ns(), due = last, now;
    bool port = !ioperm(TICK_PORT, 1, 1);

    set_priority(50);
    for (;;) {
        due += TICK_NS;
        sleep_until(due);
        now = now_ns();
        if (port) {
            outb('a' + atomic_load(&ticks) % 26, TICK_PORT);
        }
        note_pace(now, atomic_load(&ticks));
        atomic_fetch_add(&ticks, 1);
        if (now - last > 2 * TICK_NS) {
            note_gap(now, now - last);
        }
        last = now;
        if (now > due + TICK_NS) {
            due = now;
        }
    }
    return NULL;
}

static void *report_thread(void *opaque)
{
    uint64_t due = now_ns(), before = 0;
    unsigned tail = 0;

    set_priority(10);
    for (;;) {
        uint64_t now, done;

        due += REPORT_TICKS * TICK_NS;
        sleep_until(due);
        now = now_ns();
        done = work_done();
        say("tp t=%" PRIu64 " done=%" PRIu64 " total=%" PRIu64
            " writes=%" PRIu64 " files=%" PRIu64, now / 1000, done - before,
            done, atomic_load(&writes), files_done());
        before = done;
        if (atomic_load(&recent_head) - tail > GAPS) {
            tail = atomic_load(&recent_head) - GAPS;
        }
        for (; tail != atomic_load(&recent_head); tail++) {
            pthread_mutex_lock(&gap_lock);
            Gap gap = recent[tail % GAPS];
            pthread_mutex_unlock(&gap_lock);
            say("gap us=%" PRIu64 " at=%" PRIu64, gap.ns / 1000,
                gap.at_ns / 1000);
        }
        if (now > due + REPORT_TICKS * TICK_NS) {
            due = now;
        }
    }
    return NULL;
}

static void begin_thread(void *(*function)(void *))
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, function, NULL)) {
        die("thread");
    }
}

void begin_ticks(void)
{
    begin_thread(tick_thread);
}

void begin_reports(void)
{
    begin_thread(report_thread);
}

void stats(bool reset)
{
    uint64_t max = 0, at = 0;

    pthread_mutex_lock(&gap_lock);
    for (unsigned i = 0; i < GAPS; i++) {
        if (largest[i].ns > max) {
            max = largest[i].ns;
            at = largest[i].at_ns;
        }
    }
    if (reset) {
        memset(largest, 0, sizeof(largest));
    }
    pthread_mutex_unlock(&gap_lock);
    say("stats pages=%" PRIu64 " gap max=%" PRIu64 "us at %" PRIu64
        " ticks=%" PRIu64 " writes=%" PRIu64 " misread=%" PRIu64
        " work=%s", set_pages, max / 1000, at / 1000, atomic_load(&ticks),
        atomic_load(&writes), work_misread(), work_name());
}
