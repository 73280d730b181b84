/*
 * What the test guest does with its pages. Part of init.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_WORKLOADS_H
#define TESTS_GUEST_WORKLOADS_H

#include <math.h>
#include "job.h"
#include "pages.h"
#include "serial.h"
#include "touch.h"

#define MAX_THREADS   2
#define ZIPF_BUCKETS  4096
#define ZIPF_SKEW     0.99
#define ZIPF_SPREAD   2654435761u   /* a prime larger than any set */
#define MOVES         8             /* steps in which a window moves on */

typedef struct Worker Worker;

typedef struct {
    const char *name;
    void (*step)(Worker *w);    /* does one page */
    bool (*begin)(void);        /* may be missing */
} Workload;

struct Worker {
    pthread_t thread;
    unsigned index;
    uint64_t random;
    uint64_t next;
    uint64_t window;            /* where it begins */
    _Atomic uint64_t done;      /* pages, for the throughput line */
    Touch touch;
};

static _Atomic uint64_t misread;

static const Workload *workload;
static uint64_t work_pages, work_rate;
static unsigned work_threads;
static _Atomic unsigned work_epoch;     /* odd: parked */
static _Atomic unsigned working;
static Worker workers[MAX_THREADS];

/* At which rank, in 1/256, each 4096th of all accesses begins. */
static uint32_t zipf_rank[ZIPF_BUCKETS + 1];

static uint64_t random_below(Worker *w, uint64_t limit)
{
    w->random += STEP;
    return mix(w->random) % limit;
}

/* The pages of a hot set are shared out among the threads. */
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
    uint64_t page = random_below(w, set_pages);
    uint32_t v;

    if (!page_reads_right(page, &v) && atomic_fetch_add(&misread, 1) < 10) {
        say("misread page=%" PRIu64 " version=%u", page, v);
    }
}

static void step_mix(Worker *w)
{
    if ((atomic_load(&w->done) & 7) == 7) {
        step_read(w);
    } else {
        step_hot(w);
    }
}

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
static void step_zipf(Worker *w)
{
    uint64_t pick = random_below(w, ZIPF_BUCKETS << 16);
    uint64_t from = zipf_rank[pick >> 16], to = zipf_rank[(pick >> 16) + 1];
    uint64_t rank = (from + ((to - from) * (pick & 0xffff) >> 16)) >> 8;

    write_page(data_first + rank * ZIPF_SPREAD % work_pages);
}

static void step_readmostly(Worker *w)
{
    if ((atomic_load(&w->done) & 15) == 15) {
        step_random(w);
    } else {
        step_read(w);
    }
}

/* The threads share out the window's pages, and move on each by itself. */
static void step_moving(Worker *w)
{
    if (w->next >= work_pages) {
        w->next = w->index;
        w->window = (w->window + (work_pages + MOVES - 1) / MOVES) %
                    data_pages;
    }
    write_page(data_first + (w->window + w->next) % data_pages);
    w->next += work_threads;
}

/* Two threads that do not touch memory alike. */
static void step_apart(Worker *w)
{
    if (w->index) {
        step_random(w);
    } else {
        step_hot(w);
    }
}

static void step_job(Worker *w)
{
    do_job(w->next % JOB_PARTS);
    w->next += work_threads;
}

static const Workload workloads[] = {
    { "idle", NULL },
    { "hot", step_hot },            /* writes pages= pages in turn */
    { "random", step_random },      /* writes any of pages= pages */
    { "read", step_read },          /* checks any page */
    { "mix", step_mix },            /* as hot; each eighth is a read */
    { "zipf", step_zipf, begin_zipf },  /* writes pages= pages, skew 0.99 */
    { "readmostly", step_readmostly },  /* one in 16 is a write, as random */
    { "moving", step_moving },      /* as hot, but the pages= pages move */
    { "apart", step_apart },        /* the first thread as hot, others random */
    { "job", step_job, begin_job }, /* compresses; a page is 16 KiB of text */
};

/* Each has a CPU of its own, if there are as many. */
static void pin(const Worker *w)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(w->index % (cpus > 0 ? cpus : 1), &set);
    sched_setaffinity(0, sizeof(set), &set);
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
            !workload->step || w->index >= work_threads) {
            atomic_fetch_sub(&working, 1);
            usleep(1000);
            continue;
        }
        job = workload;
        w->next = w->index;
        w->window = 0;
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
            job->step(w);
            last = time_touch(&w->touch, last);
            atomic_fetch_add(&w->done, 1);
        }
        atomic_fetch_sub(&working, 1);
    }
    return NULL;
}

static void park_workers(void)
{
    atomic_fetch_or(&work_epoch, 1);
    while (atomic_load(&working)) {
        usleep(1000);
    }
}

static void touch(bool reset)
{
    Touch *all[MAX_THREADS];

    for (unsigned i = 0; i < MAX_THREADS; i++) {
        all[i] = &workers[i].touch;
    }
    say_touch(all, MAX_THREADS, reset);
}

/* rate = 0 is as fast as it goes. */
static const char *start_work(char *args)
{
    char *save = NULL, *name = strtok_r(args, " ,", &save), *word;
    uint64_t pages = data_pages, rate = 0, threads = 1;
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
            sscanf(word, "threads=%" SCNu64, &threads) != 1) {
            return "unknown setting of a workload";
        }
    }
    if (!threads || threads > MAX_THREADS || !pages || pages > data_pages) {
        return "setting of a workload is out of range";
    }
    park_workers();
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

#endif
