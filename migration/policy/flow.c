/*
 * Hybrid live migration: how much bulk may be in flight after the switch.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../osdep.h"
#include "flow.h"

#define SECOND_US 1000000ull

/* Where it is not said that it was measured, a number is chosen. */

/* A window is long enough to even out bursts, and a round trip at least */
#define WINDOW_US 20000

/* The time in which the link may stand still for at most that part */
#define LOSS_US 50000
#define LOSS_PART 100

/*
 * The most that the cushion may delay a page by, beyond the least cushion.
 * Measured on a host with a load of 15 on two cores: with 2 ms the push of 160
 * MiB over 200 Mbit/s took 3 to 12 % longer.
 */
#define MAX_DELAY_US 4000

/* What the receive window holds beyond the round trips: late threads, too */
#define WINDOW_SLACK_US 4000

/* A shorter sleep is not worth the call, a longer one may miss a change */
#define MIN_WAIT_US 20
#define MAX_WAIT_US 10000

/* A receive window below this costs throughput whatever the round trip */
#define LEAST_WINDOW (128 * 1024)

/*
 * With nothing known, as much as a LAN may need (2 ms at 1 Gbit/s): a start,
 * not for long
 */
#define UNKNOWN_LIMIT (256 * 1024)

void hybrid_flow_init(HybridFlow *f, uint64_t page_size, uint64_t bandwidth)
{
    *f = (HybridFlow) {
        .page_size = page_size,
        .bandwidth = bandwidth,
        .cushion = HYBRID_FLOW_START_PAGES * page_size,
        .rates = { bandwidth },
        .next_rate = 1,
        .window_us = -1,
        .last_us = -1,
    };
}

static uint64_t flow_bytes_in(const HybridFlow *f, uint64_t us)
{
    return (double)f->bandwidth * us / SECOND_US;
}

/* What a round trip without queues takes to keep the link busy */
static uint64_t flow_needed(const HybridFlow *f)
{
    return flow_bytes_in(f, f->rtt_us);
}

static void flow_end_window(HybridFlow *f, int64_t now_us, uint64_t delivered)
{
    uint64_t elapsed_us = now_us - f->window_us;
    uint64_t bytes = delivered - MIN(delivered, f->window_delivered);
    uint64_t rate = (double)bytes * SECOND_US / elapsed_us;

    /* A rate that the sender was the cause of is no news of the link */
    if (!f->window_starved || rate > f->bandwidth) {
        f->rates[f->next_rate] = rate;
        f->next_rate = (f->next_rate + 1) % HYBRID_FLOW_WINDOWS;
        f->bandwidth = 0;
        for (unsigned i = 0; i < HYBRID_FLOW_WINDOWS; i++) {
            f->bandwidth = MAX(f->bandwidth, f->rates[i]);
        }
    }
    f->window_us = now_us;
    f->window_delivered = delivered;
    f->window_starved = false;
}

/*
 * The sender comes back from a wait: has the link had nothing to do?  Its
 * acknowledgements still come for a round trip, which shows how long a short
 * break was; a long one shows in what was delivered since the last sample.
 */
static void flow_count_loss(HybridFlow *f, int64_t now_us, uint64_t delivered,
                            uint64_t queued)
{
    uint64_t needed = flow_needed(f);
    double us_per_byte = SECOND_US / (double)MAX(f->bandwidth, 1);
    double busy_us, break_us;

    if (queued && queued >= needed) {
        return;
    }
    f->window_starved = true;
    busy_us = (delivered - MIN(delivered, f->last_delivered)) * us_per_byte;
    break_us = (needed - queued) * us_per_byte;
    f->lost_us += MAX(now_us - f->last_us - busy_us, break_us);
}

static void flow_adapt_cushion(HybridFlow *f, int64_t now_us)
{
    uint64_t least = MAX(HYBRID_FLOW_MIN_PAGES * f->page_size,
                         flow_needed(f) / HYBRID_FLOW_MIN_PART);
    uint64_t most = MAX(least, flow_bytes_in(f, MAX_DELAY_US));
    double allowed_us = (double)(now_us - f->loss_us) / LOSS_PART;

    if (f->lost_us > allowed_us) {
        f->cushion += f->cushion / 2;
    } else if (f->lost_us < allowed_us / 2) {
        f->cushion -= f->cushion / 8;
    }
    f->cushion = MIN(MAX(f->cushion, least), most);
    f->loss_us = now_us;
    f->lost_us = 0;
}

