/*
 * What the test guest checks besides its working set: memory that others look
 * after, its own code, a file, what lies in a pipe. Part of init.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_CHECKS_H
#define TESTS_GUEST_CHECKS_H

#include <fcntl.h>
#include <unistd.h>
#include "pages.h"

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
    extern const uint8_t __executable_start[], etext[];

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

static bool begin_checks(void)
{
    code_sum = sum_code();
    file_sum = sum_file();
    if (pipe(pipe_fd)) {
        return false;
    }
    fill_pipe();
    return true;
}

#endif
