/*
 * A compiler at work in the test guest, and what must come out.
 *
 * It is Debian's tcc. The sources lie in memory, and follow from their number.
 * What comes out is the same as the first time, byte for byte.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "../shared/pages.h"
#include "compile.h"
#include "serial.h"

#define COMPILER      "/usr/bin/tcc"
#define FOLDER        "/tmp/compile"
#define FUNCTIONS     8         /* of a file */

typedef struct {
    uint32_t crc;               /* of the object, as it was the first time */
    _Atomic uint64_t times;
} File;

static File files[COMPILE_FILES];
static _Atomic uint64_t wrong_objects;
static bool begun;

static void name_of(unsigned file, const char *ending, char name[64])
{
    snprintf(name, 64, FOLDER "/%u.%s", file, ending);
}

static bool write_source(unsigned file)
{
    char name[64];
    FILE *out;

    name_of(file, "c", name);
    out = fopen(name, "we");
    for (unsigned i = 0; out && i < FUNCTIONS; i++) {
        uint64_t r = mix(file * FUNCTIONS + i + STEP);

        fprintf(out, "struct s%u { int a; unsigned b[%u]; };\n"
                "int f%u(struct s%u *p, int n)\n{\n    int i, sum = %u;\n\n"
                "    for (i = 0; i < n; i++) {\n"
                "        sum = sum * %u + (p->b[i %% %u] ^ i);\n"
                "        if (sum & %u) {\n            p->a ^= sum >> %u;\n"
                "        }\n    }\n    return sum + p->a;\n}\n\n",
                i, (unsigned)(r & 15) + 1, i, i, (unsigned)(r >> 4) & 0xffff,
                (unsigned)(r >> 20) & 0xfff, (unsigned)(r & 15) + 1,
                (unsigned)(r >> 32) & 0xff, (unsigned)(r >> 40) & 15);
    }
    return out && !fclose(out);
}

static bool run_compiler(unsigned file)
{
    static char *const environment[] = { "LC_ALL=C", NULL };
    char source[64], object[64];
    char *argv[] = { COMPILER, "-c", "-o", object, source, NULL };
    int status;
    pid_t pid;

    name_of(file, "c", source);
    name_of(file, "o", object);
    /* Not by fork(): the set's page tables would be copied */
    return !posix_spawn(&pid, COMPILER, NULL, NULL, argv, environment) &&
           waitpid(pid, &status, 0) == pid && !status;
}

/* False if there is none. */
static bool sum_object(unsigned file, uint32_t *crc)
{
    uint8_t buffer[4096];
    char name[64];
    ssize_t n;
    int fd;

    name_of(file, "o", name);
    fd = open(name, O_RDONLY | O_CLOEXEC);
    *crc = crc32(0, NULL, 0);
    if (fd < 0) {
        return false;
    }
    while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
        *crc = crc32(*crc, buffer, n);
    }
    close(fd);
    unlink(name);
    return !n;
}

bool begin_compile(void)
{
    if (begun) {
        return true;
    }
    mkdir("/tmp", 0755);
    mkdir(FOLDER, 0755);
    for (unsigned file = 0; file < COMPILE_FILES; file++) {
        if (!write_source(file) || !run_compiler(file) ||
            !sum_object(file, &files[file].crc)) {
            return false;
        }
    }
    begun = true;
    return true;
}

static bool comes_out_right(unsigned file)
{
    uint32_t crc;

    return run_compiler(file) && sum_object(file, &crc) &&
           crc == files[file].crc;
}

void do_compile(unsigned file)
{
    if (!comes_out_right(file)) {
        atomic_fetch_add(&wrong_objects, 1);
        say("misread compile file=%u", file);
    }
    atomic_fetch_add(&files[file].times, 1);
}

void say_compile(void)
{
    uint64_t done = 0, wrong = 0;

    for (unsigned file = 0; file < COMPILE_FILES && begun; file++) {
        done += atomic_load(&files[file].times);
        wrong += !comes_out_right(file);
    }
    say("compile files=%u done=%" PRIu64 " wrong=%" PRIu64 " misread=%" PRIu64,
        begun ? COMPILE_FILES : 0, done, wrong, atomic_load(&wrong_objects));
}

const char *corrupt_compile(const char *arg)
{
    char name[64];
    unsigned file;
    FILE *out;

    if (!begun || sscanf(arg, "%u", &file) != 1 || file >= COMPILE_FILES) {
        return "no such file";
    }
    name_of(file, "c", name);
    out = fopen(name, "ae");
    if (!out) {
        return "cannot be opened";
    }
    fprintf(out, "int more;\n");
    fclose(out);
    return NULL;
}
