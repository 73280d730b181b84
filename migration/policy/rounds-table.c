/*
 * Hybrid live migration: which round follows, by the table, and what QAPI calls
 * what is done.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../osdep.h"
#include "rounds-table.h"

typedef enum { ANSWER_NO, ANSWER_YES, ANSWER_ANY } Answer;

typedef struct TableRow {
    Answer converge, gain, cheap, ease;
    HybridNextRound next;
} TableRow;

#define TABLE_ROW(converge, gain, cheap, ease, next) \
    { ANSWER_##converge, ANSWER_##gain, ANSWER_##cheap, ANSWER_##ease, \
      HYBRID_NEXT_##next },

static const TableRow table[] = { HYBRID_ROUNDS_TABLE(TABLE_ROW) };

static bool is_answer(bool is, Answer wanted)
{
    return wanted == ANSWER_ANY || is == (wanted == ANSWER_YES);
}

HybridNextRound hybrid_rounds_next(const HybridRoundAnswers *a)
{
    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        if (is_answer(a->converge, table[i].converge) &&
            is_answer(a->gain, table[i].gain) &&
            is_answer(a->cheap, table[i].cheap) &&
            is_answer(a->ease, table[i].ease)) {
            return table[i].next;
        }
    }
    g_assert_not_reached();
}

const char *hybrid_action_str(HybridAction action)
{
    static const char *const names[] = {
        [HYBRID_ACTION_CONTINUE] = "continue",
        [HYBRID_ACTION_HANDOFF] = "handoff",
        [HYBRID_ACTION_COMPLETE] = "complete",
    };

    return (unsigned)action < G_N_ELEMENTS(names) ? names[action] : "?";
}

const char *hybrid_reason_str(HybridReason reason)
{
    static const char *const names[] = {
        [HYBRID_REASON_NONE] = "none",
        [HYBRID_REASON_FITS] = "fits",
        [HYBRID_REASON_NO_GAIN] = "no-gain",
        [HYBRID_REASON_ROUND_LIMIT] = "round-limit",
        [HYBRID_REASON_TIME_LIMIT] = "time-limit",
        [HYBRID_REASON_BYTE_LIMIT] = "byte-limit",
        [HYBRID_REASON_REQUESTED] = "requested",
        [HYBRID_REASON_CLEAN] = "clean",
    };

    return (unsigned)reason < G_N_ELEMENTS(names) ? names[reason] : "?";
}
