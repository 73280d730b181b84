/*
 * When to say that one is alive, and when to give a silent peer up.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "policy/alive.h"

#define MS 1000ll
#define STEP (100 * MS)
#define PAGE 4096
#define HUGE_PAGE (2048 * 1024)

static void test_step(void)
{
    g_assert_cmpuint(hybrid_alive_step_ms(0, 0), ==, HYBRID_ALIVE_STEP_OFF);
    g_assert_cmpuint(hybrid_alive_step_ms(100, 0), ==, 8);
    g_assert_cmpuint(hybrid_alive_step_ms(0, 100), ==, 8);
    g_assert_cmpuint(hybrid_alive_step_ms(600000, 0), ==,
                     HYBRID_ALIVE_STEP_MAX);
    /* The shorter one counts, whoever's it is */
    g_assert_cmpuint(hybrid_alive_step_ms(600000, 600), ==, 50);
    g_assert_cmpuint(hybrid_alive_step_ms(600, 600000), ==, 50);
    /* Several looks lie in the time in which something is to be said */
    for (uint32_t ms = 100; ms <= 600000; ms += 100) {
        uint32_t step = hybrid_alive_step_ms(ms, ms);

        g_assert_cmpuint(step, >=, HYBRID_ALIVE_STEP_MIN);
        g_assert_cmpuint(step * 4, <=, ms / 3 + 4);
    }
}

static void test_limits(void)
{
    /* Off: never, however long it was */
    g_assert_false(hybrid_alive_due(INT64_MAX, 0));
    g_assert_false(hybrid_alive_lost(INT64_MAX, 0));
    g_assert_false(hybrid_alive_due(999 * MS, 3000));
    g_assert_true(hybrid_alive_due(1000 * MS, 3000));
    g_assert_false(hybrid_alive_lost(2999 * MS, 3000));
    g_assert_true(hybrid_alive_lost(3000 * MS, 3000));
    g_assert_true(hybrid_alive_lost(600000 * MS, 600000));
}

static void test_silence(void)
{
    HybridSilence s = {};
    int64_t now = 5000 * MS;

    /* The first look knows nothing of before */
    g_assert_cmpint(hybrid_silence_look(&s, now, STEP, 77, false), ==, 0);
    for (int i = 1; i <= 20; i++) {
        now += STEP;
        g_assert_cmpint(hybrid_silence_look(&s, now, STEP, 77, false), ==,
                        i * STEP);
    }
    /* Whatever came: it lives.  A count may also go back (a new file) */
    g_assert_cmpint(hybrid_silence_look(&s, now += STEP, STEP, 78, false), ==,
                    0);
    g_assert_cmpint(hybrid_silence_look(&s, now += STEP, STEP, 78, false), ==,
                    STEP);
    g_assert_cmpint(hybrid_silence_look(&s, now += STEP, STEP, 3, false), ==,
                    0);
    hybrid_silence_look(&s, now += STEP, STEP, 3, false);
    hybrid_silence_reset(&s);
    g_assert_cmpint(hybrid_silence_look(&s, now += STEP, STEP, 3, false), ==,
                    0);
}

/* It is this side that does not read: for as long as it likes */
static void test_unread(void)
{
    HybridSilence s = {};
    int64_t now = 0;

    for (int i = 0; i < 1000; i++) {
        now += STEP;
        g_assert_cmpint(hybrid_silence_look(&s, now, STEP, 1, true), ==, 0);
    }
    /* From the last byte on it counts */
    g_assert_cmpint(hybrid_silence_look(&s, now += STEP, STEP, 1, false), ==,
                    STEP);
}

/* This process was stopped for an hour, or did not get to run */
static void test_stopped(void)
{
    HybridSilence s = {};
    int64_t now = 0, silent;

    hybrid_silence_look(&s, now, STEP, 1, false);
    silent = hybrid_silence_look(&s, now += 3600 * 1000 * MS, STEP, 1, false);
    g_assert_cmpint(silent, ==, 2 * STEP);
    g_assert_false(hybrid_alive_lost(silent, 1000));
    /* On a busy host looks are late, and no time is lost */
    silent = hybrid_silence_look(&s, now += 150 * MS, STEP, 1, false);
    g_assert_cmpint(silent, ==, 2 * STEP + 150 * MS);
    /* A clock that goes back, which it must not */
    g_assert_cmpint(hybrid_silence_look(&s, now - 500 * MS, STEP, 1, false),
                    ==, silent);
}

/*
 * Two sides, a third of the timeout each: never an alarm while both look, in
 * whatever step, and a bounded time until a silent one is noticed.
 */
static void test_pair(void)
{
    for (uint32_t ms = 100; ms <= 60000; ms = ms * 3 / 2) {
        int64_t step = hybrid_alive_step_ms(ms, ms) * MS;
        HybridSilence said = {}, heard = {};
        uint64_t bytes = 0;
        int64_t now = 0, silent = 0, end;

        for (int i = 0; i < 2000; i++) {
            now += step + (i % 7) * step / 10;
            if (hybrid_alive_due(hybrid_silence_look(&said, now, step, bytes,
                                                     false), ms)) {
                bytes += 12;
            }
            silent = hybrid_silence_look(&heard, now + step / 3, step, bytes,
                                         false);
            g_assert_cmpint(silent, <, ms * MS * 2 / 3);
        }
        end = now;
        while (!hybrid_alive_lost(silent, ms)) {
            now += step;
            silent = hybrid_silence_look(&heard, now + step / 3, step, bytes,
                                         false);
        }
        g_assert_cmpint(now - end, <=, ms * MS + 2 * step);
        g_assert_cmpint(now - end, >=, ms * MS / 3);
    }
}

