/*
 * The threads that work on the test guest's pages.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "../shared/pages.h"
#include "../shared/steps.h"
#include "compile.h"
#include "job.h"
#include "serial.h"
#include "touch.h"
#include "workloads.h"

#define MAX_THREADS   2
#define ZIPF_BUCKETS  4096
#define ZIPF_SKEW     0.99
#define ZIPF_SPREAD   2654435761u   /* a prime larger than any set */
#define MOVES         8             /* steps in which a window moves on */

typedef struct {
    const char *name;
    void (*step)(Stepper *s);   /* does one page */
    bool (*begin)(void);        /* may be missing */
} Workload;

typedef struct {
    Stepper step;
    _Atomic uint64_t done;      /* pages, for the throughput line */
    Touch touch;
} Worker;

static _Atomic uint64_t misread;

static const Workload *workload;
static _Atomic unsigned work_epoch;     /* odd: parked */
static _Atomic unsigned working;
static Worker workers[MAX_THREADS];

/* At which rank, in 1/256, each 4096th of all accesses begins. */
static uint32_t zipf_rank[ZIPF_BUCKETS + 1];

/* The inverse of the sum of 1 / rank^0.99, with lines between its points. */
static bool begin_zipf(void)
{
    double all = 0, sum = 0, before = 0;
    unsigned i = 0;

    for (uint64_t rank = 1; rank <= work_pages; rank++) {
        all += pow(rank, -ZIPF_SKEW);
    }
    for (uint64_t rank = 1; rank <= work_pages; rank++) {
        sum += pow(rank, -ZIPF_SKEW) / all;
        for (; i < ZIPF_BUCKETS && (double)i / ZIPF_BUCKETS < sum; i++) {
            double in_rank = ((double)i / ZIPF_BUCKETS - before) /
                             (sum - before);

            zipf_rank[i] = (rank - 1 + in_rank) * 256;
        }
        before = sum;
    }
    for (; i <= ZIPF_BUCKETS; i++) {
        zipf_rank[i] = work_pages * 256;
    }
    return true;
}

/* Ranks are spread over the set, so that hot pages are no neighbours. */
static void step_zipf(Stepper *s)
{
    uint64_t pick = random_below(s, ZIPF_BUCKETS << 16);
    uint64_t from = zipf_rank[pick >> 16], to = zipf_rank[(pick >> 16) + 1];
    uint64_t rank = (from + ((to - from) * (pick & 0xffff) >> 16)) >> 8;

    write_part(data_first + rank * ZIPF_SPREAD % work_pages);
}

static void step_readmostly(Stepper *s)
{
    if ((s->here & 15) == 15) {
        step_random(s);
    } else {
        step_read(s);
    }
}

/* The threads share out the window's pages, and move on each by itself. */
static void step_moving(Stepper *s)
{
    if (s->next >= work_pages) {
        s->next = s->index;
        s->window = (s->window + (work_pages + MOVES - 1) / MOVES) %
                    data_pages;
    }
    write_part(data_first + (s->window + s->next) % data_pages);
    s->next += work_threads;
}

static void step_job(Stepper *s)
{
    do_job(s->next % JOB_PARTS);
    s->next += work_threads;
}

static void step_compile(Stepper *s)
{
    do_compile(s->next % COMPILE_FILES);
    s->next += work_threads;
}

/* Beside those of steps.h */
static const Workload workloads[] = {
    { "idle", NULL },
    { "hot", step_hot },
    { "random", step_random },
    { "read", step_read },
    { "mix", step_mix },
    { "zipf", step_zipf, begin_zipf },  /* writes pages= pages, skew 0.99 */
    { "readmostly", step_readmostly },  /* one in 16 is a write, as random */
    { "moving", step_moving },      /* as hot, but the pages= pages move */
    { "apart", step_apart },
    { "job", step_job, begin_job }, /* compresses; a page is 16 KiB of text */
    { "compile", step_compile, begin_compile },     /* a page is a file */
};

void note_misread(Stepper *s, uint64_t page, uint32_t v)
{
    if (atomic_fetch_add(&misread, 1) < 10) {
        say("misread page=%" PRIu64 " version=%u", page, v);
    }
}

