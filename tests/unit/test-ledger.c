/*
 * The host's ledger: what it counts, and what it does not let itself in for.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "ledger-help.h"

static void test_one(void)
{
    g_autoptr(HybridLedger) a = open_ledger();
    g_autoptr(HybridLedger) b = open_ledger();
    struct stat st;

    g_assert_cmpint(stat(dir, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 07777, ==, 0755);

    claim(a, 1000);
    g_assert_cmpuint(others(a), ==, 0);
    g_assert_cmpuint(others(b), ==, 1000);
    claim(b, 20);
    g_assert_cmpuint(others(a), ==, 20);
    hybrid_ledger_update(a, 600);
    g_assert_cmpuint(others(b), ==, 600);
    claim(a, UINT64_MAX);
    g_assert_cmpuint(others(b), ==, UINT64_MAX);
    claim(a, 0);
    g_assert_cmpuint(others(b), ==, 0);
    g_assert_cmpuint(claim_files(), ==, 2);

    g_clear_pointer(&b, hybrid_ledger_close);
    g_assert_cmpuint(others(a), ==, 0);
    g_assert_cmpuint(claim_files(), ==, 1);
    b = open_ledger();
    g_clear_pointer(&a, hybrid_ledger_close);
    g_assert_cmpuint(claim_files(), ==, 0);

    /* More than there is bits for */
    a = open_ledger();
    claim(a, UINT64_MAX - 5);
    claim(b, 10);
    {
        g_autoptr(HybridLedger) c = open_ledger();

        g_assert_cmpuint(others(c), ==, UINT64_MAX);
    }
}

static void assert_refused(const char *path)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(hybrid_ledger_open(path, &err));
    g_assert_nonnull(err);
    g_assert_nonnull(strstr(err->message, path));
}

static void test_bad_directories(void)
{
    g_autofree char *real = g_build_filename(top, "real", NULL);
    g_autofree char *deep = g_build_filename(top, "no", "parent", NULL);
    g_autofree char *lock = g_build_filename(real, "lock", NULL);
    g_autofree char *own = g_strdup_printf("%s-%u", dir, (unsigned)geteuid());
    g_autoptr(GError) err = NULL;

    assert_refused(deep);
    /* Nor is there one with our number */
    g_assert_cmpint(symlink("nowhere", own), ==, 0);
    g_assert_cmpint(mkdir(real, 0700), ==, 0);
    g_assert_cmpint(symlink(real, dir), ==, 0);
    assert_refused(dir);
    g_assert_cmpint(unlink(dir), ==, 0);
    g_assert_cmpint(symlink("nowhere", dir), ==, 0);
    assert_refused(dir);
    g_assert_cmpint(unlink(dir), ==, 0);
    g_assert_true(g_file_set_contents(dir, "", 0, NULL));
    assert_refused(dir);
    /* A lock that leads elsewhere, or is no file */
    g_assert_cmpint(symlink(dir, lock), ==, 0);
    g_assert_null(hybrid_ledger_open(real, NULL));
    g_assert_cmpint(unlink(lock), ==, 0);
    g_assert_cmpint(mkfifo(lock, 0666), ==, 0);
    g_assert_null(hybrid_ledger_open(real, &err));
    g_assert_error(err, G_FILE_ERROR, G_FILE_ERROR_INVAL);
    g_assert_cmpint(unlink(lock), ==, 0);
    hybrid_ledger_close(hybrid_ledger_open(real, NULL));
    g_assert_cmpint(access(lock, F_OK), ==, 0);
}

/* A directory that others can write to is left, for one with our number */
static void test_writable_directory(void)
{
    g_autofree char *own = g_strdup_printf("%s-%u", dir, (unsigned)geteuid());
    static const mode_t modes[] = { 0777, 0775, 01777 };

    for (unsigned i = 0; i < G_N_ELEMENTS(modes); i++) {
        g_autofree char *lock = g_build_filename(dir, "lock", NULL);

        g_assert_cmpint(mkdir(dir, 0700), ==, 0);
        g_assert_cmpint(chmod(dir, modes[i]), ==, 0);
        {
            g_autoptr(HybridLedger) a = open_ledger();
            g_autoptr(HybridLedger) b = open_ledger();

            claim(a, 500);
            g_assert_cmpuint(others(b), ==, 500);
        }
        g_assert_cmpint(access(lock, F_OK), <, 0);
        g_assert_cmpint(access(own, F_OK), ==, 0);
        g_assert_cmpint(rmdir(dir), ==, 0);
    }
    /* If that is not ours alone, either, there is none */
    g_assert_cmpint(mkdir(dir, 0700), ==, 0);
    g_assert_cmpint(chmod(dir, 0777), ==, 0);
    g_assert_cmpint(chmod(own, 0777), ==, 0);
    assert_refused(dir);
}

