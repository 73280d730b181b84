/*
 * Hybrid live migration, source: round trips to the destination's thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_PROBE_H
#define QEMU_MIGRATION_HYBRID_SOURCE_PROBE_H

#include "migration/hybrid/source/hooks.h"

/*
 * A round trip, behind all that was sent, for which it waits at most
 * @patience_us.  False: no answer came, and the
 * connection has not ended either.  Migration thread.
 */
bool hybrid_src_probe_rtt(MigrationState *s, int64_t patience_us);

#endif
