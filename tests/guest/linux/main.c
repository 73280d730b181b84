/*
 * The test guest's own program: its /init, or a service of a disk image.
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
 *        [bytes=] [spread=]         a write changes so many bytes of a page
 *                  (4096), at a fixed place (0) or at others each time (1)
 *   audit                                 -> audit pages= wrong= ...
 *   corrupt PAGE                          -> ok; flips one bit, unnoted
 *   changed [mark]                        -> changed pages= bytes= most=; of
 *                  the pages written since the mark: how many, the places
 *                  written in them, and the most in one. A mark begins anew
 *   stats [reset]                         -> stats ... and gap lines
 *   touch [reset]                         -> touch count= p50= p99= max=;
 *                  steps of the work that took more than 200 us, in us
 *   pace COUNT                            -> pace count=, and before it in
 *                  lines "sp" what was done in each of the last COUNT times
 *                  of 10 ms (at most 16384): at= us and tick= of the guest,
 *                  then d= with us/work/ticks since, of each; no ticks are 10
 *   job                                   -> job parts= done= wrong=; checks
 *                  the output of workload "job"
 *   corrupt-job PART                      -> ok; flips one bit of the output
 *   compile                               -> compile files= done= wrong=;
 *                  compiles all files of workload "compile" again
 *   corrupt-compile FILE                  -> ok; changes the source
 *   sqlite                                -> sqlite rows= wrong= integrity=
 *                  transactions= failed=; checks its table
 *   corrupt-sqlite ROW                    -> ok; changes the row's text
 *   files start|stop                      -> ok; writes files to the disk
 *   files                                 -> files count= wrong= ...
 *   corrupt-file NUMBER                   -> ok; flips one bit
 *   stop                                  -> ok; as "work idle"
 *
 * Kernel command line: hm.pages= hm.zero= hm.untouched= hm.work=NAME,key=...
 * hm.ip= (of the network card; with it, numbers are served at port 7000)
 * hm.serve= (redis, the default, or sqlite: at port 7001 the answer to a number
 * comes after a transaction; if the initramfs has it) hm.files= (folder
 * on a disk). When this program is not /init but a service of a whole system,
 * all that comes as an OEM string of the machine's DMI tables.
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
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

#include "../shared/pages.h"
#include "audit.h"
#include "compile.h"
#include "files.h"
#include "job.h"
#include "net.h"
#include "pace.h"
#include "serial.h"
#include "sqlite.h"
#include "ticks.h"
#include "workloads.h"

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
        park_workers();
        say_audit();
    } else if (!strncmp(line, "corrupt ", 8)) {
        answer(corrupt(line + 8));
    } else if (!strncmp(line, "changed", 7)) {
        say_changed(!strcmp(line, "changed mark"));
    } else if (!strncmp(line, "stats", 5)) {
        stats(!strcmp(line, "stats reset"));
    } else if (!strcmp(line, "files start")) {
        answer(start_files());
    } else if (!strcmp(line, "files stop")) {
        stop_files();
        answer(NULL);
    } else if (!strcmp(line, "files")) {
        check_files();
    } else if (!strncmp(line, "corrupt-file ", 13)) {
        answer(corrupt_file(line + 13));
    } else if (!strcmp(line, "compile")) {
        park_workers();
        say_compile();
    } else if (!strncmp(line, "corrupt-compile ", 16)) {
        answer(corrupt_compile(line + 16));
    } else if (!strcmp(line, "sqlite")) {
        say_sqlite();
    } else if (!strncmp(line, "corrupt-sqlite ", 15)) {
        answer(corrupt_sqlite(line + 15));
    } else if (!strncmp(line, "pace ", 5)) {
        say_pace(line + 5);
    } else if (!strncmp(line, "touch", 5)) {
        touch(!strcmp(line, "touch reset"));
    } else if (!strncmp(line, "corrupt-job ", 12)) {
        answer(corrupt_job(line + 12));
    } else if (!strcmp(line, "job")) {
        park_workers();
        say_job();
    } else {
        answer("unknown command");
    }
}

static char settings[4096];

/* The strings of the DMI table lie behind its head, with zeros between. */
static void read_settings(void)
{
    const char *name = getpid() == 1 ? "/proc/cmdline" :
                       "/sys/firmware/dmi/entries/11-0/raw";
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    ssize_t length = read(fd, settings, sizeof(settings) - 1);

    if (length <= 0) {
        die(name);
    }
    for (ssize_t i = 0; i < length; i++) {
        if ((uint8_t)settings[i] < ' ') {
            settings[i] = ' ';
        }
    }
    close(fd);
}

/* The word after the name, or NULL; the next call overwrites it. */
static char *word_setting(const char *name)
{
    static char word[256];
    const char *found = strstr(settings, name);

    if (!found) {
        return NULL;
    }
    found += strlen(name);
    snprintf(word, sizeof(word), "%.*s", (int)strcspn(found, " "), found);
    return word;
}

static uint64_t setting(const char *name, uint64_t value)
{
    const char *word = word_setting(name);

    if (word) {
        sscanf(word, "%" SCNu64, &value);
    }
    return value;
}

static void mount_system(void)
{
    mkdir("/dev", 0755);
    mkdir("/proc", 0755);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    mount("proc", "/proc", "proc", 0, NULL);
}

static void make_set(void)
{
    struct sysinfo info;

    sysinfo(&info);
    set_pages = setting("hm.pages=", 131072);
    zero_pages = setting("hm.zero=", 0);
    untouched_pages = setting("hm.untouched=", 0);
    if (zero_pages + untouched_pages >= set_pages ||
        set_pages * (PAGE_SIZE + 2 * sizeof(*version)) >
        (uint64_t)info.freeram * info.mem_unit) {
        errno = ENOMEM;
        die("the working set does not fit");
    }
    data_first = zero_pages;
    data_pages = set_pages - zero_pages - untouched_pages;
    set = mmap(NULL, set_pages * PAGE_SIZE, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    version = calloc(set_pages, sizeof(*version));
    base = calloc(set_pages, sizeof(*base));
    if (set == MAP_FAILED || !version || !base) {
        die("memory of the working set");
    }
    /* With huge pages a page that is never touched would be touched. */
    madvise(set, set_pages * PAGE_SIZE, MADV_NOHUGEPAGE);
    fill_set();
}

/* What the kernel's command line asks for. */
static void begin(void)
{
    const char *error;
    char serve[16] = "redis";
    char *word;

    read_settings();
    word = word_setting("hm.serve=");
    if (word) {
        snprintf(serve, sizeof(serve), "%s", word);
    }
    make_set();
    begin_audit();
    begin_workers();
    begin_ticks();
    word = word_setting("hm.files=");
    set_file_folder(word ? word : "");
    word = word_setting("hm.ip=");
    if (word) {
        begin_net(word, serve);
    }
    word = word_setting("hm.work=");
    error = word ? start_work(word) : NULL;
    if (error) {
        say("fatal %s", error);
    }
    say("ready pages=%" PRIu64 " zero=%" PRIu64 " untouched=%" PRIu64
        " cpus=%ld", set_pages, zero_pages, untouched_pages,
        sysconf(_SC_NPROCESSORS_ONLN));
    begin_reports();
}

int main(void)
{
    static char line[256];
    size_t used = 0;
    int serial;

    signal(SIGPIPE, SIG_IGN);
    if (getpid() == 1) {
        mount_system();
    }
    serial = open_serial();
    begin();
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
