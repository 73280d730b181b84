/*
 * Hybrid live migration, source: the gate that every message passes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_GATE_H
#define QEMU_MIGRATION_HYBRID_SOURCE_GATE_H

#include "migration/hybrid/protocol/gate.h"

/*
 * Is @msg to be handled?  No: it is ignored, or an error, with @errp set.
 * Lock held.
 */
bool hybrid_src_gate(HybridFromDst msg, Error **errp);

#endif
