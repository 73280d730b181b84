/*
 * Hybrid live migration, destination: negotiation (phase 1).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migration/hybrid/destination/state.h"
#include "qapi/error.h"
#include "migration/migration.h"
#include "migration/options.h"
#include "migration/postcopy-ram.h"
#include "migration/savevm.h"
#include "system/runstate.h"
#include "migration/hybrid/common/page-sizes.h"
#include "migration/hybrid/common/point.h"
#include "migration/hybrid/common/same-files.h"
#include "migration/hybrid/common/sections.h"
#include "migration/hybrid/destination/alive.h"
#include "migration/hybrid/destination/faults.h"
#include "migration/hybrid/destination/gate.h"
#include "migration/hybrid/destination/handoff.h"
#include "migration/hybrid/destination/load.h"
#include "migration/hybrid/destination/negotiate.h"
#include "migration/hybrid/protocol/gate.h"

bool hybrid_dst_ping(MigrationIncomingState *mis, uint32_t value)
{
    HybridDestination *h = hybrid_destination();

    if (value != HYBRID_PING_HELLO ||
        hybrid_dst_gate(hybrid_dst_place(false, HYBRID_FROM_SRC_HELLO),
                        HYBRID_FROM_SRC_HELLO) <= 0) {
        return false;           /* a second hello takes nothing back */
    }
    WITH_HYBRID_DESTINATION_LOCK(h) {
        hybrid_dst_step(h, HANDOFF_EV_HELLO);
        h->agreed = true;
        h->channel_lost = false;
    }
    hybrid_point("dst-heard-hello");
    migrate_send_rp_pong(mis, HYBRID_PONG_ACK);
    return true;
}

void hybrid_dst_refuse_with(char *why)
{
    HybridDestination *h = hybrid_destination();

    if (!hybrid_destination_is_any()) {
        g_free(why);            /* a snapshot: there is nobody to be told */
        return;
    }
    g_free(h->unfit);
    h->unfit = why ?: g_strdup("the stream does not fit this QEMU");
}

void hybrid_dst_sections(HybridMessage *in)
{
    hybrid_sections_check(in, &hybrid_destination()->misfits);
}

static bool hybrid_dst_reserve(MigrationIncomingState *mis,
                               uint32_t overcommit, uint32_t flags,
                               const HybridToldNeed *need, Error **errp)
{
    HybridDestination *h = hybrid_destination();
    HybridLedger *ledger;
    g_autofree char *misfits = hybrid_misfits_sentence(&h->misfits);

    if (h->unfit || misfits) {
        error_setg(errp, "%s", h->unfit ?: misfits);
        return false;
    }
    if (!migrate_postcopy_ram()) {
        error_setg(errp, "capability postcopy-ram is off at the destination");
        return false;
    }
    if (flags & HYBRID_FLAG_FAILED &&
        !(flags & HYBRID_FLAG_PREEMPT) == migrate_postcopy_preempt()) {
        error_setg(errp, "capability postcopy-preempt is %s at the "
                   "destination only",
                   migrate_postcopy_preempt() ? "on" : "off");
        return false;
    }
    if (!postcopy_ram_supported_by_host(mis, errp) ||
        !hybrid_load_possible(errp)) {
        return false;
    }
    if (!hybrid_host_reserve(need, overcommit, &h->memory, &ledger, errp)) {
        return false;
    }
    h->ledger_base = h->memory.ordinary + hybrid_host_rss();
    WITH_HYBRID_DESTINATION_LOCK(h) {
        h->ledger = ledger;
    }
    return true;
}

int hybrid_dst_settings(MigrationIncomingState *mis, HybridMessage *in)
{
    HybridDestination *h = hybrid_destination();
    uint32_t overcommit = hybrid_msg_get_be32(in);
    uint32_t flags = hybrid_msg_get_be32(in);
    HybridToldNeed need = { 0 };
    HybridMessage out;
    Error *err = NULL;
    bool ok;

    h->flags = flags & HYBRID_FLAGS;
    h->id = hybrid_msg_get_be64(in);
    if (h->flags & HYBRID_FLAG_NEED) {
        hybrid_need_get(in, &need);
    }
    if (!(h->flags & HYBRID_FLAG_ALIVE)) {
        hybrid_alive_dst_end();
    } else if (!in->overrun) {
        hybrid_alive_dst_begin(hybrid_msg_get_be32(in));
    }
    /* Older sources do not say */
    ok = (!hybrid_msg_left(in) || hybrid_files_differ(in, &err)) &&
         !in->overrun && hybrid_dst_reserve(mis, overcommit, flags, &need,
                                             &err);
    hybrid_need_free(&need);
    if (in->overrun) {
        return 0;               /* the caller says so */
    }
    if (ok) {
        WITH_HYBRID_DESTINATION_LOCK(h) {
            hybrid_dst_step(h, HANDOFF_EV_SETTINGS_OK);
        }
        /* Called last when the guest starts: the vCPUs are next */
        h->vm_state =
            qemu_add_vm_change_state_handler_prio(hybrid_dst_vm_state, mis,
                                                  INT_MAX);
        h->faults = hybrid_faults_new();
        out = hybrid_msg_new(HYBRID_MSG_READY);
        hybrid_msg_put_be64(&out, h->memory.needed);
        hybrid_msg_put_be64(&out, h->memory.available);
        hybrid_msg_put_be32(&out, h->flags);
        hybrid_page_sizes_put(&out);
        hybrid_msg_put_be32(&out, hybrid_alive_dst_ms());
        hybrid_dst_send(mis, HYBRID_MSG_READY, &out);
        return 0;
    }

    WITH_HYBRID_DESTINATION_LOCK(h) {
        hybrid_dst_step(h, HANDOFF_EV_SETTINGS_REFUSED);
        h->refusal = g_strdup(error_get_pretty(err));
    }
    out = hybrid_msg_new(HYBRID_MSG_REFUSE);
    hybrid_msg_put_be64(&out, h->memory.needed);
    hybrid_msg_put_be64(&out, h->memory.available);
    hybrid_msg_put_text(&out, h->refusal);
    hybrid_dst_send(mis, HYBRID_MSG_REFUSE, &out);
    error_prepend(&err, "migration refused: ");
    migrate_set_error(migrate_get_current(), err);
    error_free(err);
    /* The log has the sentence, and what errno makes of it */
    return h->memory.needed > h->memory.available ? -ENOMEM : -ENOTSUP;
}
