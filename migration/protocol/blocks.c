/*
 * Hybrid live migration: the blocks of the guest's memory that the source
 * names before the first page, and which of them the destination has otherwise.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../osdep.h"
#include "blocks.h"

/* A block's name, as long as QEMU's may be */
#define NAME_MAX_LEN 255

bool hybrid_block_put(HybridMessage *m, const HybridBlock *b)
{
    if (!hybrid_msg_has_room(m, 18 + strlen(b->name))) {
        return false;
    }
    hybrid_msg_put_be64(m, b->length);
    hybrid_msg_put_be64(m, b->place);
    hybrid_msg_put_text(m, b->name);
    return true;
}

bool hybrid_block_get(HybridMessage *m, HybridBlock *b)
{
    b->name = NULL;
    if (!hybrid_msg_left(m)) {
        return false;
    }
    b->length = hybrid_msg_get_be64(m);
    b->place = hybrid_msg_get_be64(m);
    b->name = hybrid_msg_get_text(m);
    if (m->overrun) {
        g_clear_pointer(&b->name, g_free);
        return false;
    }
    return true;
}

static char *block_name(const HybridBlock *b)
{
    return hybrid_peer_text(b->name, MIN(strlen(b->name), NAME_MAX_LEN));
}

void hybrid_misfits_no_block(HybridMisfits *w, const HybridBlock *b)
{
    g_autofree char *name = block_name(b);

    hybrid_misfits_tell(w, g_strdup_printf("'%s' is missing there", name));
}

void hybrid_misfits_length(HybridMisfits *w, const HybridBlock *b,
                           uint64_t length)
{
    g_autofree char *name = block_name(b);

    hybrid_misfits_tell(w, g_strdup_printf(
        "'%s' has %" PRIu64 " KiB, and there %" PRIu64 " KiB", name,
        b->length / 1024, length / 1024));
}

void hybrid_misfits_place(HybridMisfits *w, const HybridBlock *b,
                          uint64_t place)
{
    g_autofree char *name = NULL;

    if (b->place == place || b->place == HYBRID_NO_PLACE ||
        place == HYBRID_NO_PLACE) {
        return;
    }
    name = block_name(b);
    hybrid_misfits_tell(w, g_strdup_printf(
        "'%s' lies at 0x%" PRIx64 ", and there at 0x%" PRIx64, name, b->place,
        place));
}
