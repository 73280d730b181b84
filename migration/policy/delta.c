/*
 * Hybrid live migration: pages that are sent as differences.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../osdep.h"
#include "delta.h"

/* ---- the head of a difference ---- */

static void put_be(uint8_t *out, unsigned bytes, uint32_t v)
{
    for (unsigned i = 0; i < bytes; i++) {
        out[i] = v >> 8 * (bytes - 1 - i);
    }
}

static uint32_t get_be(const uint8_t *in, unsigned bytes)
{
    uint32_t v = 0;

    for (unsigned i = 0; i < bytes; i++) {
        v = v << 8 | in[i];
    }
    return v;
}

void hybrid_delta_head_put(uint8_t *out, const HybridDeltaHead *head)
{
    put_be(out, 4, head->slot);
    put_be(out + 4, 4, head->version);
    put_be(out + 8, 2, head->bytes);
    put_be(out + 10, 4, head->checksum);
}

void hybrid_delta_head_get(const uint8_t *in, HybridDeltaHead *head)
{
    head->slot = get_be(in, 4);
    head->version = get_be(in + 4, 4);
    head->bytes = get_be(in + 8, 2);
    head->checksum = get_be(in + 10, 4);
}

bool hybrid_bases_have_room(uint64_t taken, uint64_t bytes, uint64_t room,
                            uint64_t reserved)
{
    /* taken + bytes <= (left + taken) / 2, in which nothing overflows */
    return taken / 2 + bytes <= (room - MIN(room, reserved)) / 2;
}

/* ---- source ---- */

struct HybridSlots {
    uint32_t slots;
    uint32_t taken;
    uint64_t *page;             /* in each slot */
    /* Open addressing, never more than half full: numbers of slots */
    uint32_t *index;
    uint64_t mask;
};

static uint64_t slots_entries(uint32_t slots)
{
    uint64_t entries = 2;

    while (entries < 2ull * slots) {
        entries *= 2;
    }
    return entries;
}

uint64_t hybrid_slots_bytes(uint32_t slots)
{
    return slots * sizeof(uint64_t) + slots_entries(slots) * sizeof(uint32_t);
}

HybridSlots *hybrid_slots_new(uint32_t slots)
{
    HybridSlots *s = g_new0(HybridSlots, 1);
    uint64_t entries = slots_entries(slots);

    s->slots = slots;
    s->mask = entries - 1;
    s->page = g_try_new(uint64_t, MAX(1, slots));
    s->index = entries * sizeof(uint32_t) <= SIZE_MAX ?
               g_try_new(uint32_t, entries) : NULL;
    if (!s->page || !s->index) {
        hybrid_slots_free(s);
        return NULL;
    }
    for (uint64_t i = 0; i < entries; i++) {
        s->index[i] = HYBRID_SLOT_NONE;
    }
    return s;
}

void hybrid_slots_free(HybridSlots *s)
{
    if (s) {
        g_free(s->page);
        g_free(s->index);
        g_free(s);
    }
}

/* Where @page is in the index, or the free place where it would be */
static uint32_t *slots_place(const HybridSlots *s, uint64_t page)
{
    /* Neighbours shall not fill one place: Knuth's multiplicative hash */
    uint64_t i = (page * 0x9e3779b97f4a7c15ull) >> 32;

    for (;; i++) {
        uint32_t *place = &s->index[i & s->mask];

        if (*place == HYBRID_SLOT_NONE || s->page[*place] == page) {
            return place;
        }
    }
}

uint32_t hybrid_slots_add(HybridSlots *s, uint64_t page)
{
    uint32_t *place = slots_place(s, page);

    if (*place != HYBRID_SLOT_NONE || s->taken == s->slots) {
        return HYBRID_SLOT_NONE;
    }
    s->page[s->taken] = page;
    *place = s->taken;
    return s->taken++;
}

uint32_t hybrid_slots_find(const HybridSlots *s, uint64_t page)
{
    return *slots_place(s, page);
}

uint32_t hybrid_slots_taken(const HybridSlots *s)
{
    return s->taken;
}

uint64_t hybrid_slots_page(const HybridSlots *s, uint32_t slot)
{
    g_assert(slot < s->taken);
    return s->page[slot];
}

uint32_t hybrid_bases_wanted(uint64_t most, uint64_t memory,
                             uint32_t page_size)
{
    return MIN(MIN(most, memory / 2) / page_size, INT32_MAX);
}

int64_t hybrid_bases_patience_us(uint64_t pages, uint32_t page_size,
                                 double bandwidth)
{
    double us;

    if (!pages || !(bandwidth > 0)) {
        return 0;
    }
    us = 2 * (double)pages * page_size / bandwidth * 1e6 + 100e3;
    return us < 1e15 ? (int64_t)us : (int64_t)1e15;
}

/* ---- destination ---- */

bool hybrid_base_is(const HybridBase *base, const HybridDeltaHead *head,
                    uint64_t page)
{
    return base && head->version && base->version == head->version &&
           base->page == page;
}

uint32_t hybrid_bases_offer(uint32_t wanted, uint32_t page_size,
                            uint64_t available, uint64_t needed)
{
    uint64_t left = available - MIN(available, needed);

    return MIN(wanted, left / 2 / page_size);
}
