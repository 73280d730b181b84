/*
 * Hybrid live migration: is the peer still there?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../osdep.h"
#include "alive.h"

/* Looks in the time in which something has to be said; chosen */
#define LOOKS 4
/* As large a page is sent at a stroke: that of any host without huge pages */
#define SMALL_PAGE 65536

uint32_t hybrid_alive_step_ms(uint32_t own_ms, uint32_t peer_ms)
{
    uint32_t least_ms = own_ms && peer_ms ? MIN(own_ms, peer_ms) :
                        MAX(own_ms, peer_ms);

    return least_ms ? CLAMP(least_ms / 3 / LOOKS, HYBRID_ALIVE_STEP_MIN,
                            HYBRID_ALIVE_STEP_MAX) : HYBRID_ALIVE_STEP_OFF;
}

void hybrid_silence_reset(HybridSilence *s)
{
    *s = (HybridSilence) {};
}

int64_t hybrid_silence_look(HybridSilence *s, int64_t now_us, int64_t step_us,
                            uint64_t bytes, bool unread)
{
    if (!s->known || bytes != s->bytes || unread) {
        s->silent_us = 0;
    } else {
        s->silent_us += CLAMP(now_us - s->looked_us, 0, 2 * step_us);
    }
    s->known = true;
    s->bytes = bytes;
    s->looked_us = now_us;
    return s->silent_us;
}

bool hybrid_alive_due(int64_t silent_us, uint32_t peer_ms)
{
    return peer_ms && silent_us >= peer_ms * 1000ll / 3;
}

bool hybrid_alive_lost(int64_t silent_us, uint32_t own_ms)
{
    return own_ms && silent_us >= own_ms * 1000ll;
}

uint64_t hybrid_ask_choose(const HybridAsk *ask, const uint64_t *pages,
                           size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (pages[i] >= ask->page) {
            return pages[i];
        }
    }
    return n ? pages[0] : 0;
}

int64_t hybrid_ask_look(HybridAsk *ask, int64_t now_us, int64_t step_us,
                        uint64_t page, uint64_t page_size, uint64_t bytes,
                        bool unread, uint64_t main_bytes)
{
    int64_t silent_us;

    if (page != ask->page) {
        ask->page = page;
        ask->main_bytes = main_bytes;
        hybrid_silence_reset(&ask->silence);
    }
    if (!page) {
        return 0;
    }
    silent_us = hybrid_silence_look(&ask->silence, now_us, step_us, bytes,
                                    unread);
    if (page_size > SMALL_PAGE && main_bytes - ask->main_bytes < page_size) {
        silent_us /= HYBRID_ASK_HUGE;
    }
    return silent_us;
}
