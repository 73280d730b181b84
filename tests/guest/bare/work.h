/*
 * What the bare guest does with its pages: the workloads of ../workloads.h that
 * need no library. Part of bare.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_BARE_WORK_H
#define TESTS_GUEST_BARE_WORK_H

#include "memory.h"

#define CPUS_MAX        2
#define SLEEP_NS        1000000

typedef struct Worker Worker;

typedef struct {
    const char *name;
    void (*step)(Worker *w);
} Workload;

struct Worker {
    unsigned index;
    unsigned epoch;             /* of the work that it has begun */
    uint64_t random;
    uint64_t next;
    uint64_t start;             /* time */
    uint64_t here;              /* pages since then */
    _Atomic uint64_t done;      /* pages in all */
    _Atomic uint64_t misread;
    _Atomic bool registers_bad;
};

static const Workload *workload;
static uint64_t work_pages, work_rate, work_threads;
static _Atomic unsigned work_epoch = 1;     /* odd: parked */
static _Atomic unsigned working;
static Worker workers[CPUS_MAX] = { { .index = 0 }, { .index = 1 } };

static uint64_t random_below(Worker *w, uint64_t limit)
{
    w->random += STEP;
    return mix(w->random) % limit;
}

static void step_hot(Worker *w)
{
    if (w->next >= work_pages) {
        w->next = w->index;
    }
    write_page(data_first + w->next);
    w->next += work_threads;
}

static void step_random(Worker *w)
{
    write_page(data_first + random_below(w, work_pages));
}

static void step_read(Worker *w)
{
    uint32_t v;

    if (!page_reads_right(random_below(w, set_pages), &v)) {
        atomic_fetch_add(&w->misread, 1);
    }
}

static void step_mix(Worker *w)
{
    if ((w->here & 7) == 7) {
        step_read(w);
    } else {
        step_hot(w);
    }
}

static void step_apart(Worker *w)
{
    if (w->index) {
        step_random(w);
    } else {
        step_hot(w);
    }
}

static const Workload workloads[] = {
    { "idle", NULL },
    { "hot", step_hot },
    { "random", step_random },
    { "read", step_read },
    { "mix", step_mix },
    { "apart", step_apart },
};

static bool ahead_of_rate(Worker *w)
{
    return work_rate && (unsigned __int128)w->here * 1000000000 >
        (unsigned __int128)(now_ns() - w->start) * (work_rate / work_threads);
}

/* Does one page. False if there is nothing to do now. */
static bool work_step(Worker *w)
{
    unsigned epoch = atomic_load(&work_epoch);
    bool busy = false;

    atomic_fetch_add(&working, 1);
    if (!(epoch & 1) && atomic_load(&work_epoch) == epoch &&
        workload->step && w->index < work_threads) {
        if (w->epoch != epoch) {
            w->epoch = epoch;
            w->next = w->index;
            w->here = 0;
            w->start = now_ns();
        }
        if (!ahead_of_rate(w)) {
            workload->step(w);
            w->here++;
            atomic_fetch_add(&w->done, 1);
            busy = true;
        }
    }
    atomic_fetch_sub(&working, 1);
    return busy;
}

#endif
