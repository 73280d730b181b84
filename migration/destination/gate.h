/*
 * Hybrid live migration, destination: the gate that every message passes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_DESTINATION_GATE_H
#define QEMU_MIGRATION_HYBRID_DESTINATION_GATE_H

#include "migration/hybrid/protocol/gate.h"

/* Positive if @msg is to be handled, 0 ignored, else -errno */
int hybrid_dst_gate(HybridPlace place, HybridFromSrc msg);

/* Where does @msg come, in the package or outside of it? */
HybridPlace hybrid_dst_place(bool in_package, HybridFromSrc msg);

#endif
