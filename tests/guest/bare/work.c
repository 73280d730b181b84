/*
 * What the bare guest does with its pages.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdatomic.h>
#include "../shared/pages.h"
#include "machine.h"
#include "work.h"

static const Workload *workload = &workloads[0];
static _Atomic unsigned work_epoch = 1;     /* odd: parked */
static _Atomic unsigned working;
Worker workers[CPUS_MAX] = { { .step.index = 0 }, { .step.index = 1 } };

const Workload workloads[] = {
    { "idle", NULL },
    { "hot", step_hot },
    { "random", step_random },
    { "read", step_read },
    { "mix", step_mix },
    { "apart", step_apart },
};
const unsigned workloads_count = sizeof(workloads) / sizeof(*workloads);

void note_misread(Stepper *s, uint64_t page, uint32_t v)
{
    atomic_fetch_add(&((Worker *)s)->misread, 1);
}

void begin_cpu(Worker *w)
{
    w->step.random = w->step.index + 1;
    fill_registers(mix(w->step.index));
}

void check_cpu(Worker *w)
{
    if (!registers_hold(mix(w->step.index))) {
        atomic_store(&w->registers_bad, true);
    }
}

bool registers_are_right(void)
{
    return !workers[0].registers_bad && !workers[1].registers_bad;
}

/* The first CPU is not working while it calls this */
void park(void (*in_passing)(void))
{
    atomic_fetch_or(&work_epoch, 1);
    while (atomic_load(&working)) {
        in_passing();
    }
}

void set_work(const Workload *work, uint64_t pages, uint64_t rate,
              uint64_t threads)
{
    workload = work;
    work_pages = pages;
    work_rate = rate;
    work_threads = threads;
    atomic_fetch_add(&work_epoch, 1);
}

const char *work_name(void)
{
    return workload->name;
}

uint64_t work_done(void)
{
    return atomic_load(&workers[0].done) + atomic_load(&workers[1].done);
}

uint64_t work_misread(void)
{
    return atomic_load(&workers[0].misread) + atomic_load(&workers[1].misread);
}

static bool ahead_of_rate(Worker *w)
{
    return work_rate && (unsigned __int128)w->step.here * 1000000000 >
        (unsigned __int128)(now_ns() - w->start) * (work_rate / work_threads);
}

bool work_step(Worker *w)
{
    unsigned epoch = atomic_load(&work_epoch);
    bool busy = false;

    atomic_fetch_add(&working, 1);
    if (!(epoch & 1) && atomic_load(&work_epoch) == epoch &&
        workload->step && w->step.index < work_threads) {
        if (w->epoch != epoch) {
            w->epoch = epoch;
            w->step.next = w->step.index;
            w->step.here = 0;
            w->start = now_ns();
        }
        if (!ahead_of_rate(w)) {
            workload->step(&w->step);
            w->step.here++;
            atomic_fetch_add(&w->done, 1);
            busy = true;
        }
    }
    atomic_fetch_sub(&working, 1);
    return busy;
}
