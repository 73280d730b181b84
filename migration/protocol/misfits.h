/*
 * Hybrid live migration: what of the destination does not fit, in a sentence.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_MISFITS_H
#define QEMU_MIGRATION_HYBRID_MISFITS_H

#include "../osdep.h"

/* A destination looks at no more.  Chosen: far above what guests have. */
#define HYBRID_MISFITS_LOOKS 4096

/* What does not fit, over all messages */
typedef struct HybridMisfits {
    uint32_t looked_at;
    uint32_t found;
    GString *text;              /* of the first few; NULL: all fit */
} HybridMisfits;

/* False: enough were looked at */
bool hybrid_misfits_look(HybridMisfits *w);

/* @what, which is freed, does not fit */
void hybrid_misfits_tell(HybridMisfits *w, char *what);

/* A sentence for the operator, @things are "devices are"; NULL: all fit */
char *hybrid_misfits_sentence(const HybridMisfits *w, const char *things);

void hybrid_misfits_free(HybridMisfits *w);

#endif
