/*
 * Hybrid live migration, destination: why it failed, told to the source.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the destination knows of its failure is only in its own log, and its
 * operator looks at the source.  Message FAILED carries it there, ahead of
 * SHUT and of the end of the connection.
 */

#include "migration/hybrid/destination/state.h"
#include "qemu/bswap.h"
#include "migration/migration.h"
#include "migration/qemu-file.h"
#include "migration/savevm.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/common/numbers.h"

/* As savevm.c has them */
#define HYBRID_REASON_CMD_RETURN_PATH 1
#define HYBRID_REASON_CMD_PING        2
/*
 * As many are read to be able to refuse, no more, but for SECTIONS and BLOCKS,
 * which are as many as the guest needs: chosen, above probes and settings
 */
#define HYBRID_REASON_COMMANDS        16
/* The longest text that is sent, in bytes; of it the source shows the half */
#define HYBRID_REASON_MAX 2048

void hybrid_dst_failed(MigrationIncomingState *mis, const char *text)
{
    HybridMessage m;
    g_autofree char *cut = g_strndup(text, HYBRID_REASON_MAX);

    if (!hybrid_dst_took(HYBRID_FLAG_FAILED)) {
        return;
    }
    m = hybrid_msg_new(HYBRID_MSG_FAILED);
    hybrid_msg_put_text(&m, cut);
    trace_hybrid_message("dst", hybrid_msg_str(HYBRID_MSG_FAILED));
    migrate_send_rp_hybrid(mis, m.bytes->data, m.bytes->len);
    hybrid_msg_free(&m);
}

/* Opens the return path, PING 1, and the hello: never from anyone else */
static const uint8_t hybrid_hello[] = {
    QEMU_VM_COMMAND, 0, HYBRID_REASON_CMD_RETURN_PATH, 0, 0,
    QEMU_VM_COMMAND, 0, HYBRID_REASON_CMD_PING, 0, 4, 0, 0, 0, 1,
    QEMU_VM_COMMAND, 0, HYBRID_REASON_CMD_PING, 0, 4,
    HYBRID_PING_HELLO >> 24 & 0xff, HYBRID_PING_HELLO >> 16 & 0xff,
    HYBRID_PING_HELLO >> 8 & 0xff, HYBRID_PING_HELLO & 0xff,
};

bool hybrid_dst_refuses_next(MigrationIncomingState *mis, QEMUFile *f, int n)
{
    uint8_t *next;

    if (!n) {
        return qemu_peek_buffer(f, &next, sizeof(hybrid_hello), 0) ==
                   sizeof(hybrid_hello) &&
               !memcmp(next, hybrid_hello, sizeof(hybrid_hello));
    }
    if (n < 3) {
        return true;
    }
    /* Probes of the round trip, then the settings, whose refusal ends it */
    hybrid_bql_held();
    return n - hybrid_destination()->announced < HYBRID_REASON_COMMANDS &&
           qemu_peek_buffer(f, &next, 3, 0) == 3 &&
           next[0] == QEMU_VM_COMMAND &&
           (lduw_be_p(next + 1) == HYBRID_REASON_CMD_PING ||
            lduw_be_p(next + 1) == HYBRID_MIG_CMD);
}