/* A file of that name in the ledger; @kind goes behind our number */
static char *claim_path(const char *kind)
{
    g_autofree char *name = g_strdup_printf("claim-%u-%s", (unsigned)geteuid(),
                                            kind);

    return g_build_filename(dir, name, NULL);
}

/* As the owner of a claim does */
static int hold(const char *path)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd = open(path, O_RDWR);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(fcntl(fd, F_OFD_SETLK, &lock), ==, 0);
    return fd;
}

/* What else may lie around: nothing of it blocks, counts or leads outside */
static void test_strange_claims(void)
{
    g_autoptr(HybridLedger) l = open_ledger();
    g_autofree char *precious = g_build_filename(top, "precious", NULL);
    g_autofree char *link = claim_path("link");
    g_autofree char *fifo = claim_path("fifo");
    g_autofree char *sub = claim_path("dir");
    g_autofree char *note = g_build_filename(dir, "note", NULL);
    g_autofree char *live = claim_path("live");
    static const char *const texts[] = { "", "\n", "x", "77", "77\n", " 7 /\n",
                                         "-", "\377\377" };
    int fd;

    g_assert_true(g_file_set_contents(precious, "900 /\n", -1, NULL));
    g_assert_true(g_file_set_contents(note, "900 /\n", -1, NULL));
    g_assert_cmpint(symlink(precious, link), ==, 0);
    g_assert_cmpint(mkfifo(fifo, 0666), ==, 0);
    g_assert_cmpint(mkdir(sub, 0777), ==, 0);
    fd = hold(precious);
    g_assert_cmpuint(others(l), ==, 0);
    close(fd);
    g_assert_cmpuint(others(l), ==, 0);
    g_assert_true(g_file_test(precious, G_FILE_TEST_EXISTS));
    g_assert_true(g_file_test(note, G_FILE_TEST_EXISTS));

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        bool number = strstr(texts[i], "7 /");

        g_assert_true(g_file_set_contents(live, texts[i], -1, NULL));
        fd = hold(live);
        g_assert_cmpuint(others(l), ==, number ? 7 : 0);
        g_assert_true(g_file_test(live, G_FILE_TEST_EXISTS));
        close(fd);
        g_assert_cmpuint(others(l), ==, 0);
        g_assert_false(g_file_test(live, G_FILE_TEST_EXISTS));
    }
}

/* Other kinds of memory, in the same claim */
static void test_words(void)
{
    g_autoptr(HybridLedger) a = open_ledger();
    g_autoptr(HybridLedger) b = open_ledger();

    hybrid_ledger_set(a, "huge-2048", 400);
    hybrid_ledger_set(a, "huge-204", 3);
    claim(a, 10);
    g_assert_true(hybrid_ledger_lock(b));
    g_assert_cmpuint(hybrid_ledger_others(b), ==, 10);
    g_assert_cmpuint(hybrid_ledger_others_of(b, "huge-2048"), ==, 400);
    g_assert_cmpuint(hybrid_ledger_others_of(b, "huge-204"), ==, 3);
    g_assert_cmpuint(hybrid_ledger_others_of(b, "huge"), ==, 0);
    hybrid_ledger_unlock(b);
    hybrid_ledger_set(a, "huge-2048", 100);
    hybrid_ledger_update(a, 7);
    g_assert_true(hybrid_ledger_lock(b));
    g_assert_cmpuint(hybrid_ledger_others_of(b, "huge-2048"), ==, 100);
    hybrid_ledger_unlock(b);
    g_assert_cmpuint(hybrid_ledger_others_of(b, "huge-2048"), ==, 0);
}

/* However many files others have left: it is the names that are looked at */
static void test_crowd(void)
{
    g_autoptr(HybridLedger) a = open_ledger();
    g_autoptr(HybridLedger) b = open_ledger();
    gint64 begin, least = G_MAXINT64;

    claim(a, 700);
    for (unsigned i = 0; i < 20000; i++) {
        g_autofree char *name = g_strdup_printf("claim-4711-%u", i);
        g_autofree char *path = g_build_filename(dir, name, NULL);
        int fd = open(path, O_CREAT | O_WRONLY, 0644);

        g_assert_cmpint(fd, >=, 0);
        close(fd);
    }
    /* To open and lock each of them takes 170 ms on a machine at rest */
    for (unsigned i = 0; i < 5; i++) {
        begin = g_get_monotonic_time();
        g_assert_cmpuint(others(b), ==, 700);
        least = MIN(least, g_get_monotonic_time() - begin);
    }
    g_assert_cmpint(least, <, 60000);
}