static void test_choose(void)
{
    const uint64_t pages[] = { 0x1000, 0x5000, 0x9000 };
    HybridAsk ask = {};

    g_assert_cmphex(hybrid_ask_choose(&ask, NULL, 0), ==, 0);
    g_assert_cmphex(hybrid_ask_choose(&ask, pages, 3), ==, 0x1000);
    ask.page = 0x5000;          /* still missing */
    g_assert_cmphex(hybrid_ask_choose(&ask, pages, 3), ==, 0x5000);
    ask.page = 0x6000;          /* came: the next, so that each has its turn */
    g_assert_cmphex(hybrid_ask_choose(&ask, pages, 3), ==, 0x9000);
    ask.page = 0xa000;
    g_assert_cmphex(hybrid_ask_choose(&ask, pages, 3), ==, 0x1000);
    g_assert_cmphex(hybrid_ask_choose(&ask, pages, 0), ==, 0);
}

static int64_t ask_for(HybridAsk *ask, int64_t *now, uint64_t page,
                       uint64_t size, uint64_t bytes, uint64_t main_bytes)
{
    *now += STEP;
    return hybrid_ask_look(ask, *now, STEP, page, size, bytes, false,
                           main_bytes);
}

/* No request, no alarm, for hours */
static void test_ask_nothing(void)
{
    HybridAsk ask = {};
    int64_t now = 0;

    for (int i = 0; i < 100000; i++) {
        g_assert_cmpint(ask_for(&ask, &now, 0, 0, 10, i), ==, 0);
    }
}

static void test_ask(void)
{
    HybridAsk ask = {};
    int64_t now = 0;

    /* Each page comes, then one does not, however much else does */
    for (uint64_t page = 1; page < 50; page++) {
        g_assert_cmpint(ask_for(&ask, &now, page * PAGE, PAGE, 10, page * 99),
                        ==, 0);
    }
    for (int i = 0; i <= 20; i++) {
        g_assert_cmpint(ask_for(&ask, &now, 77 * PAGE, PAGE, 10, 5000 + i),
                        ==, i * STEP);
    }
    /* Something comes by that channel: it works, the page may be behind it */
    g_assert_cmpint(ask_for(&ask, &now, 77 * PAGE, PAGE, 11, 9999), ==, 0);
    /* Unread counts as well */
    ask_for(&ask, &now, 77 * PAGE, PAGE, 11, 9999);
    g_assert_cmpint(hybrid_ask_look(&ask, now += STEP, STEP, 77 * PAGE, PAGE,
                                    11, true, 9999), ==, 0);
}

/* A lost request is found among others that are answered */
static void test_ask_among_others(void)
{
    HybridAsk ask = {};
    int64_t now = 0, waited = 0;

    for (uint64_t i = 0; i < 1000 && !hybrid_alive_lost(waited, 1000); i++) {
        /* 8 vCPUs; one of them waits for page 500 for ever */
        uint64_t pages[8], page;
        size_t n = 0;

        for (uint64_t v = 0; v < 7; v++) {
            pages[n++] = (1 + (i * 7 + v) % 400) * PAGE;
        }
        pages[n++] = 500 * PAGE;
        for (size_t a = 0; a < n; a++) {
            for (size_t b = a + 1; b < n; b++) {
                if (pages[b] < pages[a]) {
                    uint64_t t = pages[a];

                    pages[a] = pages[b];
                    pages[b] = t;
                }
            }
        }
        page = hybrid_ask_choose(&ask, pages, n);
        waited = ask_for(&ask, &now, page, PAGE, 10, i * 100000);
    }
    g_assert_true(hybrid_alive_lost(waited, 1000));
    g_assert_cmpuint(ask.page, ==, 500 * PAGE);
}

/* The main channel was about to send this huge page, on a slow link */
static void test_ask_huge(void)
{
    HybridAsk ask = {};
    int64_t now = 0, waited = 0;
    uint64_t main_bytes = 0;

    for (int i = 0; i <= 20; i++) {
        waited = ask_for(&ask, &now, HUGE_PAGE, HUGE_PAGE, 10, main_bytes);
        main_bytes += HUGE_PAGE / 40;
    }
    g_assert_cmpint(waited, ==, 20 * STEP / HYBRID_ASK_HUGE);
    /* More than it has come since, and it was not among that */
    waited = ask_for(&ask, &now, HUGE_PAGE, HUGE_PAGE, 10, 2 * HUGE_PAGE);
    g_assert_cmpint(waited, ==, 21 * STEP);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/alive/step", test_step);
    g_test_add_func("/alive/limits", test_limits);
    g_test_add_func("/alive/silence", test_silence);
    g_test_add_func("/alive/unread", test_unread);
    g_test_add_func("/alive/stopped", test_stopped);
    g_test_add_func("/alive/pair", test_pair);
    g_test_add_func("/alive/ask/choose", test_choose);
    g_test_add_func("/alive/ask/nothing", test_ask_nothing);
    g_test_add_func("/alive/ask/one", test_ask);
    g_test_add_func("/alive/ask/among-others", test_ask_among_others);
    g_test_add_func("/alive/ask/huge", test_ask_huge);
    return g_test_run();
}
