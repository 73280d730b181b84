/*
 * Hybrid live migration: first include of the policy code.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The policy knows nothing of QEMU and is compiled twice: into QEMU, where
 * every C file has to begin with QEMU's own osdep.h, and by this project's
 * meson.build, which defines HYBRID_STANDALONE, into the unit tests.
 */

#ifndef QEMU_MIGRATION_HYBRID_OSDEP_H
#define QEMU_MIGRATION_HYBRID_OSDEP_H

#ifndef HYBRID_STANDALONE
#include "qemu/osdep.h"
#else
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>
#endif

#include <glib.h>

#endif
