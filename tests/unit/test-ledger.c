/*
 * The host's ledger: what it counts, and what it does not let itself in for.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "hybrid-osdep.h"
#include <sys/file.h>
#include "ledger-help.h"

static void test_one(void)
{
    g_autoptr(HybridLedger) a = open_ledger();
    g_autoptr(HybridLedger) b = open_ledger();
    struct stat st;

    g_assert_cmpint(stat(dir, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 07777, ==, 01777);

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
    g_autoptr(GError) err = NULL;

    assert_refused(deep);
    g_assert_cmpint(mkdir(real, 0700), ==, 0);
    g_assert_cmpint(symlink(real, dir), ==, 0);
    assert_refused(dir);
    g_assert_cmpint(unlink(dir), ==, 0);
    g_assert_cmpint(symlink("nowhere", dir), ==, 0);
    assert_refused(dir);
    g_assert_cmpint(unlink(dir), ==, 0);
    g_assert_true(g_file_set_contents(dir, "", 0, NULL));
    assert_refused(dir);
    g_assert_cmpint(chmod(real, 0777), ==, 0);
    assert_refused(real);
    g_assert_cmpint(chmod(real, 0775), ==, 0);
    assert_refused(real);

    /* A lock that leads elsewhere, or is no file */
    g_assert_cmpint(chmod(real, 01777), ==, 0);
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

/* What else may lie around: nothing of it blocks, counts or leads outside */
static void test_strange_claims(void)
{
    g_autoptr(HybridLedger) l = open_ledger();
    g_autofree char *precious = g_build_filename(top, "precious", NULL);
    g_autofree char *link = g_build_filename(dir, "claim-link", NULL);
    g_autofree char *fifo = g_build_filename(dir, "claim-fifo", NULL);
    g_autofree char *sub = g_build_filename(dir, "claim-dir", NULL);
    g_autofree char *note = g_build_filename(dir, "note", NULL);
    g_autofree char *live = g_build_filename(dir, "claim-live", NULL);
    static const char *const texts[] = { "", "\n", "x", "77", "77\n", " 7 /\n",
                                         "-", "\377\377" };
    int fd;

    g_assert_true(g_file_set_contents(precious, "900 /\n", -1, NULL));
    g_assert_true(g_file_set_contents(note, "900 /\n", -1, NULL));
    g_assert_cmpint(symlink(precious, link), ==, 0);
    g_assert_cmpint(mkfifo(fifo, 0666), ==, 0);
    g_assert_cmpint(mkdir(sub, 0777), ==, 0);
    fd = open(precious, O_RDONLY);
    g_assert_cmpint(flock(fd, LOCK_EX | LOCK_NB), ==, 0);
    g_assert_cmpuint(others(l), ==, 0);
    close(fd);
    g_assert_cmpuint(others(l), ==, 0);
    g_assert_true(g_file_test(precious, G_FILE_TEST_EXISTS));
    g_assert_true(g_file_test(note, G_FILE_TEST_EXISTS));

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        bool number = strstr(texts[i], "7 /");

        g_assert_true(g_file_set_contents(live, texts[i], -1, NULL));
        fd = open(live, O_RDONLY);
        g_assert_cmpint(flock(fd, LOCK_EX | LOCK_NB), ==, 0);
        g_assert_cmpuint(others(l), ==, number ? 7 : 0);
        g_assert_true(g_file_test(live, G_FILE_TEST_EXISTS));
        close(fd);
        g_assert_cmpuint(others(l), ==, 0);
        g_assert_false(g_file_test(live, G_FILE_TEST_EXISTS));
    }
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

/* Whatever the umask, other users can read and lock what they need to */
static void test_umask(void)
{
    mode_t before = umask(0077);
    g_autoptr(HybridLedger) l = open_ledger();
    g_autofree char *lock = g_build_filename(dir, "lock", NULL);
    g_autoptr(GDir) entries = NULL;
    const char *name;
    struct stat st;

    claim(l, 5);
    umask(before);
    g_assert_cmpint(stat(dir, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 07777, ==, 01777);
    g_assert_cmpint(stat(lock, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 0777, ==, 0444);
    entries = g_dir_open(dir, 0, NULL);
    while ((name = g_dir_read_name(entries))) {
        g_autofree char *file = g_build_filename(dir, name, NULL);

        g_assert_cmpint(stat(file, &st), ==, 0);
        g_assert_cmpuint(st.st_mode & 0444, ==, 0444);
    }
}

int main(int argc, char **argv)
{
    static const LedgerTest tests[] = {
        { "/hybrid/ledger/one", test_one },
        { "/hybrid/ledger/bad-directories", test_bad_directories },
        { "/hybrid/ledger/strange-claims", test_strange_claims },
        { "/hybrid/ledger/cgroups", test_cgroups },
        { "/hybrid/ledger/no-ledger", test_no_ledger },
        { "/hybrid/ledger/umask", test_umask },
    };

    return ledger_tests(argc, argv, tests, G_N_ELEMENTS(tests));
}
