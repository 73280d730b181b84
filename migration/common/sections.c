/*
 * Hybrid live migration: the sections that the source is sure to send.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "migration/savevm.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/common/sections.h"
#include "migration/hybrid/common/wire.h"

/* ---- source ---- */

typedef struct HybridSectionsWriter {
    GArray *messages;           /* of HybridMessage, the last is being filled */
    uint32_t named;
} HybridSectionsWriter;

static void hybrid_sections_name(const char *idstr, uint32_t instance_id,
                                 uint32_t version_id, void *opaque)
{
    HybridSectionsWriter *w = opaque;
    HybridSection s = { (char *)idstr, instance_id, version_id };
    HybridMessage m;

    if (w->named == HYBRID_SECTIONS_MAX) {
        return;                 /* what is wrong with them shows in the stop */
    }
    w->named++;
    if (w->messages->len &&
        hybrid_section_put(&g_array_index(w->messages, HybridMessage,
                                          w->messages->len - 1), &s)) {
        return;
    }
    m = hybrid_msg_new(HYBRID_MSG_SECTIONS);
    hybrid_section_put(&m, &s);
    g_array_append_val(w->messages, m);
}

void hybrid_sections_send(QEMUFile *f)
{
    HybridSectionsWriter w = {
        .messages = g_array_new(false, false, sizeof(HybridMessage)),
    };

    bql_lock();
    qemu_savevm_name_sections(hybrid_sections_name, &w);
    bql_unlock();
    /* The connection may be full: not with the BQL */
    for (guint i = 0; i < w.messages->len; i++) {
        trace_hybrid_message("src", hybrid_msg_str(HYBRID_MSG_SECTIONS));
        hybrid_msg_put_to_dst(f, &g_array_index(w.messages, HybridMessage, i));
    }
    g_array_unref(w.messages);
}

/* ---- destination ---- */

void hybrid_sections_check(HybridMessage *m, HybridMisfits *misfits)
{
    HybridSection s;

    while (hybrid_section_get(m, &s)) {
        g_autofree char *idstr = s.idstr;
        uint32_t min, max;

        if (!hybrid_misfits_look(misfits)) {
            return;
        }
        if (!qemu_loadvm_knows_section(s.idstr, s.instance_id, &min, &max)) {
            hybrid_misfits_missing(misfits, &s);
        } else {
            hybrid_misfits_version(misfits, &s, min, max);
        }
    }
}
