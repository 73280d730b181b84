/*
 * The test guest's only program, its /init.
 *
 * It owns a working set of pages whose every byte follows from the page's
 * number and version, so that each can be checked at any time; it dirties
 * them as told over the serial line; and it notes, each millisecond, whether
 * the guest stood still.
 *
 * Serial protocol. Each line sent begins with "@" and a number that goes up
 * by one, so that a line that is lost or sent twice (by two running copies of
 * the guest) shows. Commands come one a line; each is answered by one line.
 *
 *   ping                                  -> pong
 *   work NAME [pages=] [rate=] [threads=] -> ok; NAME as in workloads[]
 *   audit                                 -> audit pages= wrong= ...
 *   corrupt PAGE                          -> ok; flips one bit, unnoted
 *   stats [reset]                         -> stats ... and gap lines
 *   stop                                  -> ok; as "work idle"
 *
 * Kernel command line: hm.pages= hm.zero= hm.untouched= hm.work=NAME,key=...
 *
 * A byte is put out at I/O port 0xe9 each millisecond, for whoever listens
 * there: the guest's clock stands still with the guest, the host's does not.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <sys/io.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

#include "checks.h"
#include "pages.h"

#define MAX_THREADS   2
#define TICK_PORT     0xe9
#define TICK_NS       1000000
#define REPORT_TICKS  100
#define GAP_NS        5000000
#define GAPS          32

typedef struct {
    uint64_t at_ns;             /* when the tick came that was late */
    uint64_t ns;                /* since the tick before */
} Gap;

typedef struct Worker Worker;

typedef struct {
    const char *name;
    void (*step)(Worker *w);    /* does one page */
} Workload;

struct Worker {
    pthread_t thread;
    unsigned index;
    uint64_t random;
    uint64_t next;
    _Atomic uint64_t done;      /* pages, for the throughput line */
};

static _Atomic uint64_t misread;

static const Workload *workload;
static uint64_t work_pages, work_rate;
static unsigned work_threads;
static _Atomic unsigned work_epoch;     /* odd: parked */
static _Atomic unsigned working;
static Worker workers[MAX_THREADS];

static Gap largest[GAPS];
static Gap recent[GAPS];
static _Atomic unsigned recent_head;
static _Atomic uint64_t ticks;
static pthread_mutex_t gap_lock = PTHREAD_MUTEX_INITIALIZER;

static pthread_mutex_t say_lock = PTHREAD_MUTEX_INITIALIZER;
static int serial;
static uint64_t line_number;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
    struct timespec t = { ns / 1000000000, ns % 1000000000 };

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) {
        ;
    }
}

__attribute__((format(printf, 1, 2)))
static void say(const char *format, ...)
{
    char line[600];
    int used, n;
    va_list list;

    pthread_mutex_lock(&say_lock);
    used = snprintf(line, sizeof(line), "@%" PRIu64 " ", line_number++);
    va_start(list, format);
    n = vsnprintf(line + used, sizeof(line) - used - 1, format, list);
    va_end(list);
    used += n;
    if (used > (int)sizeof(line) - 2) {
        used = sizeof(line) - 2;
    }
    line[used++] = '\n';
    for (char *p = line; used > 0; p += n, used -= n) {
        n = write(serial, p, used);
        if (n < 0) {
            n = 0;
        }
    }
    pthread_mutex_unlock(&say_lock);
}

static void set_priority(int priority)
{
    struct sched_param param = { .sched_priority = priority };

    pthread_setschedparam(pthread_self(), SCHED_FIFO, &param);
}

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

static const Workload workloads[] = {
    { "idle", NULL },
    { "hot", step_hot },            /* writes pages= pages in turn */
    { "random", step_random },      /* writes any of pages= pages */
    { "read", step_read },          /* checks any page */
    { "mix", step_mix },            /* as hot; each eighth is a read */
};