void hybrid_flow_sample(HybridFlow *f, int64_t now_us, uint64_t delivered,
                        uint64_t queued, uint64_t rtt_us)
{
    f->rtt_us = rtt_us;
    if (f->last_us < 0) {
        f->loss_us = now_us;
    } else if (f->waiting) {
        flow_count_loss(f, now_us, delivered, queued);
    } else if (!queued) {
        f->window_starved = true;
    }
    f->waiting = false;
    f->last_us = now_us;
    f->last_delivered = delivered;
    if (now_us - f->loss_us >= LOSS_US) {
        flow_adapt_cushion(f, now_us);
    }
    if (f->window_us < 0 || delivered < f->window_delivered) {
        f->window_us = now_us;
        f->window_delivered = delivered;
    } else if (now_us - f->window_us >=
               MAX(WINDOW_US, (int64_t)rtt_us)) {
        flow_end_window(f, now_us, delivered);
    }
}

uint64_t hybrid_flow_limit(const HybridFlow *f)
{
    if (!f->bandwidth) {
        return MAX(UNKNOWN_LIMIT, f->cushion);
    }
    return flow_needed(f) + f->cushion;
}

/* In flight at most this much when more is handed over */
static uint64_t flow_low(const HybridFlow *f)
{
    return hybrid_flow_limit(f) - MAX(f->cushion / 2, f->page_size);
}

uint64_t hybrid_flow_budget(HybridFlow *f, uint64_t queued)
{
    if (queued <= flow_low(f)) {
        return hybrid_flow_limit(f) - queued;
    }
    f->waiting = true;
    return 0;
}

int64_t hybrid_flow_wait_us(const HybridFlow *f, uint64_t queued)
{
    uint64_t low = flow_low(f);
    double us;

    if (queued <= low) {
        return MIN_WAIT_US;
    }
    if (!f->bandwidth) {
        return MAX_WAIT_US / 10;
    }
    us = (double)(queued - low) * SECOND_US / f->bandwidth;
    return MIN(MAX(us, MIN_WAIT_US), MAX_WAIT_US);
}

/* ---- behind relays ---- */

/*
 * Chosen.  How long a trial of more or less slack takes, in round trips at
 * least
 */
#define TRIAL_US 200000
#define TRIAL_ROUND_TRIPS 4
/* As it is for so many trials' time, then more or less is tried */
#define TRIALS_APART 4

/* Clearly more, not clearly less: of the rate as it is */
#define CLEARLY_MORE 1.2
#define CLEARLY_LESS 0.9

/* The reader's step, see HYBRID_READER_STEP_MAX */
#define STEP_US 2000

void hybrid_peer_init(HybridPeer *p, uint64_t page_size, uint64_t bandwidth,
                      int64_t rtt_us)
{
    *p = (HybridPeer) {
        .page_size = page_size,
        .bandwidth = bandwidth,
        .rates = { bandwidth },
        .next_rate = 1,
        .window_us = -1,
        .rtt_us = rtt_us,
        .mark_us = -1,
        .slack_us = HYBRID_PEER_SLACK_MIN_US,
        .trial_us = -1,
    };
}

static uint64_t peer_slack_us(const HybridPeer *p)
{
    switch (p->trial) {
    case HYBRID_PEER_MORE:
        return p->slack_us * 2;
    case HYBRID_PEER_LESS:
        return p->slack_us / 2;
    default:
        return p->slack_us;
    }
}

