/*
 * Hybrid live migration, source: the gate that every message passes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SOURCE_GATE_H
#define QEMU_MIGRATION_HYBRID_SOURCE_GATE_H

#include "migration/hybrid/protocol/gate.h"
#include "migration/hybrid/source/state.h"

/*
 * Is @msg to be handled?  No: it is ignored, or an error, with @errp set.
 * Lock held.
 */
bool HYBRID_SOURCE_LOCKED hybrid_src_gate(HybridSource *h, HybridFromDst msg,
                                          Error **errp);

#endif
