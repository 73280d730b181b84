/*
 * What the bare guest does with its pages, each CPU by itself.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_BARE_WORK_H
#define TESTS_GUEST_BARE_WORK_H

#include <stdbool.h>
#include <stdint.h>
#include "../shared/steps.h"

#define CPUS_MAX        2
#define SLEEP_NS        1000000

typedef struct {
    const char *name;
    void (*step)(Stepper *s);
} Workload;

typedef struct {
    Stepper step;               /* the first: note_misread() relies on it */
    unsigned epoch;             /* of the work that it has begun */
    uint64_t start;             /* time */
    _Atomic uint64_t done;      /* pages in all */
    _Atomic uint64_t misread;
    _Atomic bool registers_bad;
} Worker;

extern const Workload workloads[];
extern const unsigned workloads_count;
extern Worker workers[CPUS_MAX];

/* Before anything else, on each CPU by itself. */
void begin_cpu(Worker *w);
void check_cpu(Worker *w);

/* Nobody works any more; in_passing is called meanwhile. */
void park(void (*in_passing)(void));

/* Everybody does this from now on; they are parked. */
void set_work(const Workload *work, uint64_t pages, uint64_t rate,
              uint64_t threads);

/* Does one page. False if there is nothing to do now. */
bool work_step(Worker *w);

const char *work_name(void);
uint64_t work_done(void);
uint64_t work_misread(void);
bool registers_are_right(void);

#endif
