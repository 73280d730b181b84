/*
 * Hybrid live migration, source: the order of the first round, over all blocks
 * (policy: policy/scan.h).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migration/hybrid/source/state.h"
#include "qemu/bitmap.h"
#include "exec/ramblock.h"
#include "exec/ramlist.h"
#include "migration/migration.h"
#include "migration/ram.h"
#include "migration/hybrid/policy/page-bitmap.h"
#include "migration/hybrid/policy/scan.h"
#include "migration/hybrid/source/block.h"
#include "migration/hybrid/source/scan.h"

struct HybridScanner {
    /* of HybridPart, the blocks */
    GArray *parts HYBRID_SOURCE_OWNED;
    /* of all of them */
    size_t chunks HYBRID_SOURCE_OWNED;
    HybridScan scan HYBRID_SOURCE_OWNED;
    bool HYBRID_SOURCE_OWNED scanning;
    /* of the list of blocks that parts is of */
    uint32_t version HYBRID_SOURCE_OWNED;
};

/* Chunks @first to @first + @chunks - 1 of the scan are those of @rb */
typedef struct HybridPart {
    RAMBlock *rb;
    size_t first;
    size_t chunks;
} HybridPart;

HybridScanner *hybrid_src_scan_new(void)
{
    return g_new0(HybridScanner, 1);
}

void TSA_NO_TSA hybrid_src_scan_free(HybridScanner *s)
{
    if (s) {
        g_clear_pointer(&s->parts, g_array_unref);
        g_free(s);
    }
}

static int HYBRID_SOURCE_THREAD scan_add_part(RAMBlock *rb, void *opaque)
{
    HybridScanner *s = opaque;
    HybridPart part = {
        .rb = rb,
        .first = s->chunks,
        .chunks = DIV_ROUND_UP(hybrid_block_pages(rb), HYBRID_HEAT_CHUNK),
    };

    g_array_append_val(s->parts, part);
    s->chunks += part.chunks;
    return 0;
}

void hybrid_src_scan_begin(void)
{
    HybridScanner *s = hybrid_source()->scan;

    g_clear_pointer(&s->parts, g_array_unref);
    s->parts = g_array_new(false, false, sizeof(HybridPart));
    s->chunks = 0;
    s->version = ram_list.version;
    smp_rmb();                  /* the version, then the list */
    foreach_not_ignored_block(scan_add_part, s);
    hybrid_scan_init(&s->scan, s->chunks);
    s->scanning = hybrid_scan_next(&s->scan);
}

/*
 * In the current chunk, the first page to be sent.  A host page that is larger
 * than a chunk goes as a whole: the destination can replace it only whole, so
 * a part of it alone would be sent in vain.
 */
static bool HYBRID_SOURCE_THREAD
scan_in_chunk(HybridScanner *s, RAMBlock **block, unsigned long *page)
{
    for (guint i = 0; i < s->parts->len; i++) {
        HybridPart *part = &g_array_index(s->parts, HybridPart, i);
        size_t chunk = s->scan.chunk - part->first;
        size_t begin = chunk * HYBRID_HEAT_CHUNK, end, size;

        if (s->scan.chunk < part->first || chunk >= part->chunks) {
            continue;
        }
        size = MAX(HYBRID_HEAT_CHUNK, hybrid_block_ratio(part->rb));
        begin = QEMU_ALIGN_DOWN(begin, size);
        end = MIN(begin + size, hybrid_block_pages(part->rb));
        *page = find_next_bit(part->rb->bmap, end, begin);
        *block = part->rb;
        return *page < end;
    }
    g_assert_not_reached();
}

void hybrid_src_scan_pick(RAMBlock **block, unsigned long *page)
{
    HybridScanner *s = hybrid_source()->scan;
    unsigned long found;
    RAMBlock *rb;

    /*
     * A device that was unplugged has taken its memory along (or more has
     * come): what is left of the round goes in the order of addresses.  A
     * block that goes now stays until the caller's RCU section ends.
     */
    if (s->scanning && ram_list.version != s->version) {
        s->scanning = false;
    }
    while (s->scanning) {
        if (scan_in_chunk(s, &rb, &found)) {
            *block = rb;
            *page = found;
            return;
        }
        s->scanning = hybrid_scan_next(&s->scan);
    }
}
