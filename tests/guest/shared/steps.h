/*
 * What the test guests do with their pages, one at a time: the workloads that
 * need no library.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_SHARED_STEPS_H
#define TESTS_GUEST_SHARED_STEPS_H

#include <stdint.h>

/* Of one thread, or CPU. */
typedef struct {
    unsigned index;
    uint64_t random;
    uint64_t next;
    uint64_t window;            /* where it begins */
    uint64_t here;              /* steps since the work began */
} Stepper;

/* What was asked for. */
extern uint64_t work_pages, work_rate, work_threads;

uint64_t random_below(Stepper *s, uint64_t limit);

void step_hot(Stepper *s);      /* writes the pages in turn */
void step_random(Stepper *s);   /* writes any of the pages */
void step_read(Stepper *s);     /* checks any page of the set */
void step_mix(Stepper *s);      /* as hot; each eighth is a read */
void step_apart(Stepper *s);    /* the first thread as hot, others random */

/* Each program's own: a page is not what it should be. */
void note_misread(Stepper *s, uint64_t page, uint32_t v);

#endif
