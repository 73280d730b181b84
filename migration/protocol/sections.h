/*
 * Hybrid live migration: the sections of the stream that the source names
 * before the first page, and which of them the destination could not load.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_MIGRATION_HYBRID_SECTIONS_H
#define QEMU_MIGRATION_HYBRID_SECTIONS_H

#include "../osdep.h"
#include "encoding.h"
#include "misfits.h"

/* A source names no more */
#define HYBRID_SECTIONS_MAX HYBRID_MISFITS_LOOKS

/* A section as its head in the stream has it */
typedef struct HybridSection {
    char *idstr;                /* any bytes, from a peer */
    uint32_t instance_id;
    uint32_t version;
} HybridSection;

/* False: no room in this message */
bool hybrid_section_put(HybridMessage *m, const HybridSection *s);

/* False: none is left, or the message is too short.  g_free(s->idstr). */
bool hybrid_section_get(HybridMessage *m, HybridSection *s);

/* This one is not there, as far as the destination knows */
void hybrid_misfits_missing(HybridMisfits *w, const HybridSection *s);

/* It is, and takes these versions: no word if that is one of them */
void hybrid_misfits_version(HybridMisfits *w, const HybridSection *s,
                            uint32_t min, uint32_t max);

#endif
