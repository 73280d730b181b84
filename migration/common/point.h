/*
 * Hybrid live migration: named points at which a test can put a fault.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Compiled in by the build option hybrid_points (configure --enable-points),
 * which is for tests: tests/faults.  Without it all of this is nothing.
 *
 * A point has a name, "side-what", and is numbered by how often it was
 * reached in this process, from 1.  Each one is traced (hybrid_point).  When
 * the one that the environment variable HYBRID_POINT names ("NAME" or
 * "NAME#NUMBER") is reached, the thread connects to the unix socket
 * HYBRID_POINT_SOCKET, writes name and number, and goes on when a byte comes
 * back or the connection ends.  So what a test does meanwhile happens at
 * exactly this point, on the thread, and with the locks, that reach it: a
 * point in the main loop answers no monitor command while it is held.
 *
 * No point lies within the handoff's lock: what cancels or times out has to
 * be able to take it.
 */

#ifndef QEMU_MIGRATION_HYBRID_POINT_H
#define QEMU_MIGRATION_HYBRID_POINT_H

#include "migration/hybrid/points-config.h"

#ifdef CONFIG_HYBRID_POINTS

/* Any thread.  May block for as long as the test wants. */
void hybrid_point(const char *name);

/* The point "@what-@kind", for the messages */
void hybrid_point_message(const char *what, const char *kind);

#else

static inline void hybrid_point(const char *name)
{
}

static inline void hybrid_point_message(const char *what, const char *kind)
{
}

#endif

#endif
