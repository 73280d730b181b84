/*
 * SQLite in the test guest, and what its table must hold.
 *
 * It is Debian's own program, told by a pipe what to do: a file in memory, a
 * write-ahead log, transactions of some rows each. How often each row was
 * changed, and by which transaction last, is noted here; its text follows from
 * its number.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../shared/pages.h"
#include "serial.h"
#include "sqlite.h"

#define SQLITE        "/usr/bin/sqlite3"
#define DATABASE      "/tmp/rows.db"
#define ROWS          20000
#define ROW_TIMES     100       /* its text is its number so many times */
#define BATCH         8         /* rows of a transaction */
#define APART         7919      /* in the table; a prime that divides no ROWS */
#define LINE          2048

typedef struct {
    uint64_t times;
    uint64_t number;            /* of the last transaction */
} Row;

static pthread_mutex_t sqlite_lock = PTHREAD_MUTEX_INITIALIZER;
static FILE *to, *from;
static Row rows[ROWS];
static uint64_t transactions, failed;

/* One line of its answer, without the end; NULL if there is none. */
static char *answer_line(char line[LINE])
{
    if (!fgets(line, LINE, from)) {
        return NULL;
    }
    line[strcspn(line, "\n")] = 0;
    return line;
}

static bool answers(const char *wanted)
{
    char line[LINE];

    fflush(to);
    if (!answer_line(line)) {
        say("misread sqlite: it has ended");
        return false;
    }
    if (strcmp(line, wanted)) {
        say("misread sqlite: \"%.100s\", not \"%.100s\"", line, wanted);
        return false;
    }
    return true;
}

static void start_program(void)
{
    static char *const argv[] = { SQLITE, "-batch", DATABASE, NULL };
    static char *const environment[] = { "LC_ALL=C", "HOME=/tmp", NULL };
    int in[2], out[2];

    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)) {
        die("pipe");
    }
    if (!fork()) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        dup2(out[1], 2);
        execve(SQLITE, argv, environment);
        _exit(1);
    }
    close(in[0]);
    close(out[1]);
    to = fdopen(in[1], "w");
    from = fdopen(out[0], "r");
    if (!to || !from) {
        die(SQLITE);
    }
}

bool begin_sqlite(void)
{
    if (to || access(SQLITE, X_OK)) {
        return to != NULL;
    }
    start_program();
    fprintf(to, "PRAGMA journal_mode=WAL;\n");
    if (!answers("wal")) {
        return false;
    }
    fprintf(to, "PRAGMA cache_size=-65536;\n"
            "CREATE TABLE t(i INTEGER PRIMARY KEY, times INTEGER,"
            " number INTEGER, text TEXT);\n"
            "INSERT INTO t SELECT value, 0, 0, replace(hex(zeroblob(%u)),"
            " '00', printf('%%05d.', value)) FROM generate_series(0, %u);\n"
            "PRAGMA wal_checkpoint(TRUNCATE);\n", ROW_TIMES, ROWS - 1);
    return answers("0|0|0");
}

bool sqlite_transaction(uint64_t number)
{
    uint64_t first = mix(number + STEP) % ROWS;
    char wanted[40];
    bool good;

    pthread_mutex_lock(&sqlite_lock);
    fprintf(to, "BEGIN; UPDATE t SET times = times + 1, number = %" PRIu64
            " WHERE i IN (", number);
    for (unsigned i = 0; i < BATCH; i++) {
        Row *row = &rows[(first + i * APART) % ROWS];

        row->times++;
        row->number = number;
        fprintf(to, "%s%u", i ? "," : "", (unsigned)(row - rows));
    }
    fprintf(to, "); COMMIT; SELECT 'done %" PRIu64 "';\n", number);
    snprintf(wanted, sizeof(wanted), "done %" PRIu64, number);
    good = answers(wanted);
    transactions++;
    failed += !good;
    pthread_mutex_unlock(&sqlite_lock);
    return good;
}

static bool row_is_right(unsigned row, const char *line)
{
    char wanted[LINE];
    int used = snprintf(wanted, sizeof(wanted), "%u|%" PRIu64 "|%" PRIu64 "|",
                        row, rows[row].times, rows[row].number);

    for (unsigned i = 0; i < ROW_TIMES; i++) {
        used += snprintf(wanted + used, sizeof(wanted) - used, "%05u.", row);
    }
    return !strcmp(line, wanted);
}

void say_sqlite(void)
{
    uint64_t found = 0, wrong = 0;
    bool whole;
    char line[LINE];

    if (!to) {
        say("error there is no SQLite");
        return;
    }
    pthread_mutex_lock(&sqlite_lock);
    fprintf(to, "PRAGMA integrity_check;\n");
    whole = answers("ok");
    fprintf(to, "SELECT * FROM t ORDER BY i; SELECT 'end';\n");
    fflush(to);
    while (answer_line(line) && strcmp(line, "end")) {
        wrong += found >= ROWS || !row_is_right(found, line);
        found++;
    }
    say("sqlite rows=%" PRIu64 " wrong=%" PRIu64 " integrity=%s"
        " transactions=%" PRIu64 " failed=%" PRIu64, found,
        wrong + (ROWS - (found < ROWS ? found : ROWS)),
        whole ? "ok" : "bad", transactions, failed);
    pthread_mutex_unlock(&sqlite_lock);
}

const char *corrupt_sqlite(const char *arg)
{
    unsigned row;

    if (!to || sscanf(arg, "%u", &row) != 1 || row >= ROWS) {
        return "no such row";
    }
    pthread_mutex_lock(&sqlite_lock);
    fprintf(to, "UPDATE t SET text = text || '.' WHERE i = %u;\n", row);
    pthread_mutex_unlock(&sqlite_lock);
    return NULL;
}
