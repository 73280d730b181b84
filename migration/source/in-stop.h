/*
 * Hybrid live migration, source: differences in the stop (policy:
 * policy/in-stop.h).  Migration thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_IN_STOP_H
#define QEMU_MIGRATION_HYBRID_SOURCE_IN_STOP_H

#include "migration/hybrid/source/state.h"

/*
 * The pass of bases is over: if it looks as if all that is dirty would fit the
 * stop, waits until the destination has all bases.  Uses the stream.
 */
void HYBRID_SOURCE_THREAD hybrid_in_stop_prepare(MigrationState *s);

/*
 * All of RAM has just been synced: chooses to complete the migration as
 * precopy, and returns true, if it fits.
 */
bool HYBRID_SOURCE_THREAD hybrid_in_stop_choose(MigrationState *s);

/*
 * Looks once more when the guest stands still; the stop has lasted since
 * @since_us.  False: it has become too much, the guest is to be handed over.
 * Also true if it was to be handed over, or completes without.
 */
bool HYBRID_SOURCE_THREAD hybrid_in_stop_begin(HybridSource *h,
                                               int64_t since_us);

/* All of RAM has been sent */
void HYBRID_SOURCE_THREAD hybrid_in_stop_end(HybridSource *h);

#endif
