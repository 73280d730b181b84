/*
 * Hybrid live migration: when to look at the dirty log.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../osdep.h"
#include "page-bitmap.h"
#include "sampler.h"

/*
 * The planes reach back over a good part of the time that rounds have run,
 * but no more than about two seconds (four planes), if the log can be cleared
 * so often.  Chosen.
 */
#define HEAT_MIN_US 20000
#define HEAT_MAX_US 500000

void hybrid_sampler_start(HybridSampler *s, int64_t now_us)
{
    *s = (HybridSampler) {
        .start_us = now_us,
        .interval_us = HYBRID_SAMPLER_MIN_US,
        .next_us = now_us + HYBRID_SAMPLER_FIRST_US,
        .heat_us = now_us + HEAT_MIN_US,
    };
}

/* What all looks may have taken by now */
static int64_t sampler_may_us(const HybridSampler *s, int64_t now_us)
{
    return (now_us - s->start_us) * HYBRID_SAMPLER_DUTY / 100;
}

static int64_t sampler_guest_us(uint64_t pages)
{
    return pages * HYBRID_SAMPLER_PAGE_NS / 1000;
}

bool hybrid_sampler_due(const HybridSampler *s, int64_t now_us)
{
    int64_t may_us = sampler_may_us(s, now_us);
    int64_t looks_us = s->looks_us + s->look_us;

    return now_us >= s->next_us && looks_us <= may_us / 2 &&
           looks_us + s->guest_us <= may_us;
}

bool hybrid_sampler_may_clear(const HybridSampler *s, int64_t now_us,
                              int64_t cost_us, uint64_t pages)
{
    /* To clear it takes about as long again as to read it */
    return s->looks_us + 2 * cost_us + s->guest_us +
           sampler_guest_us(pages) <= sampler_may_us(s, now_us);
}

void hybrid_sampler_done(HybridSampler *s, int64_t now_us,
                         const HybridLook *look)
{
    /* In a log that was not cleared what is new is less of all; chosen */
    unsigned share = look->cleared ? 4 : 16;

    s->look_us = look->cost_us;
    s->looks_us += look->cost_us;
    if (look->cleared && !look->round_end) {
        s->guest_us += sampler_guest_us(look->fresh);
    }

    /* What is known by now need not be found again soon */
    if (look->known * share >= look->fresh * (share - 1)) {
        s->interval_us = MIN(s->interval_us * 2, HYBRID_SAMPLER_MAX_US);
    } else {
        s->interval_us = MAX(s->interval_us / 2, HYBRID_SAMPLER_MIN_US);
    }
    s->next_us = now_us + s->interval_us;
}

bool hybrid_sampler_next_heat(HybridSampler *s, int64_t now_us)
{
    if (now_us < s->heat_us) {
        return false;
    }
    s->heat_us = now_us + CLAMP((now_us - s->start_us) / HYBRID_HEAT_SAMPLES,
                                HEAT_MIN_US, HEAT_MAX_US);
    return true;
}