static void *worker_thread(void *opaque)
{
    Worker *w = opaque;

    for (;;) {
        unsigned epoch = atomic_load(&work_epoch);
        const Workload *job;
        uint64_t start, done;

        atomic_fetch_add(&working, 1);
        if (epoch & 1 || atomic_load(&work_epoch) != epoch ||
            !workload->step || w->index >= work_threads) {
            atomic_fetch_sub(&working, 1);
            usleep(1000);
            continue;
        }
        job = workload;
        w->next = w->index;
        start = now_ns();
        for (done = 0; atomic_load(&work_epoch) == epoch; done++) {
            if (work_rate && done * 1000000000ull >
                             (now_ns() - start) * (work_rate / work_threads)) {
                usleep(1000);
                done--;
                continue;
            }
            job->step(w);
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
    atomic_fetch_add(&work_epoch, 1);
    return NULL;
}

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
        uint64_t now, done = 0;

        due += REPORT_TICKS * TICK_NS;
        sleep_until(due);
        now = now_ns();
        for (unsigned i = 0; i < MAX_THREADS; i++) {
            done += atomic_load(&workers[i].done);
        }
        say("tp t=%" PRIu64 " done=%" PRIu64 " total=%" PRIu64
            " writes=%" PRIu64, now / 1000, done - before, done,
            atomic_load(&writes));
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

static void audit(void)
{
    uint64_t wrong = 0, sum = 0, total = 0, start = now_ns();
    char list[128] = "-";
    int used = 0;
    bool table;

    park_workers();
    for (uint64_t page = 0; page < set_pages; page++) {
        uint32_t v = atomic_load(&version[page]);

        sum += v ? page_seed(page, v) : 0;
        total += v / 2;
        if (v & 1 || !page_is(page, v)) {
            if (wrong++ < 8) {
                used += snprintf(list + used, sizeof(list) - used, "%s%" PRIu64,
                                 used ? "," : "", page);
            }
        }
    }
    table = sum == atomic_load(&table_sum) && total == atomic_load(&writes);
    say("audit pages=%" PRIu64 " wrong=%" PRIu64 " first=%s table=%s code=%s"
        " file=%s pipe=%s misread=%" PRIu64 " writes=%" PRIu64 " us=%" PRIu64,
        set_pages, wrong, list, table ? "ok" : "bad",
        sum_code() == code_sum ? "ok" : "bad",
        sum_file() == file_sum ? "ok" : "bad",
        pipe_is_right() ? "ok" : "bad", atomic_load(&misread),
        atomic_load(&writes), (now_ns() - start) / 1000);
}

/* Which bit follows from the page, so that all offsets get their turn. */
static const char *corrupt(const char *arg)
{
    uint64_t page, bit;

    if (sscanf(arg, "%" SCNu64, &page) != 1 || page >= set_pages) {
        return "no such page";
    }
    bit = mix(page) % (PAGE_SIZE * 8);
    set[page * PAGE_SIZE + bit / 8] ^= 1 << bit % 8;
    return NULL;
}

static void stats(bool reset)
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
        atomic_load(&writes), atomic_load(&misread), workload->name);
}

static void answer(const char *error)
{
    if (error) {
        say("error %s", error);
    } else {
        say("ok");
    }
}

static void obey(char *line)
{
    if (!strcmp(line, "ping")) {
        say("pong");
    } else if (!strncmp(line, "work ", 5)) {
        answer(start_work(line + 5));
    } else if (!strcmp(line, "stop")) {
        park_workers();
        answer(NULL);
    } else if (!strcmp(line, "audit")) {
        audit();
    } else if (!strncmp(line, "corrupt ", 8)) {
        answer(corrupt(line + 8));
    } else if (!strncmp(line, "stats", 5)) {
        stats(!strcmp(line, "stats reset"));
    } else {
        answer("unknown command");
    }
}

static uint64_t setting(const char *cmdline, const char *name, uint64_t value)
{
    const char *found = strstr(cmdline, name);

    if (found) {
        sscanf(found + strlen(name), "%" SCNu64, &value);
    }
    return value;
}

