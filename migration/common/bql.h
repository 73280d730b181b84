/*
 * Hybrid live migration: what the BQL guards, for clang's thread safety
 * analysis.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * QEMU's own lock carries no capability.  A hook that is called with it says
 * so by hybrid_bql_held(), which also looks whether that is true.
 */

#ifndef QEMU_MIGRATION_HYBRID_BQL_H
#define QEMU_MIGRATION_HYBRID_BQL_H

#include "qemu/main-loop.h"
#include "migration/hybrid/common/guard.h"

HYBRID_CAPABILITY("mutex", hybrid_bql);

#define HYBRID_BQL_GUARDED  TSA_GUARDED_BY(hybrid_bql)
#define HYBRID_BQL_LOCKED   TSA_REQUIRES(hybrid_bql)

static inline void TSA_ASSERT(hybrid_bql) TSA_NO_TSA hybrid_bql_held(void)
{
    assert(bql_locked());
}

#endif
