/*
 * Hybrid live migration: the host's ledger of incoming guests.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "hybrid-osdep.h"
#include <dirent.h>
#include <sys/file.h>
#include "hybrid-ledger.h"

#define LOCK_FILE "lock"
#define CLAIM_PREFIX "claim-"
#define CLAIM_MAX 4352          /* a number and the longest path */
#define LOCK_POLL_US 2000

struct HybridLedger {
    int dir_fd;
    int lock_fd;
    int claim_fd;               /* -1: nothing claimed */
    char *claim_name;
    char *cgroup;
    bool locked;
};

static void set_error(GError **err, const char *what, const char *name)
{
    int saved_errno = errno;

    g_set_error(err, G_FILE_ERROR, g_file_error_from_errno(saved_errno),
                "cannot %s '%s': %s", what, name, g_strerror(saved_errno));
}

static int retry_flock(int fd, int operation)
{
    int ret;

    do {
        ret = flock(fd, operation);
    } while (ret < 0 && errno == EINTR);
    return ret;
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static int open_dir(const char *dir, GError **err)
{
    bool created = !mkdir(dir, 0700);
    struct stat st;
    int fd;

    if (!created && errno != EEXIST) {
        set_error(err, "create", dir);
        return -1;
    }
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        set_error(err, "open", dir);
        return -1;
    }
    /* The umask has no say in what mkdir() alone could not do */
    if (created && fchmod(fd, 01777) < 0) {
        set_error(err, "set the mode of", dir);
        goto fail;
    }
    if (fstat(fd, &st) < 0) {
        set_error(err, "examine", dir);
        goto fail;
    }
    if ((st.st_mode & (S_IWGRP | S_IWOTH)) && !(st.st_mode & S_ISVTX)) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_PERM,
                    "others may remove files in '%s' (mode %04o)", dir,
                    (unsigned)st.st_mode & 07777);
        goto fail;
    }
    return fd;

fail:
    close(fd);
    return -1;
}

/*
 * The lock file is opened read-only, which is enough for flock(), and without
 * O_CREAT if it exists: fs.protected_regular forbids O_CREAT on the file of
 * another user in a sticky directory.
 */
static int open_lock(int dir_fd, GError **err)
{
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    struct stat st;
    int fd;

    fd = openat(dir_fd, LOCK_FILE, flags);
    if (fd < 0 && errno == ENOENT) {
        fd = openat(dir_fd, LOCK_FILE, flags | O_CREAT | O_EXCL, 0444);
        if (fd >= 0) {
            /* Whatever the umask; if it fails, others cannot share it */
            fchmod(fd, 0444);
        } else if (errno == EEXIST) {
            fd = openat(dir_fd, LOCK_FILE, flags);
        }
    }
    if (fd < 0) {
        set_error(err, "open the ledger's file", LOCK_FILE);
        return -1;
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "the ledger's file '%s' is not a regular file", LOCK_FILE);
        close(fd);
        return -1;
    }
    return fd;
}

HybridLedger *hybrid_ledger_open(const char *dir, GError **err)
{
    HybridLedger *l;
    int dir_fd, lock_fd;

    dir_fd = open_dir(dir, err);
    if (dir_fd < 0) {
        return NULL;
    }
    lock_fd = open_lock(dir_fd, err);
    if (lock_fd < 0) {
        close(dir_fd);
        return NULL;
    }
    l = g_new0(HybridLedger, 1);
    l->dir_fd = dir_fd;
    l->lock_fd = lock_fd;
    l->claim_fd = -1;
    l->cgroup = g_strdup("/");
    return l;
}

void hybrid_ledger_set_cgroup(HybridLedger *l, const char *path)
{
    if (l) {
        g_free(l->cgroup);
        l->cgroup = g_strdup(path);
    }
}

static bool try_lock(HybridLedger *l)
{
    l->locked = l->locked || !retry_flock(l->lock_fd, LOCK_EX | LOCK_NB);
    return l->locked;
}

bool hybrid_ledger_lock(HybridLedger *l)
{
    gint64 deadline = g_get_monotonic_time() +
                      HYBRID_LEDGER_PATIENCE_MS * 1000;

    while (l && !try_lock(l)) {
        if (errno != EWOULDBLOCK || g_get_monotonic_time() >= deadline) {
            return false;
        }
        g_usleep(LOCK_POLL_US);
    }
    return true;
}

bool hybrid_ledger_unlock(HybridLedger *l)
{
    if (!l || !l->locked) {
        return false;
    }
    l->locked = false;
    return !retry_flock(l->lock_fd, LOCK_UN);
}

/* @group is @path or below it */
static bool in_cgroup(const char *group, const char *path)
{
    size_t len = strlen(path);

    while (len && path[len - 1] == '/') {
        len--;
    }
    return !strncmp(group, path, len) && (!group[len] || group[len] == '/');
}