/* A kernel panic is what the harness sees of a guest that cannot start. */
static void die(const char *what)
{
    say("fatal %s: %s", what, strerror(errno));
    sleep(1);
    reboot(RB_POWER_OFF);
    exit(1);
}

static void open_console(void)
{
    struct termios t;

    mkdir("/dev", 0755);
    mkdir("/proc", 0755);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    mount("proc", "/proc", "proc", 0, NULL);
    serial = open("/dev/ttyS0", O_RDWR | O_NOCTTY);
    if (serial < 0) {
        exit(1);
    }
    tcgetattr(serial, &t);
    cfmakeraw(&t);
    t.c_cflag |= CLOCAL;
    tcsetattr(serial, TCSANOW, &t);
    /* From here on only a panic of the kernel may break into a line. */
    klogctl(8, NULL, 1);
}

static void make_set(const char *cmdline)
{
    struct sysinfo info;
    uint64_t page;

    sysinfo(&info);
    set_pages = setting(cmdline, "hm.pages=", 131072);
    zero_pages = setting(cmdline, "hm.zero=", 0);
    untouched_pages = setting(cmdline, "hm.untouched=", 0);
    if (zero_pages + untouched_pages >= set_pages ||
        set_pages * (PAGE_SIZE + sizeof(*version)) >
        (uint64_t)info.freeram * info.mem_unit) {
        errno = ENOMEM;
        die("the working set does not fit");
    }
    data_first = zero_pages;
    data_pages = set_pages - zero_pages - untouched_pages;
    set = mmap(NULL, set_pages * PAGE_SIZE, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    version = calloc(set_pages, sizeof(*version));
    if (set == MAP_FAILED || !version) {
        die("memory of the working set");
    }
    /* With huge pages a page that is never touched would be touched. */
    madvise(set, set_pages * PAGE_SIZE, MADV_NOHUGEPAGE);
    for (page = 0; page < zero_pages; page++) {
        memset(set + page * PAGE_SIZE, 1, PAGE_SIZE);
        memset(set + page * PAGE_SIZE, 0, PAGE_SIZE);
    }
    for (; page < set_pages - untouched_pages; page++) {
        write_page(page);
    }
}

int main(void)
{
    static char cmdline[4096], line[256];
    const char *error;
    char *work;
    size_t used = 0;
    pthread_t thread;
    int fd;

    open_console();
    fd = open("/proc/cmdline", O_RDONLY);
    if (fd < 0 || read(fd, cmdline, sizeof(cmdline) - 1) < 0) {
        die("/proc/cmdline");
    }
    close(fd);
    make_set(cmdline);
    if (!begin_checks()) {
        die("pipe");
    }

    workload = &workloads[0];
    work_threads = 1;
    for (unsigned i = 0; i < MAX_THREADS; i++) {
        workers[i].index = i;
        workers[i].random = i + 1;
        pthread_create(&workers[i].thread, NULL, worker_thread, &workers[i]);
    }
    pthread_create(&thread, NULL, tick_thread, NULL);
    work = strstr(cmdline, "hm.work=");
    if (work) {
        work += strlen("hm.work=");
        work[strcspn(work, "\n ")] = 0;
        error = start_work(work);
        if (error) {
            say("fatal %s", error);
        }
    }
    say("ready pages=%" PRIu64 " zero=%" PRIu64 " untouched=%" PRIu64
        " cpus=%ld", set_pages, zero_pages, untouched_pages,
        sysconf(_SC_NPROCESSORS_ONLN));
    pthread_create(&thread, NULL, report_thread, NULL);

    set_priority(20);
    for (;;) {
        char c;

        if (read(serial, &c, 1) != 1) {
            continue;
        }
        if (c == '\n') {
            line[used] = 0;
            used = 0;
            obey(line);
        } else if (used < sizeof(line) - 1) {
            line[used++] = c;
        }
    }
}
