/*
 * The host's ledger, with real processes, signals and file systems.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include "ledger-help.h"

#define NOBODY 65534
#define SKIPPED 77
#define ROOM 3000
#define SHARE 1000
#define RIVALS 12

static void claim_5000(int hear, int say)
{
    HybridLedger *l = open_ledger();

    claim(l, 5000);
    wait_for_parent(hear, say);
    hybrid_ledger_close(l);
}

static void test_two_processes(void)
{
    g_autoptr(HybridLedger) l = open_ledger();
    Child c = start_child(claim_5000);

    await_child(&c);
    g_assert_cmpuint(others(l), ==, 5000);
    g_assert_cmpint(end_child(&c, 0), ==, 0);
    g_assert_cmpuint(claim_files(), ==, 0);
    g_assert_cmpuint(others(l), ==, 0);
}

static void test_killed_owner(void)
{
    g_autoptr(HybridLedger) l = open_ledger();
    Child c = start_child(claim_5000);
    Child d = start_child(claim_5000);

    await_child(&c);
    await_child(&d);
    g_assert_cmpuint(others(l), ==, 10000);
    g_assert_true(WIFSIGNALED(end_child(&c, SIGKILL)));
    g_assert_cmpuint(claim_files(), ==, 2);
    g_assert_cmpuint(others(l), ==, 5000);
    g_assert_cmpuint(claim_files(), ==, 1);
    g_assert_true(WIFSIGNALED(end_child(&d, SIGKILL)));
    g_assert_cmpuint(others(l), ==, 0);
    g_assert_cmpuint(claim_files(), ==, 0);
}

static void hold_lock(int hear, int say)
{
    HybridLedger *l = open_ledger();

    g_assert_true(hybrid_ledger_lock(l));
    wait_for_parent(hear, say);
}

/* Whoever keeps the lock delays others by so much, and not beyond its death */
static void test_lock_held(void)
{
    g_autoptr(HybridLedger) l = open_ledger();
    gint64 begin, us;
    Child c;

    claim(l, 700);
    c = start_child(hold_lock);
    await_child(&c);

    begin = g_get_monotonic_time();
    hybrid_ledger_update(l, 300);
    g_assert_cmpint(g_get_monotonic_time() - begin, <, 500000);
    g_assert_false(hybrid_ledger_unlock(l));
    g_assert_false(hybrid_ledger_lock(l));
    us = g_get_monotonic_time() - begin;
    g_assert_cmpint(us, >=, HYBRID_LEDGER_PATIENCE_MS * 1000 * 9 / 10);
    g_assert_cmpuint(hybrid_ledger_others(l), ==, 0);
    g_assert_false(hybrid_ledger_claim(l, 1, NULL));

    end_child(&c, SIGKILL);
    {
        g_autoptr(HybridLedger) other = open_ledger();

        /* Neither the update nor the refused claim changed anything */
        g_assert_cmpuint(others(other), ==, 700);
    }
}

static void rival(int hear, int say)
{
    HybridLedger *l = open_ledger();
    bool fits;

    g_assert_true(hybrid_ledger_lock(l));
    fits = hybrid_ledger_others(l) + SHARE <= ROOM;
    sched_yield();
    if (fits) {
        g_assert_true(hybrid_ledger_claim(l, SHARE, NULL));
    }
    hybrid_ledger_unlock(l);
    wait_for_parent(hear, say);
    _exit(fits ? 1 : 0);
}

/* All ask at once, as many get it as there is room for */
static void test_rivals(void)
{
    unsigned accepted = 0;
    Child c[RIVALS];

    for (unsigned i = 0; i < RIVALS; i++) {
        c[i] = start_child(rival);
    }
    for (unsigned i = 0; i < RIVALS; i++) {
        await_child(&c[i]);
    }
    g_assert_cmpuint(claim_files(), ==, ROOM / SHARE);
    for (unsigned i = 0; i < RIVALS; i++) {
        accepted += WEXITSTATUS(end_child(&c[i], 0));
    }
    g_assert_cmpuint(accepted, ==, ROOM / SHARE);
}

/* Claims, starts a program, which runs when the parent hears, and waits */
static void claim_with_helper(int hear, int say)
{
    HybridLedger *l = open_ledger();
    int started[2];
    char byte;

    claim(l, 5000);
    g_assert_cmpint(pipe2(started, O_CLOEXEC), ==, 0);
    if (!fork()) {
        /* Reads until the test closes its end, or is gone */
        dup2(hear, STDIN_FILENO);
        execlp("cat", "cat", NULL);
        _exit(write(started[1], "x", 1) == 1);
    }
    close(started[1]);
    g_assert_cmpint(read(started[0], &byte, 1), ==, 0);
    wait_for_parent(hear, say);
}

