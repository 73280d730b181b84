/*
 * Hybrid live migration: how long vCPUs wait for missing pages.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../osdep.h"
#include "blocktime.h"

typedef struct Vcpu {
    bool waits;
    bool counted;       /* the stall's time is in blocked_us already */
    uint64_t addr;
    int64_t since_us;
    uint64_t blocked_us;
} Vcpu;

struct HybridBlocktime {
    unsigned nvcpus;
    unsigned waiting;
    Vcpu vcpus[];
};

HybridBlocktime *hybrid_blocktime_new(unsigned nvcpus)
{
    HybridBlocktime *bt;

    bt = g_malloc0(sizeof(*bt) + nvcpus * sizeof(bt->vcpus[0]));
    bt->nvcpus = nvcpus;
    return bt;
}

void hybrid_blocktime_free(HybridBlocktime *bt)
{
    g_free(bt);
}

static void end_stall(Vcpu *v, int64_t now_us)
{
    uint64_t us = now_us > v->since_us
                  ? (uint64_t)now_us - (uint64_t)v->since_us : 0;

    if (v->counted) {
        return;
    }
    v->counted = true;
    v->blocked_us += us;
}

bool hybrid_blocktime_begin(HybridBlocktime *bt, int vcpu, uint64_t addr,
                            int64_t now_us, bool already_received)
{
    bool more;
    Vcpu *v;

    if ((unsigned)vcpu >= bt->nvcpus) {
        return false;           /* so is a negative one */
    }
    v = &bt->vcpus[vcpu];
    if (v->waits && v->addr == addr && !v->counted) {
        return false;           /* placed() is on its way if it has come */
    }
    if (v->waits) {
        end_stall(v, now_us);
    }
    if (already_received) {
        /* If it waits, for another page, placed() still has to return it */
        return false;
    }
    more = !v->waits;
    v->waits = true;
    v->counted = false;
    v->addr = addr;
    v->since_us = now_us;
    bt->waiting += more;
    return more;
}

unsigned hybrid_blocktime_placed(HybridBlocktime *bt, uint64_t addr,
                                 uint64_t size, int64_t now_us)
{
    unsigned woken = 0;

    for (unsigned i = 0; bt->waiting && i < bt->nvcpus; i++) {
        Vcpu *v = &bt->vcpus[i];

        if (v->waits && v->addr - addr < size) {
            end_stall(v, now_us);
            v->waits = false;
            bt->waiting--;
            woken++;
        }
    }
    return woken;
}

unsigned hybrid_blocktime_vcpus(const HybridBlocktime *bt)
{
    return bt->nvcpus;
}

uint64_t hybrid_blocktime_vcpu_us(const HybridBlocktime *bt, unsigned vcpu)
{
    return vcpu < bt->nvcpus ? bt->vcpus[vcpu].blocked_us : 0;
}