/* "BYTES CGROUP\n"; what is not a claim claims nothing */
static uint64_t read_claim(int fd, const char *path)
{
    char text[CLAIM_MAX];
    ssize_t len = pread(fd, text, sizeof(text) - 1, 0);
    uint64_t bytes;
    char *end;

    if (len <= 0) {
        return 0;
    }
    text[len] = '\0';
    bytes = g_ascii_strtoull(text, &end, 10);
    if (end == text || *end != ' ') {
        return 0;
    }
    end[1 + strcspn(end + 1, "\n")] = '\0';
    return !path || in_cgroup(end + 1, path) ? bytes : 0;
}

static uint64_t other_claim(HybridLedger *l, const char *name,
                            const char *path)
{
    uint64_t bytes = 0;
    struct stat st;
    int fd;

    /* Not to block on what only pretends to be a claim */
    fd = openat(l->dir_fd, name,
                O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    /* Of others anybody could keep this host's memory to himself */
    if (!fstat(fd, &st) && S_ISREG(st.st_mode) &&
        (!st.st_uid || st.st_uid == geteuid())) {
        if (!retry_flock(fd, LOCK_EX | LOCK_NB)) {
            /* Fails if it is another user's; it counts for nothing anyway */
            unlinkat(l->dir_fd, name, 0);
        } else if (errno == EWOULDBLOCK) {
            bytes = read_claim(fd, path);
        }
    }
    close(fd);
    return bytes;
}

static uint64_t sum_others(HybridLedger *l, const char *path)
{
    struct dirent *entry;
    uint64_t sum = 0;
    DIR *entries;
    int fd;

    if (!l || !l->locked) {
        return 0;
    }
    fd = openat(l->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    entries = fd < 0 ? NULL : fdopendir(fd);
    if (!entries) {
        close_fd(&fd);
        return 0;
    }
    while ((entry = readdir(entries))) {
        if (g_str_has_prefix(entry->d_name, CLAIM_PREFIX) &&
            g_strcmp0(entry->d_name, l->claim_name)) {
            uint64_t bytes = other_claim(l, entry->d_name, path);

            sum = sum > UINT64_MAX - bytes ? UINT64_MAX : sum + bytes;
        }
    }
    closedir(entries);
    return sum;
}

uint64_t hybrid_ledger_others(HybridLedger *l)
{
    return sum_others(l, NULL);
}

uint64_t hybrid_ledger_others_in(HybridLedger *l, const char *path)
{
    return sum_others(l, path);
}

static bool write_claim(HybridLedger *l, uint64_t bytes)
{
    g_autofree char *text = g_strdup_printf("%020" PRIu64 " %s\n", bytes,
                                            l->cgroup);
    size_t len = MIN(strlen(text), CLAIM_MAX - 1);
    ssize_t written;

    do {
        written = pwrite(l->claim_fd, text, len, 0);
    } while (written < 0 && errno == EINTR);
    if (written >= 0 && (size_t)written < len) {
        errno = ENOSPC;
    }
    return written == (ssize_t)len && !ftruncate(l->claim_fd, len);
}

static void drop_claim(HybridLedger *l)
{
    if (l->claim_fd < 0) {
        return;
    }
    unlinkat(l->dir_fd, l->claim_name, 0);
    close_fd(&l->claim_fd);
    g_clear_pointer(&l->claim_name, g_free);
}

static bool create_claim(HybridLedger *l)
{
    do {
        g_free(l->claim_name);
        l->claim_name = g_strdup_printf(CLAIM_PREFIX "%08x%08x",
                                        g_random_int(), g_random_int());
        l->claim_fd = openat(l->dir_fd, l->claim_name, O_RDWR | O_CREAT |
                             O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    } while (l->claim_fd < 0 && errno == EEXIST);
    if (l->claim_fd < 0) {
        g_clear_pointer(&l->claim_name, g_free);
        return false;
    }
    /* Others have to be able to read it, whatever the umask */
    return !fchmod(l->claim_fd, 0644) &&
           !retry_flock(l->claim_fd, LOCK_EX | LOCK_NB);
}

bool hybrid_ledger_claim(HybridLedger *l, uint64_t bytes, GError **err)
{
    if (!l) {
        return true;
    }
    if (!l->locked) {
        g_set_error(err, G_FILE_ERROR, G_FILE_ERROR_AGAIN,
                    "the ledger is not locked");
        return false;
    }
    if ((l->claim_fd < 0 && !create_claim(l)) || !write_claim(l, bytes)) {
        set_error(err, "write", "the ledger's claim");
        drop_claim(l);
        return false;
    }
    return true;
}

void hybrid_ledger_update(HybridLedger *l, uint64_t outstanding)
{
    bool was_locked = l && l->locked;

    if (l && l->claim_fd >= 0 && try_lock(l)) {
        write_claim(l, outstanding);
        if (!was_locked) {
            hybrid_ledger_unlock(l);
        }
    }
}

void hybrid_ledger_close(HybridLedger *l)
{
    if (!l) {
        return;
    }
    drop_claim(l);
    hybrid_ledger_unlock(l);
    close_fd(&l->lock_fd);
    close_fd(&l->dir_fd);
    g_free(l->cgroup);
    g_free(l);
}