uint64_t hybrid_peer_limit(const HybridPeer *p)
{
    uint64_t pages = HYBRID_FLOW_MIN_PAGES * p->page_size;
    double slack = (double)MAX(p->bandwidth, p->least) * peer_slack_us(p);
    uint64_t limit = ((double)p->bandwidth * 2 * MAX(p->rtt_us, 0) + slack) /
                     SECOND_US + pages;

    if (p->rtt_us < 0) {
        /* It is measured on what is sent now: little, or it waits for itself */
        return HYBRID_FLOW_START_PAGES * p->page_size;
    }
    return p->bandwidth ? limit : MAX(UNKNOWN_LIMIT, limit);
}

static void peer_end_window(HybridPeer *p, int64_t now_us)
{
    uint64_t rate = (double)(p->read - p->window_read) * SECOND_US /
                    (now_us - p->window_us);

    /* What the sender could not fill is no news, unless it is good news */
    if (p->held || rate > p->bandwidth) {
        p->rates[p->next_rate] = rate;
        p->next_rate = (p->next_rate + 1) % HYBRID_FLOW_WINDOWS;
        p->bandwidth = 0;
        for (unsigned i = 0; i < HYBRID_FLOW_WINDOWS; i++) {
            p->bandwidth = MAX(p->bandwidth, p->rates[i]);
        }
    }
    if (!p->held) {
        p->trial = HYBRID_PEER_AS_IS;   /* it says nothing about the slack */
        p->trial_us = -1;
    }
    p->window_us = now_us;
    p->window_read = p->read;
    p->held = p->grew = false;
}

static void peer_end_trial(HybridPeer *p, double rate)
{
    switch (p->trial) {
    case HYBRID_PEER_AS_IS:
        p->as_is = rate;
        if (p->less_next && p->slack_us > HYBRID_PEER_SLACK_MIN_US) {
            p->trial = HYBRID_PEER_LESS;
        } else if (p->slack_us < HYBRID_PEER_SLACK_MAX_US) {
            p->trial = HYBRID_PEER_MORE;
        }
        p->less_next = !p->less_next;
        break;
    case HYBRID_PEER_MORE:
        if (rate > p->as_is * CLEARLY_MORE) {
            p->slack_us *= 2;
            p->less_next = false;
        }
        p->trial = HYBRID_PEER_AS_IS;
        break;
    case HYBRID_PEER_LESS:
        if (rate > p->as_is * CLEARLY_LESS) {
            p->slack_us /= 2;
        }
        p->trial = HYBRID_PEER_AS_IS;
        break;
    }
}

static void peer_try(HybridPeer *p, int64_t now_us)
{
    int64_t took_us = MAX(TRIAL_US, TRIAL_ROUND_TRIPS * p->rtt_us);

    /* With slack to give back, or found to be short, there is no hurry */
    if (p->trial == HYBRID_PEER_AS_IS && p->as_is) {
        took_us *= TRIALS_APART;
    }
    if (p->trial_us < 0) {
        p->trial_us = now_us;
        p->trial_read = p->read;
    } else if (now_us - p->trial_us >= took_us) {
        peer_end_trial(p, (double)(p->read - p->trial_read) * SECOND_US /
                          (now_us - p->trial_us));
        p->trial_us = now_us;
        p->trial_read = p->read;
    }
}

void hybrid_peer_sample(HybridPeer *p, int64_t now_us, uint64_t sent,
                        uint64_t read)
{
    p->sent = sent;
    p->read = MAX(p->read, MIN(read, sent));
    if (p->mark_us >= 0 && p->read >= p->mark) {
        p->rtt_us = p->rtt_us < 0 ? now_us - p->mark_us
                                  : MIN(p->rtt_us, now_us - p->mark_us);
        p->mark_us = -1;
    }
    if (p->mark_us < 0 && p->sent > p->read) {
        p->mark_us = now_us;
        p->mark = sent;
    }
    p->back = p->waiting;
    p->held |= p->waiting;
    p->waiting = false;
    if (p->window_us < 0) {
        p->window_us = now_us;
        p->window_read = p->read;
    } else if (now_us - p->window_us >= MAX(WINDOW_US, p->rtt_us)) {
        peer_end_window(p, now_us);
        peer_try(p, now_us);
    }
}

