/*
 * Hybrid live migration, source: round trips to the destination's thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migration/hybrid/source/state.h"
#include "migration/migration.h"
#include "migration/savevm.h"
#include "migration/hybrid/source/probe.h"

void hybrid_src_probe_rtt(MigrationState *s, uint32_t n, int64_t patience_us)
{
    HybridSource *h = hybrid_source();
    int64_t sent_us = hybrid_now_us();

    WITH_HYBRID_SOURCE_LOCK(h) {
        h->pong_seen = 0;       /* the same probe may have been sent before */
    }
    qemu_savevm_send_ping(s->to_dst_file, HYBRID_PING_RTT | n);
    hybrid_src_idle_begin(s);
    WITH_HYBRID_SOURCE_LOCK(h) {
        while (h->pong_seen != (HYBRID_PING_RTT | n) && !h->rp_ended &&
               hybrid_now_us() - sent_us < patience_us) {
            hybrid_src_wait(h, MIN(1000, patience_us / 1000));
        }
        if (h->pong_seen == (HYBRID_PING_RTT | n)) {
            hybrid_rtt_sample(&h->rtt, hybrid_now_us() - sent_us);
        }
    }
    hybrid_src_idle_end(s);
}
