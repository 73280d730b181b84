/*
 * Files on the test guest's disk.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>
#include "../shared/pages.h"
#include "files.h"
#include "serial.h"

#define FILE_LEAST    4096
#define FILE_MOST     65536

static char file_folder[128];           /* "": this guest has no disk */
static _Atomic uint64_t files_written;  /* and synced */
static _Atomic bool files_go;
static pthread_mutex_t files_lock = PTHREAD_MUTEX_INITIALIZER;

static void file_name(uint64_t number, char name[160])
{
    snprintf(name, 160, "%s/%" PRIu64, file_folder, number);
}

/* Fills the buffer with what the file holds; returns its length. */
static size_t file_content(uint64_t number, uint64_t buffer[FILE_MOST / 8])
{
    size_t length = FILE_LEAST + mix(number) % (FILE_MOST - FILE_LEAST + 1);

    for (size_t i = 0; i < FILE_MOST / 8; i++) {
        buffer[i] = mix(number * FILE_MOST + i);
    }
    return length;
}

static bool write_whole(int fd, const uint8_t *data, size_t length)
{
    while (length) {
        ssize_t n = write(fd, data, length);

        if (n <= 0) {
            return false;
        }
        data += n;
        length -= n;
    }
    return true;
}

static bool write_file(uint64_t number)
{
    static uint64_t buffer[FILE_MOST / 8];
    size_t length = file_content(number, buffer);
    char name[160];
    bool good;
    int fd, folder;

    file_name(number, name);
    fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    folder = open(file_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    good = fd >= 0 && folder >= 0 &&
           write_whole(fd, (uint8_t *)buffer, length) &&
           !fsync(fd) && !fsync(folder);
    close(fd);
    close(folder);
    return good;
}

static void *files_thread(void *opaque)
{
    for (;;) {
        if (!atomic_load(&files_go)) {
            usleep(10000);
            continue;
        }
        pthread_mutex_lock(&files_lock);
        if (!write_file(atomic_load(&files_written))) {
            say("misread file %" PRIu64 ": %s", atomic_load(&files_written),
                strerror(errno));
            atomic_store(&files_go, false);
        } else {
            atomic_fetch_add(&files_written, 1);
        }
        pthread_mutex_unlock(&files_lock);
    }
    return NULL;
}

static bool file_is_right(uint64_t number)
{
    static uint64_t wanted[FILE_MOST / 8];
    static uint8_t buffer[FILE_MOST + 1];
    size_t length = file_content(number, wanted), used = 0;
    char name[160];
    ssize_t n;
    int fd;

    file_name(number, name);
    fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    while ((n = read(fd, buffer + used, sizeof(buffer) - used)) > 0) {
        used += n;
    }
    close(fd);
    return used == length && !memcmp(buffer, wanted, length);
}

static bool drop_caches(void)
{
    int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
    bool good;

    sync();
    good = fd >= 0 && write(fd, "3", 1) == 1;
    close(fd);
    return good;
}

/*
 * First as the kernel has them in memory, then as they are
 * on the disk.
 */
void check_files(void)
{
    uint64_t wrong = 0, wrong_on_disk = 0, count;

    pthread_mutex_lock(&files_lock);
    count = atomic_load(&files_written);
    for (uint64_t i = 0; i < count; i++) {
        wrong += !file_is_right(i);
    }
    if (!drop_caches()) {
        say("misread drop_caches: %s", strerror(errno));
    }
    for (uint64_t i = 0; i < count; i++) {
        wrong_on_disk += !file_is_right(i);
    }
    say("files count=%" PRIu64 " wrong=%" PRIu64 " wrong-on-disk=%" PRIu64,
        count, wrong, wrong_on_disk);
    pthread_mutex_unlock(&files_lock);
}

/* Flips a bit of a file: check_files() has to notice. */
const char *corrupt_file(const char *arg)
{
    char name[160];
    uint64_t number;
    uint8_t byte;
    int fd;

    if (sscanf(arg, "%" SCNu64, &number) != 1 ||
        number >= atomic_load(&files_written)) {
        return "no such file";
    }
    file_name(number, name);
    fd = open(name, O_RDWR | O_CLOEXEC);
    if (pread(fd, &byte, 1, 100) != 1) {
        return "file cannot be read";
    }
    byte ^= 1;
    if (pwrite(fd, &byte, 1, 100) != 1 || fsync(fd)) {
        return "file cannot be written";
    }
    close(fd);
    return NULL;
}

void set_file_folder(const char *name)
{
    snprintf(file_folder, sizeof(file_folder), "%s", name);
}

uint64_t files_done(void)
{
    return atomic_load(&files_written);
}

void stop_files(void)
{
    atomic_store(&files_go, false);
}

const char *start_files(void)
{
    static bool started;
    pthread_t thread;

    if (!*file_folder) {
        return "this guest has no disk";
    }
    if (!started) {
        if ((mkdir(file_folder, 0755) && errno != EEXIST) ||
            pthread_create(&thread, NULL, files_thread, NULL)) {
            return strerror(errno);
        }
        started = true;
    }
    atomic_store(&files_go, true);
    return NULL;
}
