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
#include "migration/hybrid/destination/alive.h"
#include "migration/hybrid/destination/announced.h"
#include "migration/hybrid/destination/delta.h"
#include "migration/hybrid/destination/drop.h"
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
        hybrid_shared_set(&h->agreed, true);
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
    hybrid_bql_held();
    g_free(h->unfit);
    h->unfit = why ?: g_strdup("the stream does not fit this QEMU");
}

void hybrid_dst_sections(HybridMessage *in)
{
    HybridDestination *h = hybrid_destination();

    hybrid_bql_held();
    h->announced++;
    hybrid_sections_check(in, &h->misfits);
}

void hybrid_dst_blocks(HybridMessage *in)
{
    HybridDestination *h = hybrid_destination();

    hybrid_bql_held();
    h->announced++;
    hybrid_blocks_check(in, &h->misfit_blocks);
}

/* The blocks of a device that is missing are missing, too: that is enough */
static char *HYBRID_BQL_LOCKED hybrid_dst_misfits(HybridDestination *h)
{
    return hybrid_misfits_sentence(&h->misfits, "devices are") ?:
           hybrid_misfits_sentence(&h->misfit_blocks, "memory is");
}

/* Could it take this guest, if it has the memory? */
static bool HYBRID_BQL_LOCKED
hybrid_dst_fits(MigrationIncomingState *mis, uint32_t flags, Error **errp)
{
    HybridDestination *h = hybrid_destination();
    g_autofree char *misfits = hybrid_dst_misfits(h);

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
    return postcopy_ram_supported_by_host(mis, errp) &&
           migration_threads_available(MIGRATION_THREADS, errp) &&
           migration_descriptors_available(MIGRATION_DESCRIPTORS, errp) &&
           hybrid_load_possible(errp);
}

static bool HYBRID_BQL_LOCKED
hybrid_dst_reserve(uint32_t overcommit, const HybridToldNeed *need,
                   Error **errp)
{
    HybridDestination *h = hybrid_destination();
    HybridHostAnswer memory = { 0 };
    HybridLedger *ledger;
    bool fits = hybrid_host_reserve(need, overcommit, &memory, &ledger, errp);

    WITH_HYBRID_DESTINATION_LOCK(h) {
        h->memory = memory;
        if (fits) {
            h->ledger_base = memory.ordinary + hybrid_host_rss();
            h->ledger = ledger;
        }
    }
    /*
     * What the guest has is scattered over all of its memory.  If there is no
     * room for the rest, no huge page may fill it up around what comes.
     */
    if (fits && memory.available < memory.needed + need->ballooned) {
        hybrid_dst_keep_small_pages();
    }
    return fits;
}

int hybrid_dst_settings(MigrationIncomingState *mis, HybridMessage *in)
{
    HybridDestination *h = hybrid_destination();
    uint32_t overcommit = hybrid_msg_get_be32(in);
    uint32_t flags = hybrid_msg_get_be32(in);
    HybridToldNeed need = { 0 };
    uint32_t slots = 0;
    uint64_t needed, available;
    HybridMessage out;
    Error *err = NULL;
    bool ok;

    hybrid_bql_held();
    hybrid_shared_set(&h->flags, flags & HYBRID_FLAGS);
    WITH_HYBRID_DESTINATION_LOCK(h) {
        h->id = hybrid_msg_get_be64(in);
    }
    if (flags & HYBRID_FLAG_NEED) {
        hybrid_need_get(in, &need);
    }
    if (!(flags & HYBRID_FLAG_ALIVE)) {
        hybrid_alive_dst_end();
    } else if (!in->overrun) {
        hybrid_alive_dst_begin(hybrid_msg_get_be32(in));
    }
    /* Older sources do not say */
    ok = (!hybrid_msg_left(in) || hybrid_files_differ(in, &err)) &&
         !in->overrun && hybrid_dst_fits(mis, flags, &err) &&
         hybrid_dst_reserve(overcommit, &need, &err);
    hybrid_need_free(&need);
    if (ok && flags & HYBRID_FLAG_DELTA) {
        slots = hybrid_bases_allow(h, hybrid_msg_get_be32(in));
        flags &= slots ? HYBRID_FLAGS : ~HYBRID_FLAG_DELTA;
        hybrid_shared_set(&h->flags, flags & HYBRID_FLAGS);
    }
    if (in->overrun) {
        return 0;               /* the caller says so */
    }
    WITH_HYBRID_DESTINATION_LOCK(h) {
        needed = h->memory.needed;
        available = h->memory.available;
        hybrid_dst_step(h, ok ? HANDOFF_EV_SETTINGS_OK :
                                HANDOFF_EV_SETTINGS_REFUSED);
        h->refusal = ok ? NULL : g_strdup(error_get_pretty(err));
    }
    if (ok) {
        /* Called last when the guest starts: the vCPUs are next */
        h->vm_state =
            qemu_add_vm_change_state_handler_prio(hybrid_dst_vm_state, mis,
                                                  INT_MAX);
        h->faults = hybrid_faults_new();
        out = hybrid_msg_new(HYBRID_MSG_READY);
        hybrid_msg_put_be64(&out, needed);
        hybrid_msg_put_be64(&out, available);
        hybrid_msg_put_be32(&out, flags & HYBRID_FLAGS);
        hybrid_page_sizes_put(&out);
        hybrid_msg_put_be32(&out, hybrid_alive_dst_ms());
        if (flags & HYBRID_FLAG_DELTA) {
            hybrid_msg_put_be32(&out, slots);
        }
        hybrid_dst_send(mis, HYBRID_MSG_READY, &out);
        return 0;
    }

    out = hybrid_msg_new(HYBRID_MSG_REFUSE);
    hybrid_msg_put_be64(&out, needed);
    hybrid_msg_put_be64(&out, available);
    hybrid_msg_put_text(&out, error_get_pretty(err));
    hybrid_dst_send(mis, HYBRID_MSG_REFUSE, &out);
    error_prepend(&err, "migration refused: ");
    migrate_set_error(migrate_get_current(), err);
    error_free(err);
    /* The log has the sentence, and what errno makes of it */
    return needed > available ? -ENOMEM : -ENOTSUP;
}
