/*
 * Hybrid live migration: what of the destination does not fit, in a sentence.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../osdep.h"
#include "misfits.h"

/* So many are told, the others are counted: it is one sentence */
#define MISFITS_TOLD 4

bool hybrid_misfits_look(HybridMisfits *w)
{
    return w->looked_at++ < HYBRID_MISFITS_LOOKS;
}

void hybrid_misfits_tell(HybridMisfits *w, char *what)
{
    if (!w->text) {
        w->text = g_string_new(NULL);
    }
    if (w->found++ < MISFITS_TOLD) {
        g_string_append_printf(w->text, "%s%s", w->text->len ? ", " : "",
                               what);
    }
    g_free(what);
}

char *hybrid_misfits_sentence(const HybridMisfits *w, const char *things)
{
    if (!w->found) {
        return NULL;
    }
    if (w->found <= MISFITS_TOLD) {
        return g_strdup_printf("its %s not the guest's: %s", things,
                               w->text->str);
    }
    return g_strdup_printf("its %s not the guest's: %s, and %" PRIu32
                           " more", things, w->text->str,
                           w->found - MISFITS_TOLD);
}

void hybrid_misfits_free(HybridMisfits *w)
{
    if (w->text) {
        g_string_free(w->text, TRUE);
    }
    *w = (HybridMisfits) { 0 };
}