uint64_t hybrid_peer_budget(HybridPeer *p, uint64_t step)
{
    uint64_t unread = p->sent - p->read;
    uint64_t limit;

    if (p->least && p->back && unread <= step && !p->grew) {
        /* It had nothing left when we came: plainly too little, no trial */
        p->slack_us = MIN(p->slack_us * 2, HYBRID_PEER_SLACK_MAX_US);
        p->grew = true;
    }
    limit = hybrid_peer_limit(p) + step;
    if (unread + p->page_size <= limit) {
        return limit - unread;
    }
    p->waiting = true;
    return 0;
}

void hybrid_marks_put(HybridMarks *m, uint64_t bytes, uint64_t pages)
{
    unsigned next = (m->first + m->count) % HYBRID_MARKS;
    HybridMark *last = &m->mark[(next + HYBRID_MARKS - 1) % HYBRID_MARKS];

    if (m->count && (m->count == HYBRID_MARKS || last->pages == pages)) {
        *last = (HybridMark) { bytes, pages };
    } else {
        m->mark[next] = (HybridMark) { bytes, pages };
        m->count++;
    }
}

uint64_t hybrid_marks_read(HybridMarks *m, uint64_t bytes)
{
    while (m->count && m->mark[m->first].bytes <= bytes) {
        m->read = m->mark[m->first];
        m->first = (m->first + 1) % HYBRID_MARKS;
        m->count--;
    }
    return m->count && bytes > m->read.bytes ? m->mark[m->first].pages
                                             : m->read.pages;
}

void hybrid_reader_init(HybridReader *r, uint64_t page_size)
{
    *r = (HybridReader) {
        .step = HYBRID_READER_STEP_PAGES * page_size,
        .step_pages = HYBRID_READER_STEP_PAGES,
    };
}

/* What comes in a step's time, when it was @amount in @elapsed_us */
static uint64_t reader_step(uint64_t amount, int64_t elapsed_us, uint64_t last,
                            uint64_t least, uint64_t most)
{
    uint64_t step = (double)amount * STEP_US / MAX(elapsed_us, 1);

    /* At most half or twice the last one: a burst is no rate */
    step = MIN(MAX(step, last / 2), last * 2);
    return MIN(MAX(step, least), most);
}

void hybrid_reader_say(HybridReader *r, int64_t now_us, uint64_t read,
                       uint64_t pages, uint64_t page_size)
{
    int64_t elapsed_us = now_us - r->said_us;

    r->step = reader_step(read - r->said, elapsed_us, r->step,
                          HYBRID_READER_STEP_PAGES * page_size,
                          HYBRID_READER_STEP_MAX);
    r->step_pages = reader_step(pages - r->said_pages, elapsed_us,
                                r->step_pages, HYBRID_READER_STEP_PAGES,
                                HYBRID_READER_STEP_MAX / page_size);
    r->said = read;
    r->said_pages = pages;
    r->said_us = now_us;
}

bool hybrid_window_due(const HybridWindow *w, int64_t now_us)
{
    return !w->begin_us || now_us - w->begin_us >= WINDOW_US;
}

uint32_t hybrid_window_update(HybridWindow *w, int64_t now_us, uint64_t bytes,
                              uint64_t rtt_us)
{
    uint64_t rate = 0, window;

    if (!hybrid_window_due(w, now_us)) {
        return 0;
    }
    if (now_us - w->begin_us > (int64_t)SECOND_US) {
        *w = (HybridWindow) {};         /* a pause: another connection */
    }
    if (w->begin_us && bytes > w->begin_bytes) {
        w->rates[w->next_rate] = (double)(bytes - w->begin_bytes) *
                                 SECOND_US / (now_us - w->begin_us);
        w->next_rate = (w->next_rate + 1) % HYBRID_FLOW_WINDOWS;
    }
    w->begin_us = now_us;
    w->begin_bytes = bytes;
    for (unsigned i = 0; i < HYBRID_FLOW_WINDOWS; i++) {
        rate = MAX(rate, w->rates[i]);
    }
    if (!rate) {
        return 0;
    }
    window = (double)rate * (2 * rtt_us + WINDOW_SLACK_US) / SECOND_US;
    return MIN(MAX(window, LEAST_WINDOW), INT32_MAX);
}
