/*
 * What the test guest checks.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "../shared/pages.h"
#include "audit.h"
#include "serial.h"
#include "workloads.h"

#define PIPE_BYTES    32768

static uint64_t code_sum, file_sum;
static int pipe_fd[2];

static uint64_t sum_bytes(uint64_t sum, const uint8_t *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        sum = (sum ^ data[i]) * 0x100000001b3ull;
    }
    return sum;
}

static uint64_t sum_code(void)
{
    return sum_bytes(1, __executable_start, etext - __executable_start);
}

/*
 * The program's own file, which in the initramfs is memory that the kernel
 * keeps.
 */
static uint64_t sum_file(void)
{
    static uint8_t buffer[65536];
    uint64_t sum = 2;
    ssize_t n;
    int fd = open("/proc/self/exe", O_RDONLY);

    if (fd < 0) {
        return 0;
    }
    while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
        sum = sum_bytes(sum, buffer, n);
    }
    close(fd);
    return sum;
}

static void fill_pipe(void)
{
    uint8_t data[1024];

    for (unsigned done = 0; done < PIPE_BYTES; done += sizeof(data)) {
        for (unsigned i = 0; i < sizeof(data); i++) {
            data[i] = mix(done + i);
        }
        if (write(pipe_fd[1], data, sizeof(data)) != sizeof(data)) {
            return;
        }
    }
}

/* Bytes that lay in kernel buffers since the last audit. */
static bool pipe_is_right(void)
{
    uint8_t data[1024];
    bool right = true;

    for (unsigned done = 0; done < PIPE_BYTES; done += sizeof(data)) {
        if (read(pipe_fd[0], data, sizeof(data)) != sizeof(data)) {
            return false;
        }
        for (unsigned i = 0; i < sizeof(data); i++) {
            right &= data[i] == (uint8_t)mix(done + i);
        }
    }
    fill_pipe();
    return right;
}

void begin_audit(void)
{
    code_sum = sum_code();
    file_sum = sum_file();
    if (pipe(pipe_fd)) {
        die("pipe");
    }
    fill_pipe();
}

static const char *word_for(bool right)
{
    return right ? "ok" : "bad";
}

void say_audit(void)
{
    uint64_t start = now_ns();
    SetAudit found = audit_set(NULL);
    char list[8 * 21] = "-";
    int used = 0;

    for (uint64_t i = 0; i < found.wrong && i < 8; i++) {
        used += snprintf(list + used, sizeof(list) - used, "%s%" PRIu64,
                         used ? "," : "", found.first[i]);
    }
    say("audit pages=%" PRIu64 " wrong=%" PRIu64 " first=%s table=%s code=%s"
        " file=%s pipe=%s misread=%" PRIu64 " writes=%" PRIu64 " us=%" PRIu64,
        set_pages, found.wrong, list, word_for(found.table_right),
        word_for(sum_code() == code_sum), word_for(sum_file() == file_sum),
        word_for(pipe_is_right()), work_misread(), atomic_load(&writes),
        (now_ns() - start) / 1000);
}

void say_changed(bool mark)
{
    static _Atomic uint32_t *table;
    SetChanged found = changed_set();

    say("changed pages=%" PRIu64 " bytes=%" PRIu64 " most=%" PRIu64,
        found.pages, found.bytes, found.most);
    if (mark && !table) {
        table = calloc(set_pages, sizeof(*table));
    }
    if (mark && table) {
        mark_set(table);
    }
}

const char *corrupt(const char *arg)
{
    uint64_t page;

    if (sscanf(arg, "%" SCNu64, &page) != 1 || page >= set_pages) {
        return "no such page";
    }
    corrupt_page(page);
    return NULL;
}