static void test_helper_program(void)
{
    g_autoptr(HybridLedger) l = open_ledger();
    Child c;
    int status;

    /* The helper becomes this process's when its own parent dies */
    g_assert_cmpint(prctl(PR_SET_CHILD_SUBREAPER, 1), ==, 0);
    c = start_child(claim_with_helper);
    await_child(&c);
    g_assert_cmpuint(others(l), ==, 5000);
    kill(c.pid, SIGKILL);
    g_assert_cmpint(waitpid(c.pid, &status, 0), ==, c.pid);
    /* The helper lives, the claim does not */
    g_assert_cmpint(waitpid(-1, &status, WNOHANG), ==, 0);
    g_assert_cmpuint(others(l), ==, 0);
    close(c.say);
    g_assert_cmpint(waitpid(-1, &status, 0), >, 0);
    g_assert_cmpint(status, ==, 0);
    close(c.hear);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static void test_fork(void)
{
    HybridLedger *l = open_ledger();
    g_autoptr(HybridLedger) other = open_ledger();
    int pipe_fd[2], status;
    char byte;
    pid_t pid;

    claim(l, 5000);
    g_assert_cmpint(pipe(pipe_fd), ==, 0);
    pid = fork();
    if (!pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(pipe_fd[1]);
        _exit(read(pipe_fd[0], &byte, 1) != 0);
    }
    close(pipe_fd[0]);
    /* Opening and closing the claim elsewhere takes nothing from it */
    g_assert_cmpuint(others(other), ==, 5000);
    g_assert_cmpuint(others(l), ==, 0);
    g_assert_cmpuint(others(other), ==, 5000);
    hybrid_ledger_close(l);
    g_assert_cmpuint(others(other), ==, 0);
    close(pipe_fd[1]);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
}

/* Root may write anywhere, so the child is nobody */
static void claim_as_nobody(int hear, int say)
{
    g_autoptr(GError) err = NULL;
    HybridLedger *l;

    if (!geteuid() && (setgid(NOBODY) || setuid(NOBODY))) {
        _exit(SKIPPED);
    }
    l = hybrid_ledger_open(dir, NULL);
    g_assert_nonnull(l);
    g_assert_true(hybrid_ledger_lock(l));
    g_assert_false(hybrid_ledger_claim(l, 5, &err));
    g_assert_error(err, G_FILE_ERROR, G_FILE_ERROR_ACCES);
    g_assert_cmpuint(hybrid_ledger_others(l), ==, 300);
    hybrid_ledger_update(l, 2);
    hybrid_ledger_close(l);
    wait_for_parent(hear, say);
}

static void test_read_only(void)
{
    g_autoptr(HybridLedger) l = open_ledger();
    Child c;
    int status;

    claim(l, 300);
    g_assert_cmpint(chmod(dir, 0555), ==, 0);
    c = start_child(claim_as_nobody);
    status = end_child(&c, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
        g_test_skip("cannot become another user");
    } else {
        g_assert_cmpint(status, ==, 0);
    }
    g_assert_cmpuint(claim_files(), ==, 1);
    g_assert_cmpint(chmod(dir, 0755), ==, 0);
}

/*
 * Whoever is second finds the plain name taken, has a directory of his own,
 * and still sees what root has claimed.
 */
static void second_user(int hear, int say)
{
    g_autofree char *own = g_strdup_printf("%s-%u", dir, NOBODY);
    HybridLedger *l;

    if (geteuid() || chmod(top, 01777) || setgid(NOBODY) || setuid(NOBODY)) {
        _exit(SKIPPED);
    }
    l = open_ledger();
    claim(l, 40);
    g_assert_cmpuint(others(l), ==, 300);
    g_assert_cmpint(access(own, W_OK), ==, 0);
    wait_for_parent(hear, say);
    hybrid_ledger_close(l);
}

static void test_second_user(void)
{
    g_autoptr(HybridLedger) l = open_ledger();
    Child c;
    int status;

    claim(l, 300);
    c = start_child(second_user);
    await_child(&c);
    g_assert_cmpuint(others(l), ==, 0);
    status = end_child(&c, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
        g_test_skip("cannot become another user");
    } else {
        g_assert_cmpint(status, ==, 0);
    }
}

/* The plain name is another user's: root has a directory all the same */
static void test_first_user(void)
{
    g_autofree char *own = g_strdup_printf("%s-0", dir);

    if (geteuid()) {
        g_test_skip("cannot give a directory to another user");
        return;
    }
    g_assert_cmpint(mkdir(dir, 0755), ==, 0);
    g_assert_cmpint(chown(dir, NOBODY, NOBODY), ==, 0);
    {
        g_autoptr(HybridLedger) a = open_ledger();
        g_autoptr(HybridLedger) b = open_ledger();

        claim(a, 60);
        g_assert_cmpuint(others(b), ==, 60);
        g_assert_cmpuint(claim_files(), ==, 0);
        g_assert_cmpint(access(own, F_OK), ==, 0);
    }
}

/* What anybody may write must not keep memory from others */
static void test_other_user(void)
{
    g_autoptr(HybridLedger) l = open_ledger();
    g_autoptr(HybridLedger) other = open_ledger();
    g_autoptr(GDir) files = NULL;
    const char *name;

    if (geteuid()) {
        g_test_skip("cannot give a file to another user");
        return;
    }
    claim(other, 700);
    g_assert_cmpuint(others(l), ==, 700);
    files = g_dir_open(dir, 0, NULL);
    g_assert_nonnull(files);
    while ((name = g_dir_read_name(files))) {
        g_autofree char *path = g_build_filename(dir, name, NULL);

        g_assert_cmpint(chown(path, NOBODY, NOBODY), ==, 0);
    }
    g_assert_cmpuint(others(l), ==, 0);
    g_assert_cmpuint(claim_files(), ==, 1);
}

/* Its own file system with @options on the ledger; what fits is the question */
static void mount_full(const char *options)
{
    if (unshare(CLONE_NEWNS) ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mkdir(dir, 0755) || mount("tmpfs", dir, "tmpfs", 0, options)) {
        _exit(SKIPPED);
    }
}

static void claim_on_full(int hear, int say)
{
    g_autoptr(GError) err = NULL;
    HybridLedger *a, *b;

    /* One page, which the first claim takes */
    mount_full("size=4k,mode=755");
    a = open_ledger();
    b = open_ledger();
    claim(a, 1000);
    g_assert_true(hybrid_ledger_lock(b));
    g_assert_false(hybrid_ledger_claim(b, 2000, &err));
    g_assert_error(err, G_FILE_ERROR, G_FILE_ERROR_NOSPC);
    g_assert_cmpuint(hybrid_ledger_others(b), ==, 1000);
    hybrid_ledger_unlock(b);
    g_assert_cmpuint(claim_files(), ==, 1);
    /* The first one can still shrink, and make room for the second */
    hybrid_ledger_update(a, 10);
    g_assert_cmpuint(others(b), ==, 10);
    hybrid_ledger_close(a);
    claim(b, 2000);
    wait_for_parent(hear, say);
}

/* The directory itself and the lock are all the files there may be */
static void claim_without_inodes(int hear, int say)
{
    g_autoptr(GError) err = NULL;
    HybridLedger *l;

    mount_full("nr_inodes=2,mode=755");
    l = open_ledger();
    g_assert_true(hybrid_ledger_lock(l));
    g_assert_false(hybrid_ledger_claim(l, 2000, &err));
    g_assert_error(err, G_FILE_ERROR, G_FILE_ERROR_NOSPC);
    hybrid_ledger_close(l);
    wait_for_parent(hear, say);
}

static void test_full(void)
{
    void (*const cases[])(int, int) = { claim_on_full, claim_without_inodes };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        Child c = start_child(cases[i]);
        int status = end_child(&c, 0);

        if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
            g_test_skip("cannot mount a file system");
            return;
        }
        g_assert_cmpint(status, ==, 0);
        rmdir(dir);
    }
}

int main(int argc, char **argv)
{
    static const LedgerTest tests[] = {
        { "/hybrid/ledger/two-processes", test_two_processes },
        { "/hybrid/ledger/killed-owner", test_killed_owner },
        { "/hybrid/ledger/lock-held", test_lock_held },
        { "/hybrid/ledger/rivals", test_rivals },
        { "/hybrid/ledger/helper-program", test_helper_program },
        { "/hybrid/ledger/fork", test_fork },
        { "/hybrid/ledger/read-only", test_read_only },
        { "/hybrid/ledger/second-user", test_second_user },
        { "/hybrid/ledger/first-user", test_first_user },
        { "/hybrid/ledger/other-user", test_other_user },
        { "/hybrid/ledger/full", test_full },
    };

    return ledger_tests(argc, argv, tests, G_N_ELEMENTS(tests));
}
