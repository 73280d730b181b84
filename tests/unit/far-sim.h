/*
 * A guest, page by page, that is migrated over a link with a delay: the rounds
 * with the policies that QEMU uses, and what follows the handoff.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_UNIT_FAR_SIM_H
#define TESTS_UNIT_FAR_SIM_H

#include "policy/rounds.h"

typedef enum FarWriter { FAR_RANDOM, FAR_IN_ORDER, FAR_ZIPF } FarWriter;

/* 200 Mbit/s, in pages a second */
#define FAR_LINK 6000.0
#define FAR_RTT_US 40000

/*
 * @set pages are written, one each 1/@rate seconds, from second @begin on; and
 * a few by the kernel, wherever they lie.
 */
typedef struct FarGuest {
    const char *name;
    FarWriter writer;
    size_t pages, set;
    double rate, begin;
    double link;                /* pages a second */
    uint64_t rtt_us;
    double dip_from, dip_to;    /* seconds between which it has a tenth */
    double differs;             /* part of a page, as a difference; 0: whole */
} FarGuest;

typedef struct FarResult {
    HybridRounds policy;
    HybridRoundRecord last;
    unsigned eased;             /* rounds for the handoff's sake only */
    uint64_t again;             /* pages, that rounds have sent again */
    uint64_t resends;           /* and what is left, and was sent */
    double seconds;             /* of all, what is left included */
    unsigned faults;
    double wait;                /* seconds that the guest waits for pages */
} FarResult;

/* @weigh: by the round trip that there is, or as if there was none */
void far_run(const FarGuest *g, bool weigh, uint32_t max_resend,
             FarResult *res);

#endif
