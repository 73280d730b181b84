/*
 * Rule 5 of the rounds, row by row: a guest for each row of
 * policy/rounds-table.h, what the policy answers, and what it does.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "policy/rounds-table.h"
#include "rounds-sim.h"

#define TOTAL 131072

typedef enum { NO, YES, ANY } Answer;
typedef enum { NONE, NOT_HOT, ALL } Next;

typedef struct Row {
    Answer converge, gain, cheap, ease;
    Next next;
} Row;

#define TABLE_ROW(converge, gain, cheap, ease, next) \
    { converge, gain, cheap, ease, next },
/* Of the code, which docs/internals.md repeats */
static const Row rows[] = { HYBRID_ROUNDS_TABLE(TABLE_ROW) };

/* A link of 25600 pages a second, see sim_full_round() */
typedef struct Guest {
    const char *what;
    uint64_t in_50ms, most;     /* pages dirtied in 50 ms, and in the end */
    uint64_t left, hot;         /* by the first round */
    uint64_t then_left;         /* by one of what is not hot, 0: none */
    uint64_t then_dirtied, then_hot;
    uint32_t max_resend;        /* percent, 0: no bound */
    uint64_t rtt_us;            /* with a set that is written here and there */
    Row row;                    /* what is to be answered, and done */
} Guest;

static const Guest guests[] = {
    { "few of the rest are dirtied, and all would converge",
      200, 8000, 40000, 8000, 0, 0, 0, 0, 0, { YES, YES, YES, NO, NOT_HOT } },
    { "all would converge, so the rest may be dear",
      400, 20000, 40000, 1000, 0, 0, 0, 0, 0, { YES, YES, NO, NO, NOT_HOT } },
    { "all that is left is hot, but written slowly",
      200, 4000, 4000, 4000, 0, 0, 0, 10, 0, { YES, NO, ANY, NO, ALL } },
    { "what is hot foretells nothing, but all would converge",
      400, 6000, 6000, 5000, 6000, 1000, 5500, 0, 0, { YES, NO, NO, NO, ALL } },
    { "the rest, before what is written all the time",
      15000, 20000, 60000, 20000, 0, 0, 0, 10, 0,
      { NO, YES, YES, NO, NOT_HOT } },
    { "the rest of the first round, though no clear gain",
      20000, 20000, 22000, 20000, 0, 0, 0, 10, 0,
      { NO, YES, YES, NO, NOT_HOT } },
    { "a gain, but a good part of it is dirtied as it is sent",
      900, 30000, 60000, 10000, 0, 0, 0, 10, 0, { NO, YES, NO, NO, NONE } },
    { "only what is written all the time is left",
      15000, 30000, 30000, 30000, 0, 0, 0, 10, 0, { NO, NO, ANY, NO, NONE } },
    { "the rest is dirtied as fast as it is sent",
      22000, 22000, 22000, 20000, 0, 0, 0, 10, 0, { NO, NO, NO, NO, NONE } },
    { "a few more pages after the rest of the first round",
      15000, 20000, 60000, 20000, 21000, 21000, 20000, 10, 0,
      { NO, NO, ANY, NO, NONE } },
    { "too much to converge, but a handoff is dear",
      512, 30000, 30000, 30000, 0, 0, 0, 10, 40000,
      { NO, NO, ANY, YES, ALL } },
    { "the same, and so near that it is cheap",
      512, 30000, 30000, 30000, 0, 0, 0, 10, 9999,
      { NO, NO, ANY, NO, NONE } },
    { "dear, and even one round is too much",
      600, 30000, 30000, 30000, 0, 0, 0, 10, 40000,
      { NO, NO, ANY, NO, NONE } },
    { "dear, and of the rest a good part is dirtied as it is sent",
      900, 30000, 50000, 10000, 0, 0, 0, 30, 40000,
      { NO, YES, NO, YES, ALL } },
};

static bool is(Answer answer, bool yes)
{
    return answer == ANY || yes == (answer == YES);
}

