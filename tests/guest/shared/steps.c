/*
 * What the test guests do with their pages.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "pages.h"
#include "steps.h"

uint64_t work_pages, work_rate, work_threads;

uint64_t random_below(Stepper *s, uint64_t limit)
{
    s->random += STEP;
    return mix(s->random) % limit;
}

/* The pages of a hot set are shared out among the threads. */
void step_hot(Stepper *s)
{
    if (s->next >= work_pages) {
        s->next = s->index;
    }
    write_part(data_first + s->next);
    s->next += work_threads;
}

void step_random(Stepper *s)
{
    write_part(data_first + random_below(s, work_pages));
}

void step_read(Stepper *s)
{
    uint64_t page = random_below(s, set_pages);
    uint32_t v;

    if (!page_reads_right(page, &v)) {
        note_misread(s, page, v);
    }
}

void step_mix(Stepper *s)
{
    if ((s->here & 7) == 7) {
        step_read(s);
    } else {
        step_hot(s);
    }
}

void step_apart(Stepper *s)
{
    if (s->index) {
        step_random(s);
    } else {
        step_hot(s);
    }
}
