/*
 * Hybrid live migration, destination: how much the source may have in flight
 * (policy: policy/flow.h).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migration/hybrid/destination/state.h"
#include "exec/target_page.h"
#include "migration/migration.h"
#include "migration/qemu-file.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/common/tcp.h"
#include "migration/hybrid/destination/window.h"
#include "migration/hybrid/policy/flow.h"

struct HybridReading {
    HybridReader reader HYBRID_LISTEN_OWNED;
    /* that @reader is about; NULL: none yet */
    QEMUFile *file HYBRID_LISTEN_OWNED;
    HybridWindow window HYBRID_LISTEN_OWNED;
    /* target pages */
    uint64_t HYBRID_LISTEN_OWNED placed;
    /* that have come on the main channel, of any kind */
    uint64_t HYBRID_LISTEN_OWNED read;
};

HybridReading *hybrid_reading_new(void)
{
    return g_new0(HybridReading, 1);
}

void hybrid_reading_free(HybridReading *r)
{
    g_free(r);
}

void hybrid_window_recovers(void)
{
    hybrid_destination()->reading->file = NULL;
}

void hybrid_window_pages(uint64_t pages)
{
    HybridReading *r = hybrid_destination()->reading;

    hybrid_dst_in_listen_thread();
    r->read += pages;
}

void hybrid_window_has_read(QEMUFile *f, uint64_t bytes)
{
    HybridReading *r = hybrid_destination()->reading;
    uint64_t page_size = qemu_target_page_size();
    HybridMessage m;

    if (!hybrid_dst_took(HYBRID_FLAG_PLACED)) {
        return;
    }
    /*
     * Another connection; its file may lie where the last one's did.  What
     * was said last may not have arrived, and the source waits for a step.
     */
    if (f != r->file || bytes < r->reader.said) {
        hybrid_reader_init(&r->reader, page_size);
        r->reader.said_pages = r->read;
        r->file = f;
    }
    if (!hybrid_reader_due(&r->reader, bytes, r->read)) {
        return;
    }
    hybrid_reader_say(&r->reader, hybrid_now_us(), bytes, r->read, page_size);
    m = hybrid_msg_new(HYBRID_MSG_PLACED);
    hybrid_msg_put_be64(&m, bytes);
    hybrid_msg_put_be32(&m, r->reader.step);
    hybrid_msg_put_be32(&m, r->reader.step_pages);
    migrate_send_rp_hybrid(migration_incoming_get_current(), m.bytes->data,
                           m.bytes->len);
    hybrid_msg_free(&m);
}

/*
 * How many pages are placed before the clock is looked at: a page costs a few
 * microseconds here, and so does a system call.  Chosen.
 */
#define HYBRID_WINDOW_STEP 16

void hybrid_window_placed(uint64_t pages)
{
    HybridReading *r = hybrid_destination()->reading;
    MigrationIncomingState *mis = migration_incoming_get_current();
    HybridTcp sock;
    uint64_t before;
    int64_t now_us;
    uint32_t bytes;
    int fd;

    if (!qemu_thread_is_self(&mis->listen_thread) || !mis->from_src_file) {
        return;
    }
    hybrid_dst_in_listen_thread();
    before = r->placed;
    r->placed += pages;
    if (before / HYBRID_WINDOW_STEP == r->placed / HYBRID_WINDOW_STEP) {
        return;
    }
    now_us = hybrid_now_us();
    if (!hybrid_window_due(&r->window, now_us)) {
        return;
    }
    fd = hybrid_tcp_socket(mis->from_src_file);
    if (!hybrid_tcp_ask(fd, &sock) || !sock.delivered) {
        return;
    }
    bytes = hybrid_window_update(&r->window, now_us,
                                 r->placed * qemu_target_page_size(),
                                 sock.rtt_us);
    if (bytes) {
        hybrid_tcp_clamp(fd, bytes);
        trace_hybrid_flow("window", 0, sock.rtt_us, bytes, 0);
    }
}
