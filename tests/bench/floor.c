/*
 * The least that postcopy can cost: what the kernel takes to carry pages from
 * one process's memory into another's and to place them there.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 *   hybrid-floor SOURCE-FD DESTINATION-FD PAGES RUN
 *
 * Sends PAGES pages over a connected pair of sockets, RUN pages to a system
 * call, receives them into a buffer and places each run with one UFFDIO_COPY.
 * Nothing is looked up, counted or decided.  Prints the CPU time per page of
 * both sides and what of it each side took, in microseconds.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096ul

typedef struct Side {
    int fd;
    size_t pages;
    size_t run;
    uint8_t *memory;
    double cpu_us;
} Side;

static void __attribute__((noreturn)) die(const char *what)
{
    fprintf(stderr, "hybrid-floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double thread_cpu_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static uint8_t *memory_new(size_t bytes)
{
    uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED) {
        die("no memory");
    }
    return memory;
}

static size_t run_bytes(const Side *side, size_t page)
{
    size_t left = side->pages - page;

    return (left < side->run ? left : side->run) * PAGE;
}

static void *send_all(void *opaque)
{
    Side *side = opaque;
    double begin = thread_cpu_us();

    for (size_t page = 0; page < side->pages; page += side->run) {
        size_t bytes = run_bytes(side, page), sent = 0;

        while (sent < bytes) {
            ssize_t n = send(side->fd, side->memory + page * PAGE + sent,
                             bytes - sent, MSG_NOSIGNAL);
            if (n <= 0) {
                die("send");
            }
            sent += n;
        }
    }
    side->cpu_us = thread_cpu_us() - begin;
    return NULL;
}

static int userfault_open(uint8_t *memory, size_t bytes)
{
    int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
    struct uffdio_api api = { .api = UFFD_API };
    struct uffdio_register reg = {
        .range = { .start = (uintptr_t)memory, .len = bytes },
        .mode = UFFDIO_REGISTER_MODE_MISSING,
    };

    if (fd < 0 || ioctl(fd, UFFDIO_API, &api) ||
        ioctl(fd, UFFDIO_REGISTER, &reg)) {
        die("userfaultfd");
    }
    return fd;
}

static void *place_all(void *opaque)
{
    Side *side = opaque;
    uint8_t *buffer = memory_new(side->run * PAGE);
    int uffd = userfault_open(side->memory, side->pages * PAGE);
    double begin;

    memset(buffer, 1, side->run * PAGE);
    begin = thread_cpu_us();
    for (size_t page = 0; page < side->pages; page += side->run) {
        size_t bytes = run_bytes(side, page), got = 0;
        struct uffdio_copy copy = {
            .dst = (uintptr_t)side->memory + page * PAGE,
            .src = (uintptr_t)buffer, .len = bytes,
        };

        while (got < bytes) {
            ssize_t n = recv(side->fd, buffer + got, bytes - got, MSG_WAITALL);
            if (n <= 0) {
                die("recv");
            }
            got += n;
        }
        if (ioctl(uffd, UFFDIO_COPY, &copy)) {
            die("UFFDIO_COPY");
        }
    }
    side->cpu_us = thread_cpu_us() - begin;
    close(uffd);
    return NULL;
}

/* What was sent is what was placed: the last byte of each page is its number */
static void check(const Side *dst)
{
    for (size_t page = 0; page < dst->pages; page++) {
        if (dst->memory[page * PAGE + PAGE - 1] != (uint8_t)(page * 7 + 1)) {
            fprintf(stderr, "hybrid-floor: page %zu is wrong\n", page);
            exit(1);
        }
    }
}

int main(int argc, char **argv)
{
    Side src, dst;
    pthread_t sender, placer;

    if (argc != 5 || atol(argv[3]) < 1 || atol(argv[4]) < 1) {
        fprintf(stderr, "usage: hybrid-floor SOURCE-FD DESTINATION-FD PAGES "
                "RUN\n");
        return 2;
    }
    src = (Side) { .fd = atoi(argv[1]), .pages = atol(argv[3]),
                   .run = atol(argv[4]) };
    dst = src;
    dst.fd = atoi(argv[2]);
    src.memory = memory_new(src.pages * PAGE);
    dst.memory = memory_new(dst.pages * PAGE);
    madvise(dst.memory, dst.pages * PAGE, MADV_NOHUGEPAGE);
    for (size_t page = 0; page < src.pages; page++) {
        memset(src.memory + page * PAGE, (uint8_t)(page * 7 + 1), PAGE);
    }
    if (pthread_create(&placer, NULL, place_all, &dst) ||
        pthread_create(&sender, NULL, send_all, &src)) {
        die("thread");
    }
    pthread_join(sender, NULL);
    pthread_join(placer, NULL);
    check(&dst);
    printf("%.4f %.4f %.4f\n", (src.cpu_us + dst.cpu_us) / src.pages,
           src.cpu_us / src.pages, dst.cpu_us / src.pages);
    return 0;
}
