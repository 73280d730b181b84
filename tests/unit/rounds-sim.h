/*
 * A guest and a link, simulated, that drive the policy of the rounds.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_UNIT_ROUNDS_SIM_H
#define TESTS_UNIT_ROUNDS_SIM_H

#include "policy/rounds.h"

#define SIM_PAGE_SIZE 4096
#define SIM_GBIT 125e6          /* bytes per second */
#define SIM_MIB(n) ((n) * 256.0)        /* in pages */
#define SIM_MAX_ROUNDS 1000

/*
 * Pages that are written alike: uniformly at random, @rate writes per second,
 * always, or from second @begin to second @end, or in the first @duty seconds
 * of each @period.
 */
typedef struct SimSet {
    double pages, rate;
    double begin, end;
    double period, duty;
} SimSet;

typedef struct SimGuest {
    const char *name;
    uint64_t pages, zero_pages;
    SimSet sets[4];
    double bandwidth;           /* of the link, bytes per second */
    double slow_from, slow_bandwidth;   /* second from which it is slower */
    double overhead;            /* of each round, seconds */
    double noise;               /* of what is dirtied, as a part of it */
    uint32_t seed;
} SimGuest;

typedef struct SimResult {
    HybridRounds policy;
    HybridRoundRecord record[SIM_MAX_ROUNDS];
    unsigned rounds;
    HybridRoundRecord *last;
    uint64_t sent;              /* pages, in all rounds */
    double seconds;             /* of all rounds */
    double next_remaining;      /* what one more round would have left */
} SimResult;

/* The defaults of QEMU's parameters */
HybridRoundsConfig sim_config(void);

/* A full round at 100 MB/s that sends @pages and leaves @left */
HybridRoundRecord sim_full_round(uint64_t pages, uint64_t left);

void sim_run(const SimGuest *g, const HybridRoundsConfig *cfg, SimResult *res);

/* Writes a trace, in the format that test-rounds-replay.c describes */
void sim_write(const SimResult *res, const char *file, const char *comment);

#endif
