/*
 * A guest's memory for the tests of the push order.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_UNIT_PUSH_MEMORY_H
#define TESTS_UNIT_PUSH_MEMORY_H

#include "policy/push.h"

#define WORD (8 * sizeof(unsigned long))
#define CHUNK 512

typedef struct Memory {
    unsigned n;
    HybridPushBlock blocks[4];
    unsigned long *bits[4];
    uint16_t *heat[4];
    unsigned long *recent[4];
    HybridPush *push;
    int64_t now_us;
} Memory;

static inline bool dirty(Memory *m, unsigned block, uint64_t page)
{
    return m->bits[block][page / WORD] >> page % WORD & 1;
}

static inline void set(Memory *m, unsigned block, uint64_t page, bool on)
{
    unsigned long bit = 1ul << page % WORD;

    if (on) {
        m->bits[block][page / WORD] |= bit;
    } else {
        m->bits[block][page / WORD] &= ~bit;
    }
}

static inline void add_block(Memory *m, uint64_t pages, uint32_t ratio)
{
    unsigned n = m->n++;

    m->bits[n] = g_new0(unsigned long, pages / WORD + 1);
    m->heat[n] = g_new0(uint16_t, pages / CHUNK + 1);
    m->recent[n] = g_new0(unsigned long, pages / WORD + 1);
    m->blocks[n] = (HybridPushBlock) {
        .dirty = m->bits[n], .pages = pages, .ratio = ratio,
        .heat = m->heat[n], .recent = m->recent[n],
    };
}

static inline void start(Memory *m)
{
    m->push = hybrid_push_new(m->blocks, m->n, CHUNK);
}

static inline void end(Memory *m)
{
    hybrid_push_free(m->push);
    for (unsigned i = 0; i < m->n; i++) {
        g_free(m->bits[i]);
        g_free(m->heat[i]);
        g_free(m->recent[i]);
    }
}

static inline uint64_t left(Memory *m)
{
    uint64_t sum = 0;

    for (unsigned b = 0; b < m->n; b++) {
        for (uint64_t i = 0; i < m->blocks[b].pages; i++) {
            sum += dirty(m, b, i);
        }
    }
    return sum;
}

static inline void fill(Memory *m, unsigned block, uint64_t from, uint64_t to)
{
    while (from < to) {
        set(m, block, from++, true);
    }
}

/* Send the host page of @page, as ram_save_host_page() does: from @page on */
static inline unsigned send_host_page(Memory *m, unsigned block, uint64_t page)
{
    const HybridPushBlock *b = &m->blocks[block];
    uint64_t stop = MIN((page / b->ratio + 1) * b->ratio, b->pages);
    unsigned sent = 0;

    for (; page < stop; page++) {
        sent += dirty(m, block, page);
        set(m, block, page, false);
    }
    return sent;
}

/* A fault that is served at once */
static inline void fault(Memory *m, unsigned block, uint64_t page)
{
    const HybridPushBlock *b = &m->blocks[block];

    hybrid_push_note_fault(m->push, block, page, m->now_us);
    send_host_page(m, block, page / b->ratio * b->ratio);
}

/* What is picked must be dirty, and the first such of its host page */
static inline HybridPushKind pick(Memory *m, unsigned *block, uint64_t *page)
{
    HybridPushKind kind = hybrid_push_next(m->push, block, page, m->now_us);
    const HybridPushBlock *b;

    if (kind != HYBRID_PUSH_NONE) {
        g_assert_cmpuint(*block, <, m->n);
        b = &m->blocks[*block];
        g_assert_cmpuint(*page, <, b->pages);
        g_assert_true(dirty(m, *block, *page));
        for (uint64_t i = *page / b->ratio * b->ratio; i < *page; i++) {
            g_assert_false(dirty(m, *block, i));
        }
    }
    return kind;
}

static inline HybridPushKind push_one(Memory *m, unsigned *block,
                                      uint64_t *page)
{
    HybridPushKind kind = pick(m, block, page);

    if (kind != HYBRID_PUSH_NONE) {
        g_assert_cmpuint(send_host_page(m, *block, *page), >, 0);
    }
    return kind;
}

static inline HybridPushStats stats(Memory *m)
{
    HybridPushStats s;

    hybrid_push_stats(m->push, &s);
    return s;
}

#endif
