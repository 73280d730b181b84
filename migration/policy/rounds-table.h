/*
 * Hybrid live migration: which round follows, where the page bitmap keeps hot
 * pages out of the rounds (rule 5 of policy/rounds.h).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The code decides by this table; docs/internals.md has the same, which a test
 * compares, and tests/unit/test-rounds-table.c has a guest for each row.
 *
 * ROW(converge, gain, cheap, next): three questions, YES, NO or ANY, and the
 * next round: of all that is left (ALL), of what is not hot (NOT_HOT), or none
 * (NONE: the rounds end).  Of all answers exactly one row is true.
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
 *
 * If the rounds converge, what a round of what is not hot sends in vain is sent
 * again in one that follows.  If not, the end is the handoff, and nothing comes
 * of it: then it has to be cheap.
 */

#ifndef QEMU_MIGRATION_HYBRID_ROUNDS_TABLE_H
#define QEMU_MIGRATION_HYBRID_ROUNDS_TABLE_H

#define HYBRID_ROUNDS_TABLE(ROW)    \
    ROW(YES, YES, ANY, NOT_HOT)     \
    ROW(YES, NO,  ANY, ALL)         \
    ROW(NO,  YES, YES, NOT_HOT)     \
    ROW(NO,  YES, NO,  NONE)        \
    ROW(NO,  NO,  ANY, NONE)

#endif
