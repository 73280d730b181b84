/*
 * Hybrid live migration, destination: drops what the source has discarded.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_DESTINATION_DROP_H
#define QEMU_MIGRATION_HYBRID_DESTINATION_DROP_H

#include "migration/hybrid/common/bql.h"
#include "migration/hybrid/protocol/encoding.h"

/* DISCARD has come; 0 or -errno */
int hybrid_dst_discard(HybridMessage *m);

/* Before LISTEN: nothing may be where a page is to be placed.  0 or -errno. */
int HYBRID_BQL_LOCKED hybrid_dst_drop_untouched(void);

/*
 * From now until the end of the migration: a page that comes takes no more
 * memory than its own.
 */
void HYBRID_BQL_LOCKED hybrid_dst_keep_small_pages(void);

/* The migration is over: huge pages as before */
void HYBRID_BQL_LOCKED hybrid_dst_discards_end(void);

#endif
