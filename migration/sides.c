/*
 * Hybrid live migration: what concerns both sides of a QEMU, the migration
 * that goes out and the one that came in.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "migration/hybrid/destination/info.h"
#include "migration/hybrid/destination/start.h"
#include "migration/hybrid/hooks.h"
#include "migration/hybrid/source/info.h"
#include "migration/hybrid/source/start.h"

void hybrid_reset(void)
{
    hybrid_dst_forget();
    hybrid_src_reset();
}

void hybrid_fill_info(MigrationInfo *info)
{
    /* A refused command is no migration: it hides none that came in */
    if (!hybrid_src_fill_info(info) && !hybrid_dst_fill_info(info)) {
        hybrid_src_fill_refusal(info);
    }
}
