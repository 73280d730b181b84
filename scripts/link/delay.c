/*
 * A link with delay between two network namespaces, as netem would make it.
 *
 *   delay NAMESPACE NAMESPACE DEVICE DELAY-US BYTES
 *
 * Makes a TAP device DEVICE in each namespace and hands what is sent into one
 * to the other, DELAY-US microseconds later, in order. It has no rate and no
 * queue of its own: the kernel's tbf in front of each device does that, as it
 * does for a link without delay. What is under way takes at most line_bytes
 * in each direction; what comes beyond it is dropped and counted.
 *
 * Says "ready" when both devices are there. Each line read from standard
 * input is answered by one line for both directions: packets, bytes, packets
 * dropped, the longest time in microseconds that one was late. Ends when
 * standard input does.
 *
 * Segments are passed on as TCP made them (up to 64 KiB, checksum left out),
 * as a veth passes them: the link shall not need a CPU of its own.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/timerfd.h>

#define FRAME_MAX   (65536 + 128)   /* a segment and its headers */
#define LINE_MIN    (1u << 20)
#define BATCH       64              /* frames of one side before the other's */

typedef struct {
    uint64_t due_ns;
    uint32_t length;                /* 0: go on at the line's begin */
    uint8_t data[];
} Frame;

/* What is under way in one direction: a ring of frames in order of time. */
typedef struct {
    int from, to;
    uint8_t *ring;
    size_t head, tail;              /* equal when the ring is empty */
    uint64_t packets, bytes, dropped, late_ns;
} Line;

static uint64_t delay_ns;
static size_t line_bytes;

static void die(const char *what)
{
    fprintf(stderr, "delay: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int open_tap(const char *space, const char *device)
{
    unsigned offload = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
    struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    char path[256];
    int fd;

    snprintf(path, sizeof(path), "/run/netns/%s", space);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET)) {
        die(path);
    }
    close(fd);
    fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        die("/dev/net/tun");
    }
    strncpy(request.ifr_name, device, sizeof(request.ifr_name) - 1);
    if (ioctl(fd, TUNSETIFF, &request) || ioctl(fd, TUNSETOFFLOAD, offload)) {
        die(device);
    }
    return fd;
}

static size_t frame_size(uint32_t length)
{
    return (sizeof(Frame) + length + 7) & ~(size_t)7;
}

/* Where the next frame of any length fits, or NULL. */
static Frame *room(Line *line)
{
    size_t most = frame_size(FRAME_MAX);

    if (line->tail >= line->head) {
        if (line->tail + most + sizeof(Frame) <= line_bytes) {
            return (Frame *)(line->ring + line->tail);
        }
        if (most >= line->head) {
            return NULL;
        }
        ((Frame *)(line->ring + line->tail))->length = 0;
        line->tail = 0;
    } else if (line->tail + most >= line->head) {
        return NULL;
    }
    return (Frame *)(line->ring + line->tail);
}

static Frame *first(Line *line)
{
    Frame *frame = (Frame *)(line->ring + line->head);

    if (line->head == line->tail) {
        return NULL;
    }
    if (!frame->length) {
        line->head = 0;
        return first(line);
    }
    return frame;
}

/* Takes what was sent into the device; true when there may be more. */
static bool take(Line *line)
{
    uint8_t nowhere[FRAME_MAX];

    for (unsigned i = 0; i < BATCH; i++) {
        Frame *frame = room(line);
        ssize_t n = read(line->from, frame ? frame->data : nowhere, FRAME_MAX);

        if (n <= 0) {
            return false;
        }
        if (!frame) {
            line->dropped++;
            continue;
        }
        frame->due_ns = now_ns() + delay_ns;
        frame->length = n;
        line->tail += frame_size(n);
    }
    return true;
}

/* Delivers what is due; returns when the next frame is, or 0. */
static uint64_t deliver(Line *line)
{
    Frame *frame;

    while ((frame = first(line))) {
        uint64_t now = now_ns();

        if (frame->due_ns > now) {
            return frame->due_ns;
        }
        if (now - frame->due_ns > line->late_ns) {
            line->late_ns = now - frame->due_ns;
        }
        /* Fails while the device is down: the frame is lost, as on a wire. */
        if (write(line->to, frame->data, frame->length) < 0) {
            line->dropped++;
        } else {
            line->packets++;
            line->bytes += frame->length;
        }
        line->head += frame_size(frame->length);
    }
    return 0;
}

/* False when standard input has ended. */
static bool answer(Line *lines)
{
    char text[64];

    if (read(STDIN_FILENO, text, sizeof(text)) <= 0) {
        return false;
    }
    for (unsigned i = 0; i < 2; i++) {
        printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "%c",
               lines[i].packets, lines[i].bytes, lines[i].dropped,
               lines[i].late_ns / 1000, i ? '\n' : ' ');
    }
    fflush(stdout);
    return true;
}

static void watch(int epoll, int fd)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) {
        die("epoll");
    }
}

static void set_timer(int timer, const uint64_t next[2])
{
    uint64_t due = !next[0] || (next[1] && next[1] < next[0]) ? next[1]
                                                              : next[0];
    struct itimerspec spec = { .it_value = { due / 1000000000,
                                             due % 1000000000 } };

    timerfd_settime(timer, TFD_TIMER_ABSTIME, &spec, NULL);
}

static void run(Line *lines)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    uint64_t next[2];

    watch(epoll, STDIN_FILENO);
    watch(epoll, timer);
    watch(epoll, lines[0].from);
    watch(epoll, lines[1].from);
    for (bool more = false;;) {
        struct epoll_event events[4];
        int n = epoll_wait(epoll, events, 4, more ? 0 : -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == STDIN_FILENO && !answer(lines)) {
                return;
            }
        }
        more = false;
        for (unsigned i = 0; i < 2; i++) {
            more |= take(&lines[i]);
            next[i] = deliver(&lines[i]);
        }
        set_timer(timer, next);
    }
}

int main(int argc, char **argv)
{
    struct sched_param priority = { .sched_priority = 1 };
    Line lines[2] = { };
    int home;

    if (argc != 6 || sscanf(argv[4], "%" SCNu64, &delay_ns) != 1 ||
        sscanf(argv[5], "%zu", &line_bytes) != 1 || line_bytes < LINE_MIN) {
        fprintf(stderr, "usage: delay NAMESPACE NAMESPACE DEVICE DELAY-US "
                "BYTES (at least %u)\n", LINE_MIN);
        return 2;
    }
    delay_ns *= 1000;
    home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    lines[0].from = lines[1].to = open_tap(argv[1], argv[3]);
    lines[1].from = lines[0].to = open_tap(argv[2], argv[3]);
    if (home < 0 || setns(home, CLONE_NEWNET)) {
        die("/proc/self/ns/net");
    }
    for (unsigned i = 0; i < 2; i++) {
        lines[i].ring = mmap(NULL, line_bytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS |
                             MAP_POPULATE, -1, 0);
        if (lines[i].ring == MAP_FAILED) {
            die("memory");
        }
    }
    /* A wire does not wait for the CPU; without the right to this it may. */
    sched_setscheduler(0, SCHED_RR, &priority);
    puts("ready");
    fflush(stdout);
    run(lines);
    return 0;
}
