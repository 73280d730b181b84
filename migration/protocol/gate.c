/*
 * Hybrid live migration: the gate that every message passes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../osdep.h"
#include "gate.h"

enum { SORT_SECTION, SORT_COMMAND, SORT_HELLO, SORT_PRIVATE, SORT_OTHER };

typedef struct FromSrcInfo {
    const char *name;
    int sort;
    uint16_t number;
} FromSrcInfo;

typedef struct FromDstInfo {
    const char *name;
    uint16_t kind;
} FromDstInfo;

typedef struct Named {
    const char *name;
} Named;

typedef struct Cell {
    unsigned char verdict;
} Cell;

#define VERDICT(name, why) [HYBRID_GATE_##name] = { #name },
#define PLACE(name, owner) [HYBRID_PLACE_##name] = { #name },
#define FROM_DST(name, kind) [HYBRID_FROM_DST_##name] = { #name, kind },
#define FROM_SRC(name, sort, number) \
    [HYBRID_FROM_SRC_##name] = { #name, SORT_##sort, number },
#define SRC_ROW(state, msg, verdict) \
    [HANDOFF_SRC_##state][HYBRID_FROM_DST_##msg] = { HYBRID_GATE_##verdict },
#define DST_ROW(place, msg, verdict) \
    [HYBRID_PLACE_##place][HYBRID_FROM_SRC_##msg] = { HYBRID_GATE_##verdict },

static const Named verdicts[] = {
    { "ERROR" }, HYBRID_GATE_VERDICTS(VERDICT)
};
static const Named places[] = {
    HANDOFF_DST_STATES(PLACE) HYBRID_GATE_PLACES(PLACE)
};
static const FromDstInfo from_dst[] = { HYBRID_GATE_SRC_MESSAGES(FROM_DST) };
static const FromSrcInfo from_src[] = { HYBRID_GATE_DST_MESSAGES(FROM_SRC) };

static const Cell src_gate[HANDOFF_SRC__MAX][HYBRID_FROM_DST__MAX] = {
    HYBRID_GATE_SRC_TABLE(SRC_ROW)
};
static const Cell dst_gate[HYBRID_PLACE__MAX][HYBRID_FROM_SRC__MAX] = {
    HYBRID_GATE_DST_TABLE(DST_ROW)
};

/* A name that one of the two lacks: does not build, or test-gate sees it */
G_STATIC_ASSERT(G_N_ELEMENTS(verdicts) == HYBRID_GATE__MAX);
G_STATIC_ASSERT(G_N_ELEMENTS(places) == HYBRID_PLACE__MAX);
G_STATIC_ASSERT(G_N_ELEMENTS(from_dst) == HYBRID_FROM_DST__MAX);
G_STATIC_ASSERT(G_N_ELEMENTS(from_src) == HYBRID_FROM_SRC__MAX);

/* So that a state of the handoff is a place of the gate */
#define SAME(name, owner) \
    G_STATIC_ASSERT((int)HYBRID_PLACE_##name == (int)HANDOFF_DST_##name);
HANDOFF_DST_STATES(SAME)

HybridFromDst hybrid_from_dst(uint16_t kind)
{
    for (size_t i = 0; kind && i < G_N_ELEMENTS(from_dst); i++) {
        if (from_dst[i].kind == kind) {
            return i;
        }
    }
    return HYBRID_FROM_DST_OTHER;
}

static bool find_from_src(int sort, uint16_t number, HybridFromSrc *msg)
{
    for (size_t i = 0; i < G_N_ELEMENTS(from_src); i++) {
        if (from_src[i].sort == sort && from_src[i].number == number) {
            *msg = i;
            return true;
        }
    }
    return false;
}

HybridFromSrc hybrid_from_src_private(uint16_t kind)
{
    HybridFromSrc msg = HYBRID_FROM_SRC_OTHER;

    find_from_src(SORT_PRIVATE, kind, &msg);
    return msg;
}

bool hybrid_from_src_command(uint16_t number, HybridFromSrc *msg)
{
    return find_from_src(SORT_COMMAND, number, msg);
}

bool hybrid_from_src_section(uint8_t type, HybridFromSrc *msg)
{
    return find_from_src(SORT_SECTION, type, msg);
}

HybridVerdict hybrid_gate_src(HandoffSrcState state, HybridFromDst msg)
{
    return state < HANDOFF_SRC__MAX && msg < HYBRID_FROM_DST__MAX ?
           src_gate[state][msg].verdict : HYBRID_GATE_ERROR;
}

HybridVerdict hybrid_gate_dst(HybridPlace place, HybridFromSrc msg)
{
    return place < HYBRID_PLACE__MAX && msg < HYBRID_FROM_SRC__MAX ?
           dst_gate[place][msg].verdict : HYBRID_GATE_ERROR;
}

const char *hybrid_from_dst_str(HybridFromDst msg)
{
    return msg < HYBRID_FROM_DST__MAX ? from_dst[msg].name : "?";
}

const char *hybrid_from_src_str(HybridFromSrc msg)
{
    return msg < HYBRID_FROM_SRC__MAX ? from_src[msg].name : "?";
}

const char *hybrid_place_str(HybridPlace place)
{
    return place < HYBRID_PLACE__MAX ? places[place].name : "?";
}

const char *hybrid_verdict_str(HybridVerdict verdict)
{
    return verdict < HYBRID_GATE__MAX ? verdicts[verdict].name : "?";
}
