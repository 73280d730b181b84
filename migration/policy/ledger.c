/*
 * Hybrid live migration: the host's ledger of incoming guests.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../osdep.h"
#include <dirent.h>
#include <sys/file.h>
#include "ledger.h"

#define LOCK_FILE "lock"
#define CLAIM_PREFIX "claim-"
#define CLAIM_MAX 8192          /* numbers, words, and the longest path */
#define CLAIMS_MAX 4096         /* of one user that are looked at */
/* Names of claims that are tried: one may be taken, or be removed unlocked */
#define CLAIM_TRIES 16
/* How often to try: flock() knows no time-out; chosen */
#define LOCK_POLL_US 2000

struct HybridLedger {
    int dir_fd;                 /* ours; -1: we cannot have one */
    int root_fd;                /* root's, if that is another; -1 */
    int lock_fd;
    int claim_fd;               /* -1: nothing claimed */
    char *dir_name;             /* what could not be made, if dir_fd is -1 */
    int dir_errno;
    char *claim_name;
    char *cgroup;
    GHashTable *more;           /* word -> bytes (uint64_t *), of our claim */
    GPtrArray *seen;            /* texts of others' claims, while locked */
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

/*
 * Opens @dir if it is @owner's and only he can write to it; what others could
 * remove or add is no ledger.  -1 with errno otherwise.
 */
static int open_owned(const char *dir, uid_t owner)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd < 0) {
        return -1;
    }
    if (fstat(fd, &st) < 0 || st.st_uid != owner ||
        (st.st_mode & (S_IWGRP | S_IWOTH))) {
        close(fd);
        errno = EPERM;
        return -1;
    }
    return fd;
}

static int make_dir(const char *dir)
{
    /* Whatever the umask, others have to be able to read root's */
    if (!mkdir(dir, 0755)) {
        int fd = open_owned(dir, geteuid());

        if (fd >= 0 && fchmod(fd, 0755) < 0) {
            close_fd(&fd);
        }
        return fd;
    }
    return errno == EEXIST ? open_owned(dir, geteuid()) : -1;
}

/*
 * The first user to come has the plain name, whoever comes after him has his
 * number behind it.  Root's is under one of both, and read by all.
 */
static void open_dirs(HybridLedger *l, const char *dir)
{
    g_autofree char *own = g_strdup_printf("%s-%u", dir, (unsigned)geteuid());
    g_autofree char *roots = g_strconcat(dir, "-0", NULL);

    l->dir_fd = make_dir(dir);
    if (l->dir_fd < 0 && errno != ENOENT) {
        l->dir_fd = make_dir(own);
        l->dir_name = g_strdup(own);
    } else {
        l->dir_name = g_strdup(dir);
    }
    l->dir_errno = l->dir_fd < 0 ? errno : 0;
    if (geteuid()) {
        l->root_fd = open_owned(dir, 0);
        if (l->root_fd < 0) {
            l->root_fd = open_owned(roots, 0);
        }
    }
}

