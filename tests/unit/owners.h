/*
 * Who owns the guest, by the table of the handoff: of the destination, which
 * the code never asks.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_UNIT_OWNERS_H
#define TESTS_UNIT_OWNERS_H

#include "protocol/handoff.h"
#include "protocol/handoff-table.h"

/* A state that does not exist owns nothing */
static inline bool handoff_dst_may_run(HandoffDstState state)
{
#define OWNS(name, owns) { HANDOFF_DST_##name, owns },
    static const struct {
        HandoffDstState state;
        bool owns;
    } states[] = { HANDOFF_DST_STATES(OWNS) };
#undef OWNS

    for (size_t i = 0; i < G_N_ELEMENTS(states); i++) {
        if (states[i].state == state) {
            return states[i].owns;
        }
    }
    return false;
}

#endif
