/*
 * Hybrid live migration: which round follows, where the page bitmap keeps hot
 * pages out of the rounds (rule 5 of policy/rounds.h), and what QAPI calls what
 * is done.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The code decides by this table; docs/internals.md has the same, which a test
 * compares, and tests/unit/test-rounds-table.c has a guest for each row.
 *
 * ROW(converge, gain, cheap, ease, next): four questions, YES, NO or ANY, and
 * the next round: of all that is left (ALL), of what is not hot (NOT_HOT), or
 * none (NONE: the rounds end).  Of all answers exactly one row is true.
 *
 *   converge  Rounds of all that is left would converge: in each, as D(t)
 *             foretells them, the guest dirties clearly fewer pages than are
 *             sent, until the rest fits the downtime limit.  And the pages that
 *             are sent again, those so far and those to come, are within
 *             max_resend, or fewer than the handoff would send again now.
 *   gain      A round of what is not hot would be a clear gain.  Or it is the
 *             rest of the first round, which was never sent, and cheap: it goes
 *             in any case, so it goes while the guest is still here.
 *   cheap     That round would send no more than a quarter in vain, within
 *             max_resend.  In vain is sent what is dirtied meanwhile and is not
 *             hot, by the part that this was in the round before.
 *   ease      A round of all that is left takes clearly off what the guest
 *             would wait for pages after the handoff (policy/wait.h), and is
 *             within max_resend.
 *
 * If the rounds converge, what a round of what is not hot sends in vain is sent
 * again in one that follows.  If not, the end is the handoff, and nothing comes
 * of it: then it has to be cheap.  A round of all is no better than a cheap one
 * of what is not hot, which sends less again, and may still follow it.
 */

#ifndef QEMU_MIGRATION_HYBRID_ROUNDS_TABLE_H
#define QEMU_MIGRATION_HYBRID_ROUNDS_TABLE_H

#define HYBRID_ROUNDS_TABLE(ROW)         \
    ROW(YES, YES, ANY, ANY, NOT_HOT)     \
    ROW(YES, NO,  ANY, ANY, ALL)         \
    ROW(NO,  YES, YES, ANY, NOT_HOT)     \
    ROW(NO,  YES, NO,  YES, ALL)         \
    ROW(NO,  YES, NO,  NO,  NONE)        \
    ROW(NO,  NO,  ANY, YES, ALL)         \
    ROW(NO,  NO,  ANY, NO,  NONE)

/* Answers to the questions */
typedef struct HybridRoundAnswers {
    bool asked;                 /* else the rules before it have decided */
    bool converge;
    bool gain;
    bool cheap;
    bool ease;
} HybridRoundAnswers;

typedef enum HybridNextRound {
    HYBRID_NEXT_NONE, HYBRID_NEXT_NOT_HOT, HYBRID_NEXT_ALL
} HybridNextRound;

/* What the table says */
HybridNextRound hybrid_rounds_next(const HybridRoundAnswers *answers);

typedef enum {
    HYBRID_ACTION_CONTINUE,     /* another round */
    HYBRID_ACTION_HANDOFF,      /* stop the guest, go on as postcopy */
    HYBRID_ACTION_COMPLETE,     /* stop the guest, send the rest, done */
} HybridAction;

typedef enum {
    HYBRID_REASON_NONE,         /* the rounds go on */
    HYBRID_REASON_FITS,         /* no further gain, the rest fits */
    HYBRID_REASON_NO_GAIN,      /* no further gain, the rest does not fit */
    HYBRID_REASON_ROUND_LIMIT,
    HYBRID_REASON_TIME_LIMIT,
    HYBRID_REASON_BYTE_LIMIT,
    HYBRID_REASON_REQUESTED,    /* migrate-start-postcopy */
    HYBRID_REASON_CLEAN,        /* nothing left */
} HybridReason;

/* The names of QAPI; "none" for HYBRID_REASON_NONE */
const char *hybrid_action_str(HybridAction action);
const char *hybrid_reason_str(HybridReason reason);

#endif
