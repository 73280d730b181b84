/*
 * The test guest's network card and what is served over it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "../shared/pages.h"
#include "net.h"
#include "serial.h"
#include "sqlite.h"

#define CARD          "eth0"
#define CARD_WAIT_MS  30000
#define SERVE_PORT    7000
#define SQLITE_PORT   7001
#define REDIS         "/usr/bin/redis-server"
#define REDIS_PORT    6379
#define REDIS_WAIT_MS 60000

/* Those that the initramfs has, in the order of their names. */
static void load_modules(void)
{
    struct dirent **entry;
    int count = scandir("/modules", &entry, NULL, alphasort);

    for (int i = 0; i < count; i++) {
        char path[300];
        int fd;

        snprintf(path, sizeof(path), "/modules/%s", entry[i]->d_name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (entry[i]->d_name[0] != '.' &&
            syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST) {
            die(path);
        }
        close(fd);
        free(entry[i]);
    }
}

static struct sockaddr_in address_of(const char *text, int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
    };

    if (inet_pton(AF_INET, text, &address.sin_addr) != 1) {
        errno = EINVAL;
        die(text);
    }
    return address;
}

static void bring_up(const char *card, const char *ip)
{
    struct ifreq request = { 0 };
    struct sockaddr_in address = address_of(ip, 0);
    struct sockaddr_in mask = address_of("255.255.255.0", 0);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    strncpy(request.ifr_name, card, IFNAMSIZ - 1);
    for (int ms = 0; ioctl(fd, SIOCGIFFLAGS, &request); ms += 10) {
        if (ms > CARD_WAIT_MS) {
            die(card);
        }
        usleep(10000);
    }
    request.ifr_flags |= IFF_UP;
    if (ioctl(fd, SIOCSIFFLAGS, &request)) {
        die(card);
    }
    memcpy(&request.ifr_addr, &address, sizeof(address));
    if (ioctl(fd, SIOCSIFADDR, &request)) {
        die(card);
    }
    memcpy(&request.ifr_netmask, &mask, sizeof(mask));
    if (ioctl(fd, SIOCSIFNETMASK, &request)) {
        die(card);
    }
    close(fd);
}

static bool answers_ping(void)
{
    struct sockaddr_in address = address_of("127.0.0.1", REDIS_PORT);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char text[8] = "";
    bool good = !connect(fd, (struct sockaddr *)&address, sizeof(address)) &&
                write(fd, "PING\r\n", 6) == 6 && read(fd, text, 5) == 5 &&
                !strcmp(text, "+PONG");

    close(fd);
    return good;
}

static void *redis_thread(void *opaque)
{
    int status;

    waitpid((intptr_t)opaque, &status, 0);
    say("fatal %s has ended, status 0x%x", REDIS, status);
    return NULL;
}

/* Keeps everything in memory; nothing of it may reach the serial line. */
static void start_redis(void)
{
    static char *const argv[] = {
        REDIS, "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "",
        "--appendonly", "no", "--dir", "/tmp", NULL
    };
    static char *const environment[] = { "LC_ALL=C", "TZ=UTC", NULL };
    pthread_t thread;
    pid_t pid = fork();

    if (!pid) {
        int null = open("/dev/null", O_RDWR);

        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        execve(REDIS, argv, environment);
        _exit(1);
    }
    if (pid < 0 || pthread_create(&thread, NULL, redis_thread,
                                  (void *)(intptr_t)pid)) {
        die(REDIS);
    }
    for (int ms = 0; !answers_ping(); ms += 10) {
        if (ms > REDIS_WAIT_MS) {
            errno = ETIMEDOUT;
            die(REDIS);
        }
        usleep(10000);
    }
}

/* Each number of eight bytes is answered by another one that follows of it. */
static void serve_client(int fd, bool (*before)(uint64_t number))
{
    uint64_t number;

    while (recv(fd, &number, sizeof(number), MSG_WAITALL) == sizeof(number) &&
           (!before || before(number))) {
        number = mix(number + STEP);
        if (write(fd, &number, sizeof(number)) != sizeof(number)) {
            break;
        }
    }
    close(fd);
}

static void *serve_number(void *opaque)
{
    serve_client((intptr_t)opaque, NULL);
    return NULL;
}

/* The answer comes when the transaction of that number is done. */
static void *serve_sqlite(void *opaque)
{
    serve_client((intptr_t)opaque, sqlite_transaction);
    return NULL;
}

typedef struct {
    int listener;
    void *(*client)(void *opaque);
} Server;

static void *serve_thread(void *opaque)
{
    const Server *server = opaque;
    int one = 1;

    for (;;) {
        pthread_t thread;
        int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd < 0) {
            usleep(1000);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if (pthread_create(&thread, NULL, server->client,
                           (void *)(intptr_t)fd)) {
            close(fd);
        } else {
            pthread_detach(thread);
        }
    }
    return NULL;
}

static void start_serving(Server *server, int port)
{
    struct sockaddr_in any = address_of("0.0.0.0", port);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pthread_t thread;

    server->listener = fd;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&any, sizeof(any)) || listen(fd, 16) ||
        pthread_create(&thread, NULL, serve_thread, server)) {
        die("TCP server");
    }
}

void begin_net(const char *ip, const char *serve)
{
    static Server numbers = { .client = serve_number };
    static Server rows = { .client = serve_sqlite };

    load_modules();
    bring_up("lo", "127.0.0.1");
    bring_up(CARD, ip);
    start_serving(&numbers, SERVE_PORT);
    if (!strcmp(serve, "sqlite")) {
        if (!begin_sqlite()) {
            errno = ENOENT;
            die("SQLite");
        }
        start_serving(&rows, SQLITE_PORT);
    } else if (!strcmp(serve, "redis") && !access(REDIS, X_OK)) {
        start_redis();
    }
}