static bool answers(const Row *row, const HybridRoundAnswers *a)
{
    return is(row->converge, a->converge) && is(row->gain, a->gain) &&
           is(row->cheap, a->cheap) && is(row->ease, a->ease);
}

static const Row *row_of(const HybridRoundAnswers *a)
{
    const Row *found = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (answers(&rows[i], a)) {
            g_assert_null(found);
            found = &rows[i];
        }
    }
    g_assert_nonnull(found);
    return found;
}

/* Of all answers one row is true, and no more */
static void test_whole(void)
{
    for (unsigned n = 0; n < 16; n++) {
        HybridRoundAnswers a = {
            .converge = n & 1, .gain = n & 2, .cheap = n & 4, .ease = n & 8,
        };
        static const HybridNextRound next[] = {
            [NONE] = HYBRID_NEXT_NONE, [NOT_HOT] = HYBRID_NEXT_NOT_HOT,
            [ALL] = HYBRID_NEXT_ALL,
        };

        g_assert_cmpint(hybrid_rounds_next(&a), ==, next[row_of(&a)->next]);
    }
}

static void migrate(const Guest *g, HybridRoundRecord *rec)
{
    HybridRoundsConfig cfg = sim_config();
    HybridRounds r;

    cfg.max_resend = g->max_resend;
    cfg.downtime_limit_us = 30000;
    cfg.rtt_us = g->rtt_us;
    hybrid_rounds_init(&r, &cfg, TOTAL);
    hybrid_rounds_sample_runs(&r, 50000, g->in_50ms, g->in_50ms);
    for (uint64_t ms = 50; ms <= 1600; ms *= 2) {
        hybrid_rounds_sample(&r, ms * 1000, MIN(g->most, g->in_50ms * ms / 50),
                             0);
    }
    *rec = sim_full_round(TOTAL - g->left, g->left);
    rec->hot_pages = g->hot;
    hybrid_rounds_end(&r, rec);
    if (g->then_left) {
        g_assert_cmpint(rec->action, ==, HYBRID_ACTION_CONTINUE);
        *rec = sim_full_round(g->left - g->hot, g->then_left);
        rec->deferred_pages = g->hot;
        rec->hot_pages = g->then_hot;
        rec->dirtied_pages = g->then_dirtied;
        hybrid_rounds_end(&r, rec);
    }
}

static void test_guest(gconstpointer opaque)
{
    const Guest *g = opaque;
    HybridRoundRecord rec;
    const Row *row;

    migrate(g, &rec);
    g_test_message("converge %d, gain %d, cheap %d, ease %d",
                   rec.answers.converge, rec.answers.gain, rec.answers.cheap,
                   rec.answers.ease);
    g_assert_true(rec.answers.asked);
    g_assert_true(answers(&g->row, &rec.answers));
    row = row_of(&rec.answers);
    g_assert_cmpint(row->next, ==, g->row.next);
    g_assert_true((rec.action == HYBRID_ACTION_CONTINUE) ==
                  (g->row.next != NONE));
    g_assert_true(rec.all == (g->row.next == ALL));
}

/* No row without a guest */
static void test_each_row(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        bool found = false;

        for (size_t n = 0; n < G_N_ELEMENTS(guests); n++) {
            const Row *row = &guests[n].row;
            HybridRoundAnswers a = {
                .converge = row->converge == YES, .gain = row->gain == YES,
                .cheap = row->cheap == YES, .ease = row->ease == YES,
            };

            found |= row_of(&a) == &rows[i];
        }
        g_assert_true(found);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hybrid/rounds/table/whole", test_whole);
    g_test_add_func("/hybrid/rounds/table/each-row", test_each_row);
    for (size_t n = 0; n < G_N_ELEMENTS(guests); n++) {
        g_autofree char *name = g_strdup_printf("/hybrid/rounds/table/%s",
                                                guests[n].what);

        g_test_add_data_func(name, &guests[n], test_guest);
    }
    return g_test_run();
}