/* Each has a CPU of its own, if there are as many. */
static void pin(const Worker *w)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t mine;

    CPU_ZERO(&mine);
    CPU_SET(w->step.index % (cpus > 0 ? cpus : 1), &mine);
    sched_setaffinity(0, sizeof(mine), &mine);
}

static void *worker_thread(void *opaque)
{
    Worker *w = opaque;

    pin(w);
    for (;;) {
        unsigned epoch = atomic_load(&work_epoch);
        const Workload *job;
        uint64_t start, done, last;

        atomic_fetch_add(&working, 1);
        if (epoch & 1 || atomic_load(&work_epoch) != epoch ||
            !workload->step || w->step.index >= work_threads) {
            atomic_fetch_sub(&working, 1);
            usleep(1000);
            continue;
        }
        job = workload;
        w->step.next = w->step.index;
        w->step.window = w->step.here = 0;
        start = now_ns();
        last = __rdtsc();
        for (done = 0; atomic_load(&work_epoch) == epoch; done++) {
            if (work_rate && done * 1000000000ull >
                             (now_ns() - start) * (work_rate / work_threads)) {
                usleep(1000);
                done--;
                last = __rdtsc();
                continue;
            }
            job->step(&w->step);
            w->step.here++;
            last = time_touch(&w->touch, last);
            atomic_fetch_add(&w->done, 1);
        }
        atomic_fetch_sub(&working, 1);
    }
    return NULL;
}

void begin_workers(void)
{
    begin_touch();
    workload = &workloads[0];
    work_threads = 1;
    for (unsigned i = 0; i < MAX_THREADS; i++) {
        pthread_t thread;

        workers[i].step.index = i;
        workers[i].step.random = i + 1;
        if (pthread_create(&thread, NULL, worker_thread, &workers[i])) {
            die("thread");
        }
    }
}

const char *work_name(void)
{
    return workload->name;
}

uint64_t work_done(void)
{
    uint64_t done = 0;

    for (unsigned i = 0; i < MAX_THREADS; i++) {
        done += atomic_load(&workers[i].done);
    }
    return done;
}

uint64_t work_misread(void)
{
    return atomic_load(&misread);
}

void park_workers(void)
{
    atomic_fetch_or(&work_epoch, 1);
    while (atomic_load(&working)) {
        usleep(1000);
    }
}

void touch(bool reset)
{
    Touch *all[MAX_THREADS];

    for (unsigned i = 0; i < MAX_THREADS; i++) {
        all[i] = &workers[i].touch;
    }
    say_touch(all, MAX_THREADS, reset);
}

const char *start_work(char *args)
{
    char *save = NULL, *name = strtok_r(args, " ,", &save), *word;
    uint64_t pages = data_pages, rate = 0, threads = 1;
    uint64_t bytes = PAGE_SIZE, spread = 0;
    const Workload *job = NULL;

    for (unsigned i = 0; name && i < sizeof(workloads) / sizeof(*job); i++) {
        if (!strcmp(name, workloads[i].name)) {
            job = &workloads[i];
        }
    }
    if (!job) {
        return "unknown workload";
    }
    while ((word = strtok_r(NULL, " ,", &save))) {
        if (sscanf(word, "pages=%" SCNu64, &pages) != 1 &&
            sscanf(word, "rate=%" SCNu64, &rate) != 1 &&
            sscanf(word, "threads=%" SCNu64, &threads) != 1 &&
            sscanf(word, "bytes=%" SCNu64, &bytes) != 1 &&
            sscanf(word, "spread=%" SCNu64, &spread) != 1) {
            return "unknown setting of a workload";
        }
    }
    if (!threads || threads > MAX_THREADS || !pages || pages > data_pages ||
        !part_is_sized(bytes)) {
        return "setting of a workload is out of range";
    }
    park_workers();
    set_part(bytes, spread);
    workload = job;
    work_pages = pages;
    work_rate = rate;
    work_threads = threads;
    if (job->begin && !job->begin()) {
        return "workload cannot begin";
    }
    atomic_fetch_add(&work_epoch, 1);
    return NULL;
}