static int open_lock(int dir_fd, GError **err)
{
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    struct stat st;
    int fd;

    fd = openat(dir_fd, LOCK_FILE, flags);
    if (fd < 0 && errno == ENOENT) {
        /* Nobody else has to be able to take the lock */
        fd = openat(dir_fd, LOCK_FILE, flags | O_CREAT | O_EXCL, 0600);
        if (fd < 0 && errno == EEXIST) {
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
    HybridLedger *l = g_new0(HybridLedger, 1);

    l->dir_fd = l->root_fd = l->lock_fd = l->claim_fd = -1;
    l->cgroup = g_strdup("/");
    l->more = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    l->seen = g_ptr_array_new_with_free_func(g_free);
    open_dirs(l, dir);
    if (l->dir_fd >= 0) {
        l->lock_fd = open_lock(l->dir_fd, err);
    } else if (l->root_fd < 0) {
        errno = l->dir_errno;
        set_error(err, "create", l->dir_name);
    }
    if (l->lock_fd < 0 && l->root_fd < 0) {
        g_clear_pointer(&l, hybrid_ledger_close);
    } else if (l->lock_fd < 0) {
        close_fd(&l->dir_fd);
        g_clear_error(err);
    }
    return l;
}

void hybrid_ledger_set_cgroup(HybridLedger *l, const char *path)
{
    if (l) {
        g_free(l->cgroup);
        l->cgroup = g_strdup(path);
    }
}

void hybrid_ledger_set(HybridLedger *l, const char *word, uint64_t bytes)
{
    if (l) {
        uint64_t *value = g_new(uint64_t, 1);

        *value = bytes;
        g_hash_table_insert(l->more, g_strdup(word), value);
    }
}

/* Of a ledger that can only be read there is nothing to lock */
static bool try_lock(HybridLedger *l)
{
    l->locked = l->locked || l->lock_fd < 0 ||
                !retry_flock(l->lock_fd, LOCK_EX | LOCK_NB);
    return l->locked;
}

bool hybrid_ledger_unlock(HybridLedger *l)
{
    if (!l || !l->locked) {
        return false;
    }
    l->locked = false;
    g_ptr_array_set_size(l->seen, 0);
    return l->lock_fd < 0 || !retry_flock(l->lock_fd, LOCK_UN);
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

/*
 * Locks of the kind that only who may write to the file can hold: others can
 * neither keep a dead claim alive nor get in the way of a new one.
 */
static bool hold_claim(int fd)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    return !fcntl(fd, F_OFD_SETLK, &lock);
}

static bool is_held(int fd)
{
    struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };

    return !fcntl(fd, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK;
}

/* Notes what a claim says; removes it if its owner has died */
static void see_claim(HybridLedger *l, int dir_fd, const char *name,
                      uid_t owner)
{
    char text[CLAIM_MAX];
    ssize_t len = -1;
    struct stat st;
    int fd;

    /* Not to block on what only pretends to be a claim */
    fd = openat(dir_fd, name,
                O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_uid == owner) {
        if (is_held(fd)) {
            len = pread(fd, text, sizeof(text) - 1, 0);
        } else if (dir_fd == l->dir_fd) {
            unlinkat(dir_fd, name, 0);
        }
    }
    close(fd);
    if (len > 0) {
        text[len] = '\0';
        g_ptr_array_add(l->seen, g_strdup(text));
    }
}

static void see_dir(HybridLedger *l, int dir_fd, uid_t owner)
{
    g_autofree char *prefix = g_strdup_printf(CLAIM_PREFIX "%u-",
                                              (unsigned)owner);
    struct dirent *entry;
    unsigned looked = 0;
    DIR *entries;
    int fd;

    if (dir_fd < 0) {
        return;
    }
    fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    entries = fd < 0 ? NULL : fdopendir(fd);
    if (!entries) {
        close_fd(&fd);
        return;
    }
    while ((entry = readdir(entries)) && looked < CLAIMS_MAX) {
        if (g_str_has_prefix(entry->d_name, prefix) &&
            g_strcmp0(entry->d_name, l->claim_name)) {
            see_claim(l, dir_fd, entry->d_name, owner);
            looked++;
        }
    }
    closedir(entries);
}

/* Once for all that is asked while it is locked */
static void see_others(HybridLedger *l)
{
    g_ptr_array_set_size(l->seen, 0);
    see_dir(l, l->dir_fd, geteuid());
    see_dir(l, l->root_fd, 0);
}

bool hybrid_ledger_try_lock(HybridLedger *l)
{
    if (l && !try_lock(l)) {
        return false;
    }
    if (l) {
        see_others(l);
    }
    return true;
}

bool hybrid_ledger_lock(HybridLedger *l)
{
    gint64 deadline = g_get_monotonic_time() +
                      HYBRID_LEDGER_PATIENCE_MS * 1000;

    while (!hybrid_ledger_try_lock(l)) {
        if (errno != EWOULDBLOCK || g_get_monotonic_time() >= deadline) {
            return false;
        }
        g_usleep(LOCK_POLL_US);
    }
    return true;
}

/* "BYTES CGROUP\n"; what is not a claim claims nothing */
static uint64_t first_line(const char *text, const char *path)
{
    g_autofree char *group = NULL;
    uint64_t bytes;
    char *end;

    bytes = g_ascii_strtoull(text, &end, 10);
    if (end == text || *end != ' ') {
        return 0;
    }
    group = g_strndup(end + 1, strcspn(end + 1, "\n"));
    return !path || in_cgroup(group, path) ? bytes : 0;
}

/* "WORD BYTES\n", on one of the lines behind the first */
static uint64_t other_line(const char *text, const char *word)
{
    size_t len = strlen(word);

    for (const char *line = strchr(text, '\n'); line;
         line = strchr(line, '\n')) {
        line++;
        if (!strncmp(line, word, len) && line[len] == ' ') {
            return g_ascii_strtoull(line + len + 1, NULL, 10);
        }
    }
    return 0;
}

static uint64_t sum_others(HybridLedger *l, const char *path, const char *word)
{
    uint64_t sum = 0;

    for (guint i = 0; l && l->locked && i < l->seen->len; i++) {
        const char *text = g_ptr_array_index(l->seen, i);
        uint64_t bytes = word ? other_line(text, word)
                              : first_line(text, path);

        sum = sum > UINT64_MAX - bytes ? UINT64_MAX : sum + bytes;
    }
    return sum;
}

uint64_t hybrid_ledger_others(HybridLedger *l)
{
    return sum_others(l, NULL, NULL);
}

uint64_t hybrid_ledger_others_in(HybridLedger *l, const char *path)
{
    return sum_others(l, path, NULL);
}

uint64_t hybrid_ledger_others_of(HybridLedger *l, const char *word)
{
    return sum_others(l, NULL, word);
}

static bool write_claim(HybridLedger *l, uint64_t bytes)
{
    g_autoptr(GString) text = g_string_new(NULL);
    GHashTableIter iter;
    gpointer word, value;
    ssize_t written;
    size_t len;

    /* A reader without the lock finds lines where they were */
    g_string_printf(text, "%020" PRIu64 " %s\n", bytes, l->cgroup);
    g_hash_table_iter_init(&iter, l->more);
    while (g_hash_table_iter_next(&iter, &word, &value)) {
        g_string_append_printf(text, "%s %020" PRIu64 "\n", (char *)word,
                               *(uint64_t *)value);
    }
    len = MIN(text->len, CLAIM_MAX - 1);
    do {
        written = pwrite(l->claim_fd, text->str, len, 0);
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
    bool held = false;

    if (l->dir_fd < 0) {
        errno = l->dir_errno;
        return false;
    }
    for (unsigned i = 0; i < CLAIM_TRIES && !held; i++) {
        drop_claim(l);
        l->claim_name = g_strdup_printf(CLAIM_PREFIX "%u-%08x%08x",
                                        (unsigned)geteuid(),
                                        g_random_int(), g_random_int());
        l->claim_fd = openat(l->dir_fd, l->claim_name, O_RDWR | O_CREAT |
                             O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (l->claim_fd < 0) {
            g_clear_pointer(&l->claim_name, g_free);
            if (errno != EEXIST) {
                return false;
            }
        } else {
            /* Others have to be able to read it, whatever the umask */
            held = !fchmod(l->claim_fd, 0644) && hold_claim(l->claim_fd);
        }
    }
    return held;
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
        set_error(err, "write a claim in", l->dir_name);
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
    close_fd(&l->root_fd);
    close_fd(&l->dir_fd);
    g_hash_table_destroy(l->more);
    g_ptr_array_unref(l->seen);
    g_free(l->dir_name);
    g_free(l->cgroup);
    g_free(l);
}
