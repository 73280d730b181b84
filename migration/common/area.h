/*
 * Hybrid live migration: memory that grows in pieces, for bases.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The addresses are there from the beginning.  The memory of a piece is made
 * accessible when something is first put into it, if the host and its control
 * groups have room for it then: what was true when the migration began may not
 * be now.  Not all at once and touched bit by bit, as that cannot fail where it
 * matters, and takes all of it if this QEMU's memory is locked.
 */

#ifndef QEMU_MIGRATION_HYBRID_AREA_H
#define QEMU_MIGRATION_HYBRID_AREA_H

/* Chosen: to look at the room takes a fraction of what it takes to fill it */
#define HYBRID_AREA_PIECE (4ull << 20)

typedef struct HybridArea {
    uint8_t *map;               /* hybrid_room_map(); NULL: none */
    size_t size;
    bool *there;                /* of each piece */
    size_t page_size;
    size_t bytes;               /* of these; atomic, others show it */
    size_t most;                /* so many at a time; atomic */
} HybridArea;

/* For @slots of @page_size; takes no memory yet.  False: it could not. */
bool hybrid_area_init(HybridArea *a, uint32_t slots, size_t page_size);
void hybrid_area_destroy(HybridArea *a);

/* Where @slot is, if its piece has memory */
uint8_t *hybrid_area_at(const HybridArea *a, uint32_t slot);
bool hybrid_area_has(const HybridArea *a, uint32_t slot);

/*
 * The same, its piece gets some if need be.  NULL: there is no room, as half
 * of what there is belongs to others.  @taken: what was taken beside this area
 * for the same purpose; @reserved: what is spoken for besides.
 */
uint8_t *hybrid_area_grow(HybridArea *a, uint32_t slot, uint64_t taken,
                          uint64_t reserved);

/* Gives the memory back while others may still look: it is all zero then */
void hybrid_area_empty(HybridArea *a);

#endif
