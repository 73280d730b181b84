/*
 * For the tests of the ledger: a ledger in a directory of its own, and child
 * processes that use it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include "remove-all.h"
#include "ledger-help.h"

char *top;
char *dir;

HybridLedger *open_ledger(void)
{
    g_autoptr(GError) err = NULL;
    HybridLedger *l = hybrid_ledger_open(dir, &err);

    g_assert_no_error(err);
    g_assert_nonnull(l);
    return l;
}

uint64_t others(HybridLedger *l)
{
    uint64_t sum;

    g_assert_true(hybrid_ledger_lock(l));
    sum = hybrid_ledger_others(l);
    g_assert_true(hybrid_ledger_unlock(l));
    return sum;
}

void claim(HybridLedger *l, uint64_t bytes)
{
    g_autoptr(GError) err = NULL;

    g_assert_true(hybrid_ledger_lock(l));
    g_assert_true(hybrid_ledger_claim(l, bytes, &err));
    g_assert_no_error(err);
    g_assert_true(hybrid_ledger_unlock(l));
}

unsigned claim_files(void)
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

static void tear_down(void)
{
    remove_all(top);
    g_clear_pointer(&top, g_free);
    g_clear_pointer(&dir, g_free);
}

static void child_main(void (*what)(int hear, int say), int hear, int say)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    what(hear, say);
    _exit(0);
}

Child start_child(void (*what)(int hear, int say))
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

void await_child(Child *c)
{
    char byte;

    g_assert_cmpint(read(c->hear, &byte, 1), ==, 1);
}

void wait_for_parent(int hear, int say)
{
    char byte = 'x';

    g_assert_cmpint(write(say, &byte, 1), ==, 1);
    g_assert_cmpint(read(hear, &byte, 1), >=, 0);
}

int end_child(Child *c, int sig)
{
    int status;

    if (sig) {
        kill(c->pid, sig);
    } else {
        /* Not by closing alone: children started later have this end, too */
        g_assert_cmpint(write(c->say, "x", 1), ==, 1);
    }
    close(c->say);
    g_assert_cmpint(waitpid(c->pid, &status, 0), ==, c->pid);
    close(c->hear);
    return status;
}

static void run_test(gconstpointer what)
{
    void (*test)(void) = what;

    set_up();
    test();
    tear_down();
}

int ledger_tests(int argc, char **argv, const LedgerTest *tests, unsigned n)
{
    g_test_init(&argc, &argv, NULL);
    signal(SIGPIPE, SIG_IGN);
    for (unsigned i = 0; i < n; i++) {
        g_test_add_data_func(tests[i].path, tests[i].test, run_test);
    }
    return g_test_run();
}
