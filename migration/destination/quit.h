/*
 * Hybrid live migration, destination: this QEMU ends in order, and why.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_DESTINATION_QUIT_H
#define QEMU_MIGRATION_HYBRID_DESTINATION_QUIT_H

/* From now on the reason is noted; may be called again.  BQL held. */
void hybrid_dst_watch_quit(void);

#endif
