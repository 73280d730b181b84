/*
 * Hybrid live migration: the sections of the stream that the source names
 * before the first page, and which of them the destination could not load.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../osdep.h"
#include "sections.h"

/* A section's name, as long as QEMU's may be */
#define IDSTR_MAX 255

bool hybrid_section_put(HybridMessage *m, const HybridSection *s)
{
    if (!hybrid_msg_has_room(m, 10 + strlen(s->idstr))) {
        return false;
    }
    hybrid_msg_put_be32(m, s->instance_id);
    hybrid_msg_put_be32(m, s->version);
    hybrid_msg_put_text(m, s->idstr);
    return true;
}

bool hybrid_section_get(HybridMessage *m, HybridSection *s)
{
    s->idstr = NULL;
    if (!hybrid_msg_left(m)) {
        return false;
    }
    s->instance_id = hybrid_msg_get_be32(m);
    s->version = hybrid_msg_get_be32(m);
    s->idstr = hybrid_msg_get_text(m);
    if (m->overrun) {
        g_clear_pointer(&s->idstr, g_free);
        return false;
    }
    return true;
}

/*
 * As people call it.  QEMU's names are where the device is on its bus, then a
 * slash, then the kind of device; of one that is on no bus the kind only.
 */
static char *section_name(const HybridSection *s)
{
    g_autofree char *clean = hybrid_peer_text(s->idstr,
                                              MIN(strlen(s->idstr), IDSTR_MAX));
    g_autofree char *nth = s->instance_id ?
        g_strdup_printf(" (number %" PRIu32 ")", s->instance_id) : NULL;
    char *slash = strrchr(clean, '/');

    if (!slash || slash == clean || !slash[1]) {
        return g_strdup_printf("'%s'%s", clean, nth ?: "");
    }
    *slash = '\0';
    return g_strdup_printf("'%s' at %s%s", slash + 1, clean, nth ?: "");
}

void hybrid_misfits_missing(HybridMisfits *w, const HybridSection *s)
{
    g_autofree char *name = section_name(s);

    hybrid_misfits_tell(w, g_strdup_printf("%s is missing there", name));
}

void hybrid_misfits_version(HybridMisfits *w, const HybridSection *s,
                            uint32_t min, uint32_t max)
{
    g_autofree char *name = NULL;

    if (s->version >= min && s->version <= max) {
        return;
    }
    name = section_name(s);
    hybrid_misfits_tell(w, g_strdup_printf(
        "%s has version %" PRIu32 ", and there %" PRIu32 " at %s", name,
        s->version, s->version > max ? max : min,
        s->version > max ? "most" : "least"));
}
