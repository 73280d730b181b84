/*
 * Fuzz target: whatever a peer says in whatever order, at either side.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The gate and the handoff's table, without the rest of QEMU: a source that
 * has given the guest away never has it again, a destination has it by GRANT
 * only.
 */

#include "fuzz.h"
#include "protocol/gate.h"
#include "../unit/owners.h"

static void source(FuzzInput in)
{
    HandoffSrcState state = HANDOFF_SRC_IDLE;
    bool given = false;

    while (in.size) {
        HybridFromDst msg = hybrid_from_dst(fuzz_number(&in, 2));
        HandoffEvent ev = fuzz_number(&in, 1);
        HybridVerdict verdict = hybrid_gate_src(state, msg);

        FUZZ_CHECK(verdict < HYBRID_GATE__MAX && msg < HYBRID_FROM_DST__MAX);
        FUZZ_CHECK(*hybrid_verdict_str(verdict) && *hybrid_from_dst_str(msg));
        handoff_src_step(&state, ev);
        FUZZ_CHECK(state < HANDOFF_SRC__MAX);
        given |= state == HANDOFF_SRC_GRANTED;
        FUZZ_CHECK(!given || !handoff_src_may_run(state));
        FUZZ_CHECK(*handoff_src_state_str(state));
        FUZZ_CHECK(handoff_event_str(ev));
    }
}

static void destination(FuzzInput in)
{
    HandoffDstState state = HANDOFF_DST_WAIT;
    bool granted = false;

    while (in.size) {
        HybridFromSrc msg = hybrid_from_src_private(fuzz_number(&in, 2));
        HandoffEvent ev = fuzz_number(&in, 1);
        HybridPlace place = fuzz_number(&in, 1);
        HybridFromSrc other;
        bool stepped;

        FUZZ_CHECK(msg < HYBRID_FROM_SRC__MAX);
        FUZZ_CHECK(hybrid_gate_dst(place, msg) < HYBRID_GATE__MAX);
        FUZZ_CHECK(*hybrid_place_str(place) && *hybrid_from_src_str(msg));
        if (hybrid_from_src_command(place, &other) ||
            hybrid_from_src_section(place, &other)) {
            FUZZ_CHECK(other < HYBRID_FROM_SRC__MAX);
        }
        stepped = handoff_dst_step(&state, ev);
        FUZZ_CHECK(state < HANDOFF_DST__MAX);
        granted |= stepped && ev == HANDOFF_EV_GRANT;
        FUZZ_CHECK(granted || !handoff_dst_may_run(state));
        FUZZ_CHECK(*handoff_dst_state_str(state));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = { data, size };

    source(in);
    destination(in);
    return 0;
}
