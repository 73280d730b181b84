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

static bool reader_is_new = true;

void hybrid_window_recovers(void)
{
    reader_is_new = true;
}

void hybrid_window_has_read(QEMUFile *f, uint64_t bytes)
{
    static HybridReader reader;
    static QEMUFile *file;
    uint64_t page_size = qemu_target_page_size();
    HybridMessage m;

    if (!hybrid_dst_took(HYBRID_FLAG_PLACED)) {
        return;
    }
    /*
     * Another connection; its file may lie where the last one's did.  What
     * was said last may not have arrived, and the source waits for a step.
     */
    if (reader_is_new || f != file || bytes < reader.said) {
        reader_is_new = false;
        hybrid_reader_init(&reader, page_size);
        file = f;
    }
    if (!hybrid_reader_due(&reader, bytes)) {
        return;
    }
    hybrid_reader_say(&reader, hybrid_now_us(), bytes, page_size);
    m = hybrid_msg_new(HYBRID_MSG_PLACED);
    hybrid_msg_put_be64(&m, bytes);
    hybrid_msg_put_be32(&m, reader.step);
    migrate_send_rp_hybrid(migration_incoming_get_current(), m.bytes->data,
                           m.bytes->len);
    hybrid_msg_free(&m);
}

/* How many pages are placed before the clock is looked at */
#define HYBRID_WINDOW_STEP 16

void hybrid_window_placed(uint64_t pages)
{
    static HybridWindow window;
    static uint64_t placed;
    MigrationIncomingState *mis = migration_incoming_get_current();
    HybridTcp sock;
    uint64_t before;
    int64_t now_us;
    uint32_t bytes;
    int fd;

    if (!qemu_thread_is_self(&mis->listen_thread) || !mis->from_src_file) {
        return;
    }
    before = placed;
    placed += pages;
    if (before / HYBRID_WINDOW_STEP == placed / HYBRID_WINDOW_STEP) {
        return;
    }
    now_us = hybrid_now_us();
    if (!hybrid_window_due(&window, now_us)) {
        return;
    }
    fd = hybrid_tcp_socket(mis->from_src_file);
    if (!hybrid_tcp_ask(fd, &sock) || !sock.delivered) {
        return;
    }
    bytes = hybrid_window_update(&window, now_us,
                                 placed * qemu_target_page_size(),
                                 sock.rtt_us);
    if (bytes) {
        hybrid_tcp_clamp(fd, bytes);
        trace_hybrid_flow("window", 0, sock.rtt_us, bytes, 0);
    }
}
