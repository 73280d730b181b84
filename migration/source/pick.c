/*
 * Hybrid live migration, source: the one place that chooses the next page.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Requested pages come first, and upstream's queue has them.  Without one:
 *
 *   in the rounds                 the order of the first round (scan.c), then
 *                                 that of addresses, as upstream
 *   between the stop and GRANT    what the devices read (devices.c), then what
 *                                 the guest will touch at once (push.c)
 *   after GRANT                   as hybrid-push-policy says (push.c)
 */

#include "migration/hybrid/source/state.h"
#include "migration/hybrid/common/params.h"
#include "migration/hybrid/source/devices.h"
#include "migration/hybrid/source/push.h"
#include "migration/hybrid/source/scan.h"

bool hybrid_src_pick(RAMBlock **block, unsigned long *page)
{
    if (!hybrid_source()->active) {
        return true;            /* upstream's order; also a snapshot's */
    }
    hybrid_source_in_thread();
    if (hybrid_src_requests_only()) {
        return hybrid_devices_pick(block, page) ||
               hybrid_push_pick_early(block, page);
    }
    if (!hybrid_push_active()) {
        hybrid_src_scan_pick(block, page);
        return true;
    }
    switch (migrate_hybrid_push_policy()) {
    case MIGRATION_HYBRID_PUSH_POLICY_ON_DEMAND:
        return false;
    case MIGRATION_HYBRID_PUSH_POLICY_LINEAR:
        break;
    default:
        hybrid_push_pick(block, page);
        break;
    }
    return true;
}
