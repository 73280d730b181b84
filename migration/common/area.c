/*
 * Hybrid live migration: memory that grows in pieces, for bases.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/mman.h>
#include "qemu/atomic.h"
#include "qemu/madvise.h"
#include "migration/hybrid/common/area.h"
#include "migration/hybrid/common/room.h"
#include "migration/hybrid/policy/delta.h"

bool hybrid_area_init(HybridArea *a, uint32_t slots, size_t page_size)
{
    a->page_size = page_size;
    a->size = ROUND_UP((uint64_t)slots * page_size, HYBRID_AREA_PIECE);
    a->map = hybrid_room_map(a->size);
    a->there = a->map ? g_try_new0(bool, a->size / HYBRID_AREA_PIECE) : NULL;
    if (!a->there) {
        hybrid_area_destroy(a);
    }
    return a->there;
}

void hybrid_area_destroy(HybridArea *a)
{
    hybrid_room_unmap(a->map, a->size);
    a->map = NULL;
    g_clear_pointer(&a->there, g_free);
    qatomic_set(&a->bytes, 0);
}

static size_t area_piece(const HybridArea *a, uint32_t slot)
{
    return (size_t)slot * a->page_size / HYBRID_AREA_PIECE;
}

uint8_t *hybrid_area_at(const HybridArea *a, uint32_t slot)
{
    return a->map + (size_t)slot * a->page_size;
}

bool hybrid_area_has(const HybridArea *a, uint32_t slot)
{
    return a->there[area_piece(a, slot)];
}

uint8_t *hybrid_area_grow(HybridArea *a, uint32_t slot, uint64_t taken,
                          uint64_t reserved)
{
    size_t piece = area_piece(a, slot);

    if (!a->there[piece]) {
        if (!hybrid_bases_have_room(taken + a->bytes, HYBRID_AREA_PIECE,
                                    hybrid_room_bytes(), reserved) ||
            mprotect(a->map + piece * HYBRID_AREA_PIECE, HYBRID_AREA_PIECE,
                     PROT_READ | PROT_WRITE)) {
            return NULL;
        }
        a->there[piece] = true;
        qatomic_set(&a->bytes, a->bytes + HYBRID_AREA_PIECE);
        qatomic_set(&a->most, a->bytes);
    }
    return hybrid_area_at(a, slot);
}

void hybrid_area_empty(HybridArea *a)
{
    for (size_t i = 0; a->there && i < a->size / HYBRID_AREA_PIECE; i++) {
        if (a->there[i]) {
            qemu_madvise(a->map + i * HYBRID_AREA_PIECE, HYBRID_AREA_PIECE,
                         QEMU_MADV_DONTNEED);
        }
    }
    qatomic_set(&a->bytes, 0);
}
