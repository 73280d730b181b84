/*
 * Hybrid live migration, source: what the destination has to have, told before
 * the first page.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "exec/ramblock.h"
#include "migration/migration.h"
#include "migration/ram.h"
#include "migration/savevm.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/common/places.h"
#include "migration/hybrid/common/wire.h"
#include "migration/hybrid/protocol/blocks.h"
#include "migration/hybrid/protocol/sections.h"
#include "migration/hybrid/source/announce.h"

typedef struct HybridAnnouncer {
    GArray *messages;           /* of HybridMessage, the last is being filled */
    HybridMessageKind kind;     /* of the last */
    uint32_t sections;
    GHashTable *places;
} HybridAnnouncer;

/* In the last message, if it is of @kind and there is room, else in a new one */
static void hybrid_announce_one(HybridAnnouncer *a, HybridMessageKind kind,
                                bool (*put)(HybridMessage *m, const void *what),
                                const void *what)
{
    HybridMessage m;

    if (a->messages->len && a->kind == kind &&
        put(&g_array_index(a->messages, HybridMessage, a->messages->len - 1),
            what)) {
        return;
    }
    trace_hybrid_message("src", hybrid_msg_str(kind));
    m = hybrid_msg_new(kind);
    put(&m, what);
    g_array_append_val(a->messages, m);
    a->kind = kind;
}

static bool hybrid_announce_put_section(HybridMessage *m, const void *what)
{
    return hybrid_section_put(m, what);
}

static void hybrid_announce_section(const char *idstr, uint32_t instance_id,
                                    uint32_t version_id, void *opaque)
{
    HybridAnnouncer *a = opaque;
    HybridSection s = { (char *)idstr, instance_id, version_id };

    if (a->sections == HYBRID_SECTIONS_MAX) {
        return;                 /* what is wrong with them shows in the stop */
    }
    a->sections++;
    hybrid_announce_one(a, HYBRID_MSG_SECTIONS, hybrid_announce_put_section,
                        &s);
}

static bool hybrid_announce_put_block(HybridMessage *m, const void *what)
{
    return hybrid_block_put(m, what);
}

static int hybrid_announce_block(RAMBlock *rb, void *opaque)
{
    HybridAnnouncer *a = opaque;
    HybridBlock b = {
        rb->idstr, rb->used_length, hybrid_places_of(a->places, rb),
    };

    hybrid_announce_one(a, HYBRID_MSG_BLOCKS, hybrid_announce_put_block, &b);
    return 0;
}

void hybrid_announce(QEMUFile *f)
{
    HybridAnnouncer a = {
        .messages = g_array_new(false, false, sizeof(HybridMessage)),
    };

    bql_lock();
    qemu_savevm_name_sections(hybrid_announce_section, &a);
    a.places = hybrid_places_find();
    WITH_RCU_READ_LOCK_GUARD() {
        foreach_not_ignored_block(hybrid_announce_block, &a);
    }
    bql_unlock();
    g_hash_table_destroy(a.places);
    /* The connection may be full: not with the BQL */
    for (guint i = 0; i < a.messages->len; i++) {
        hybrid_msg_put_to_dst(f, &g_array_index(a.messages, HybridMessage, i));
    }
    g_array_unref(a.messages);
}
