/*
 * Hybrid live migration, source: round trips to the destination's thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migration/hybrid/source/state.h"
#include "migration/migration.h"
#include "migration/savevm.h"
#include "migration/hybrid/source/probe.h"

bool hybrid_src_probe_rtt(MigrationState *s, int64_t patience_us)
{
    HybridSource *h = hybrid_source();
    int64_t sent_us = hybrid_now_us();
    bool silent = false;
    uint32_t probe;

    WITH_HYBRID_SOURCE_LOCK(h) {
        /* The answer to one that was given up may still come */
        probe = HYBRID_PING_RTT | (++h->probes & ~HYBRID_PING_RTT_MASK);
    }
    qemu_savevm_send_ping(s->to_dst_file, probe);
    hybrid_src_idle_begin(s);
    WITH_HYBRID_SOURCE_LOCK(h) {
        while (h->pong_seen != probe && !h->rp_ended &&
               hybrid_now_us() - sent_us < patience_us) {
            hybrid_src_wait(h, MIN(1000, patience_us / 1000));
        }
        if (h->pong_seen == probe) {
            hybrid_rtt_sample(&h->rtt, hybrid_now_us() - sent_us);
        } else {
            silent = !h->rp_ended;
        }
    }
    hybrid_src_idle_end(s);
    return !silent;
}
