/*
 * Hybrid live migration: pages that are sent as differences.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Before the guest is stopped a dirty page is sent as a base: the destination
 * keeps it aside, the source keeps a copy of the same bytes.  After the switch
 * only what the guest has changed since crosses the link.
 *
 * A base lies in a slot, which has the same number at both ends.  The source
 * alone says what is in which slot, so the destination needs to find nothing:
 * the message has the number.  What it says besides (version, page, checksum
 * of the whole page) is there to be sure that both mean the same bytes.
 *
 * Pages are known by one number over all blocks, which each side chooses.
 * Locking: none.  A table that is complete may be read by any thread.
 */

#ifndef QEMU_MIGRATION_HYBRID_DELTA_H
#define QEMU_MIGRATION_HYBRID_DELTA_H

#include "../osdep.h"

#define HYBRID_SLOT_NONE UINT32_MAX

/*
 * Pages that are larger are not sent as differences: the encoder's runs have
 * at most 16383 bytes.  All targets but some of Arm's have pages of 4 or 8 KiB.
 */
#define HYBRID_DELTA_PAGE_MAX 8192

/*
 * A difference is at most half of the page.  Chosen: beyond that it saves
 * little, and to find the differences takes longer the more there are.
 */
#define HYBRID_DELTA_SHARE(page_size) ((page_size) / 2)

/* In the stream, behind the page's header: what follows, then its bytes */
#define HYBRID_DELTA_HEAD 14
#define HYBRID_DELTA_MAX  (HYBRID_DELTA_HEAD + \
                           HYBRID_DELTA_SHARE(HYBRID_DELTA_PAGE_MAX))

typedef struct HybridDeltaHead {
    uint32_t slot;              /* be32 */
    uint32_t version;           /* be32 */
    uint16_t bytes;             /* be16; 0: the page is what its base is */
    uint32_t checksum;          /* be32, of the whole page */
} HybridDeltaHead;

void hybrid_delta_head_put(uint8_t *out, const HybridDeltaHead *head);
void hybrid_delta_head_get(const uint8_t *in, HybridDeltaHead *head);

/*
 * @bytes more for bases, which have @taken already; the host and its control
 * groups have @room now, of which @reserved are spoken for.  Half of what there
 * was before the first one, and is not spoken for, belongs to others.
 */
bool hybrid_bases_have_room(uint64_t taken, uint64_t bytes, uint64_t room,
                            uint64_t reserved);

/* ---- source: which page is in which slot ---- */

typedef struct HybridSlots HybridSlots;

/* NULL: there is no memory for so many */
HybridSlots *hybrid_slots_new(uint32_t slots);

/* Bytes that it takes */
uint64_t hybrid_slots_bytes(uint32_t slots);
void hybrid_slots_free(HybridSlots *s);

/* The next slot for @page; HYBRID_SLOT_NONE: it has one, or all are taken */
uint32_t hybrid_slots_add(HybridSlots *s, uint64_t page);
uint32_t hybrid_slots_find(const HybridSlots *s, uint64_t page);

/* How many are taken: they are 0, 1, and so on; and by which page */
uint32_t hybrid_slots_taken(const HybridSlots *s);
uint64_t hybrid_slots_page(const HybridSlots *s, uint32_t slot);

/*
 * Slots of @page_size that a source asks for, and a destination lets it have:
 * @most bytes as the operator says, of @memory bytes of the guest half, chosen:
 * where more is written all the time, half of it is worth as much.
 */
uint32_t hybrid_bases_wanted(uint64_t most, uint64_t memory,
                             uint32_t page_size);

/*
 * How long it may take to send @pages bases over a link of @bandwidth bytes/s:
 * twice as long as it should, and a moment (100 ms, chosen).  What has not gone
 * by then goes as a whole page after the switch.  0 where a figure is missing.
 */
int64_t hybrid_bases_patience_us(uint64_t pages, uint32_t page_size,
                                 double bandwidth);

/* ---- destination: what is in a slot ---- */

/* All zero: nothing */
typedef struct HybridBase {
    uint64_t page;
    uint32_t version;           /* 0: none, or it has been used */
} HybridBase;

/*
 * The source means, by what stands in @head about @page, what is in its slot:
 * @base, which may be NULL.
 */
bool hybrid_base_is(const HybridBase *base, const HybridDeltaHead *head,
                    uint64_t page);

/*
 * How many slots of @page_size a destination offers to one that would like
 * @wanted: so many that at most half of the memory is used that is not needed
 * for the guest.
 */
uint32_t hybrid_bases_offer(uint32_t wanted, uint32_t page_size,
                            uint64_t available, uint64_t needed);

#endif
