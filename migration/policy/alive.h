/*
 * Hybrid live migration: is the peer still there?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Nothing tells a side that its peer was stopped, or that what it sends is
 * swallowed on the way; TCP takes hours, and a relay answers for both.  With
 * hybrid-peer-timeout each side says so much in each direction that a third
 * of the timeout never passes in silence, and gives up when it hears nothing
 * for all of it.  Whatever arrives is a sign of life, also what this side has
 * not come to read: that is not the peer's fault.
 *
 * Times are looked at every now and then.  What lies between two looks counts
 * up to twice the step between them only: a process that was stopped itself,
 * or did not get to run, has heard nothing and knows nothing.
 */

#ifndef QEMU_MIGRATION_HYBRID_ALIVE_H
#define QEMU_MIGRATION_HYBRID_ALIVE_H

#include "../osdep.h"

/*
 * How often to look, in milliseconds; timeouts in ms, 0: off.  Chosen: no more
 * than 200 wake-ups a second, and soon enough after a change of the parameter.
 */
#define HYBRID_ALIVE_STEP_MIN 5
#define HYBRID_ALIVE_STEP_MAX 100
/* With both off: how soon it is noticed that one of them was set */
#define HYBRID_ALIVE_STEP_OFF 1000
uint32_t hybrid_alive_step_ms(uint32_t own_ms, uint32_t peer_ms);

/* One direction: for how long has nothing moved? */
typedef struct HybridSilence {
    bool known;
    uint64_t bytes;
    int64_t looked_us;
    int64_t silent_us;
} HybridSilence;

/* A new connection, or nothing is expected */
void hybrid_silence_reset(HybridSilence *s);

/*
 * @bytes: moved so far, any count that changes when something does.  @unread:
 * more has arrived.  Returns the time of silence in microseconds.
 */
int64_t hybrid_silence_look(HybridSilence *s, int64_t now_us, int64_t step_us,
                            uint64_t bytes, bool unread);

/* Nothing was said for @silent_us: is it time, for a peer with @peer_ms? */
bool hybrid_alive_due(int64_t silent_us, uint32_t peer_ms);

/* Nothing was heard for @silent_us: is that too long? */
bool hybrid_alive_lost(int64_t silent_us, uint32_t own_ms);

/*
 * The channel of requested pages has nothing to carry but these, so its
 * silence means something only while one of them is waited for.  One request
 * is watched until its page is there, then the next.
 */
typedef struct HybridAsk {
    uint64_t page;              /* address of the page; 0: none */
    uint64_t main_bytes;        /* of the main channel, when it was asked */
    HybridSilence silence;      /* of the channel since then */
} HybridAsk;

/*
 * Which request to watch: the one that is watched (@ask), if it is among
 * @pages, which are sorted, else the next behind it.  0: there is none.
 */
uint64_t hybrid_ask_choose(const HybridAsk *ask, const uint64_t *pages,
                           size_t n);

/*
 * How many times as long the answer may take: a page that the main channel
 * was about to send when it was asked for comes there, and takes its time if
 * it is a huge one.  Chosen.
 */
#define HYBRID_ASK_HUGE 4

/*
 * @page of @page_size bytes is missing; @bytes and @main_bytes have come by
 * its channel and by the main channel.  Returns the time in microseconds for
 * which it has been waited for in vain.
 */
int64_t hybrid_ask_look(HybridAsk *ask, int64_t now_us, int64_t step_us,
                        uint64_t page, uint64_t page_size, uint64_t bytes,
                        bool unread, uint64_t main_bytes);

#endif