/* Of the only claim there is */
static char *claim_name(void)
{
    g_autoptr(GDir) entries = g_dir_open(dir, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(entries))) {
        if (g_str_has_prefix(name, "claim-")) {
            return g_build_filename(dir, name, NULL);
        }
    }
    g_assert_not_reached();
}

static void test_cgroups(void)
{
    g_autoptr(HybridLedger) a = open_ledger();
    g_autoptr(HybridLedger) b = open_ledger();
    g_autoptr(HybridLedger) c = open_ledger();
    g_autofree char *name = NULL, *text = NULL;

    hybrid_ledger_set_cgroup(a, "/machine/one");
    claim(a, 1);
    hybrid_ledger_set_cgroup(b, "/machine/one more");
    claim(b, 10);
    hybrid_ledger_set_cgroup(b, "/machine/1");
    claim(b, 100);
    g_assert_true(hybrid_ledger_lock(c));
    g_assert_cmpuint(hybrid_ledger_others(c), ==, 101);
    g_assert_cmpuint(hybrid_ledger_others_in(c, "/"), ==, 101);
    g_assert_cmpuint(hybrid_ledger_others_in(c, "/machine"), ==, 101);
    g_assert_cmpuint(hybrid_ledger_others_in(c, "/machine/"), ==, 101);
    g_assert_cmpuint(hybrid_ledger_others_in(c, "/machine/one"), ==, 1);
    g_assert_cmpuint(hybrid_ledger_others_in(c, "/machine/on"), ==, 0);
    g_assert_cmpuint(hybrid_ledger_others_in(c, "/machine/1"), ==, 100);
    g_assert_cmpuint(hybrid_ledger_others_in(c, "/machine/1/x"), ==, 0);

    /* For people to read: of what was longer before, nothing is left */
    g_clear_pointer(&a, hybrid_ledger_close);
    name = claim_name();
    g_assert_true(g_file_get_contents(name, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "00000000000000000100 /machine/1\n");
}

static void test_no_ledger(void)
{
    g_autoptr(HybridLedger) l = open_ledger();
    g_autoptr(HybridLedger) other = open_ledger();
    g_autoptr(GError) err = NULL;

    /* One that is not locked */
    g_assert_false(hybrid_ledger_claim(l, 5, &err));
    g_assert_error(err, G_FILE_ERROR, G_FILE_ERROR_AGAIN);
    hybrid_ledger_update(l, 10);
    g_assert_cmpuint(claim_files(), ==, 0);
    claim(other, 5);
    g_assert_cmpuint(hybrid_ledger_others(l), ==, 0);
    g_assert_cmpuint(others(l), ==, 5);

    /* None at all */
    g_assert_true(hybrid_ledger_lock(NULL));
    g_assert_cmpuint(hybrid_ledger_others(NULL), ==, 0);
    g_assert_cmpuint(hybrid_ledger_others_in(NULL, "/"), ==, 0);
    hybrid_ledger_set_cgroup(NULL, "/");
    g_assert_true(hybrid_ledger_claim(NULL, 5, NULL));
    hybrid_ledger_update(NULL, 5);
    g_assert_false(hybrid_ledger_unlock(NULL));
    hybrid_ledger_close(NULL);
}

/* Whatever the umask, other users can read what they need to */
static void test_umask(void)
{
    mode_t before = umask(0077);
    g_autoptr(HybridLedger) l = open_ledger();
    g_autofree char *name = NULL;
    struct stat st;

    claim(l, 5);
    umask(before);
    g_assert_cmpint(stat(dir, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 07777, ==, 0755);
    name = claim_name();
    g_assert_cmpint(stat(name, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 0777, ==, 0644);
}

int main(int argc, char **argv)
{
    static const LedgerTest tests[] = {
        { "/hybrid/ledger/one", test_one },
        { "/hybrid/ledger/bad-directories", test_bad_directories },
        { "/hybrid/ledger/writable-directory", test_writable_directory },
        { "/hybrid/ledger/strange-claims", test_strange_claims },
        { "/hybrid/ledger/words", test_words },
        { "/hybrid/ledger/crowd", test_crowd },
        { "/hybrid/ledger/cgroups", test_cgroups },
        { "/hybrid/ledger/no-ledger", test_no_ledger },
        { "/hybrid/ledger/umask", test_umask },
    };

    return ledger_tests(argc, argv, tests, G_N_ELEMENTS(tests));
}
