/*
 * The host's ledger, with real processes, signals and file systems.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "hybrid-osdep.h"
#include <glib/gstdio.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "hybrid-ledger.h"

#define NOBODY 65534
#define SKIPPED 77

G_DEFINE_AUTOPTR_CLEANUP_FUNC(HybridLedger, hybrid_ledger_close)

static char *top;               /* a directory of the test's own */
static char *dir;               /* the ledger's, in it */

static HybridLedger *open_ledger(void)
{
    g_autoptr(GError) err = NULL;
    HybridLedger *l = hybrid_ledger_open(dir, &err);

    g_assert_no_error(err);
    g_assert_nonnull(l);
    return l;
}

static uint64_t others(HybridLedger *l)
{
    uint64_t sum;

    g_assert_true(hybrid_ledger_lock(l));
    sum = hybrid_ledger_others(l);
    g_assert_true(hybrid_ledger_unlock(l));
    return sum;
}

static void claim(HybridLedger *l, uint64_t bytes)
{
    g_autoptr(GError) err = NULL;

    g_assert_true(hybrid_ledger_lock(l));
    g_assert_true(hybrid_ledger_claim(l, bytes, &err));
    g_assert_no_error(err);
    g_assert_true(hybrid_ledger_unlock(l));
}

static unsigned claim_files(void)
{
    g_autoptr(GDir) entries = g_dir_open(dir, 0, NULL);
    const char *name;
    unsigned n = 0;

    while ((name = g_dir_read_name(entries))) {
        n += g_str_has_prefix(name, "claim-");
    }
    return n;
}

static void set_up(void)
{
    g_autoptr(GError) err = NULL;

    top = g_dir_make_tmp("hybrid-ledger-XXXXXX", &err);
    g_assert_no_error(err);
    g_assert_cmpint(chmod(top, 0755), ==, 0);
    dir = g_build_filename(top, "ledger", NULL);
}

static void remove_all(const char *path)
{
    g_autoptr(GDir) entries = g_dir_open(path, 0, NULL);
    const char *name;

    while (entries && (name = g_dir_read_name(entries))) {
        g_autofree char *file = g_build_filename(path, name, NULL);

        if (g_file_test(file, G_FILE_TEST_IS_DIR) &&
            !g_file_test(file, G_FILE_TEST_IS_SYMLINK)) {
            remove_all(file);
        } else {
            unlink(file);
        }
    }
    rmdir(path);
}

static void tear_down(void)
{
    remove_all(top);
    g_clear_pointer(&top, g_free);
    g_clear_pointer(&dir, g_free);
}

/* A process of its own, gone at the latest when the test is */
typedef struct Child {
    pid_t pid;
    int say, hear;              /* the parent's ends */
} Child;

static void child_main(void (*what)(int hear, int say), int hear, int say)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    what(hear, say);
    _exit(0);
}

static Child start_child(void (*what)(int hear, int say))
{
    int down[2], up[2];
    Child c;

    g_assert_cmpint(pipe(down), ==, 0);
    g_assert_cmpint(pipe(up), ==, 0);
    c.pid = fork();
    g_assert_cmpint(c.pid, >=, 0);
    if (!c.pid) {
        close(down[1]);
        close(up[0]);
        child_main(what, down[0], up[1]);
    }
    close(down[0]);
    close(up[1]);
    c.say = down[1];
    c.hear = up[0];
    return c;
}

/* The child says that it has come to where it waits */
static void await_child(Child *c)
{
    char byte;

    g_assert_cmpint(read(c->hear, &byte, 1), ==, 1);
}

static void wait_for_parent(int hear, int say)
{
    char byte = 'x';

    if (write(say, &byte, 1) != 1 || read(hear, &byte, 1) < 0) {
        _exit(1);
    }
}

static int end_child(Child *c, int sig)
{
    int status;

    if (sig) {
        kill(c->pid, sig);
    }
    close(c->say);
    g_assert_cmpint(waitpid(c->pid, &status, 0), ==, c->pid);
    close(c->hear);
    return status;
}

static void claim_5000(int hear, int say)
{
    HybridLedger *l = open_ledger();

    claim(l, 5000);
    wait_for_parent(hear, say);
    hybrid_ledger_close(l);
}

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

static void test_killed_with_lock(void)
{
    g_autoptr(HybridLedger) l = open_ledger();
    gint64 begin;
    Child c;

    /* A process that dies between lock and unlock locks nobody out */
    {
        void (*hold)(int, int) = NULL;

        (void)hold;
    }
    c = start_child(claim_5000);
    await_child(&c);
    end_child(&c, SIGKILL);
    begin = g_get_monotonic_time();
    g_assert_true(hybrid_ledger_lock(l));
    g_assert_cmpint(g_get_monotonic_time() - begin, <, 1000000);
    hybrid_ledger_unlock(l);
}

int main(void)
{
    return 0;
}
