/*
 * For the tests of the ledger: a ledger in a directory of its own, and child
 * processes that use it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_UNIT_LEDGER_HELP_H
#define TESTS_UNIT_LEDGER_HELP_H

#include "policy/ledger.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(HybridLedger, hybrid_ledger_close)

extern char *top;               /* a directory of the running test's own */
extern char *dir;               /* the ledger's, in it */

/* These four assert that it works */
HybridLedger *open_ledger(void);
void claim(HybridLedger *l, uint64_t bytes);
uint64_t others(HybridLedger *l);
unsigned claim_files(void);

/* A process of its own, gone at the latest when the test is */
typedef struct Child {
    pid_t pid;
    int say, hear;              /* the parent's ends */
} Child;

/* Runs @what in a child, which exits with 0 when it returns */
Child start_child(void (*what)(int hear, int say));

/* In the child: wait_for_parent(); await_child() returns when it is there */
void await_child(Child *c);
void wait_for_parent(int hear, int say);

/* Ends the wait, or kills with @sig if that is not 0; returns the status */
int end_child(Child *c, int sig);

typedef struct LedgerTest {
    const char *path;
    void (*test)(void);
} LedgerTest;

/* Runs the tests, each with directories of its own; main()'s result */
int ledger_tests(int argc, char **argv, const LedgerTest *tests, unsigned n);

#endif
