/*
 * Hybrid live migration: a number that threads share without a lock.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A type of its own, so that nothing but these functions touches it.  Whoever
 * reads what was set also sees what was written before that.
 */

#ifndef QEMU_MIGRATION_HYBRID_SHARED_H
#define QEMU_MIGRATION_HYBRID_SHARED_H

#include "qemu/atomic.h"

typedef struct HybridShared {
    uint32_t value;
} HybridShared;

static inline uint32_t hybrid_shared_get(const HybridShared *s)
{
    return qatomic_load_acquire(&s->value);
}

static inline void hybrid_shared_set(HybridShared *s, uint32_t value)
{
    qatomic_store_release(&s->value, value);
}

/* As an atomic operation, and a full barrier */
static inline void hybrid_shared_add(HybridShared *s, int32_t n)
{
    qatomic_add(&s->value, n);
}

/* @value instead of @expected; false: it was another one, and stays */
static inline bool hybrid_shared_replace(HybridShared *s, uint32_t expected,
                                         uint32_t value)
{
    return qatomic_cmpxchg(&s->value, expected, value) == expected;
}

#endif
