/*
 * Hybrid live migration: how much bulk may be in flight after the switch.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A requested page waits behind all that was handed to the network before
 * it: in the socket, in the queues of the network, and on a second channel
 * still in the latter.  TCP fills them all.  To keep a link busy, though, it
 * takes only what the link carries in a round trip without queues; with more,
 * nothing arrives sooner.  So the push keeps no more than
 *
 *     bandwidth * least round trip + cushion
 *
 * in flight.  Bandwidth is the highest rate of delivery of the last windows.
 * The cushion is what the link works on while the sender sleeps.  It starts
 * at a few pages.  When the sender comes too late (less in flight than the
 * round trip needs) and the link has stood still for more than 1 % of the
 * time, it grows; when it was less than half of that, it shrinks.  So a busy
 * host, where threads wake late, gets a larger one, within limits.
 *
 * In flight is what was handed over and is not acknowledged.  Times are
 * microseconds on a clock that does not go backwards, sizes bytes.  Plain
 * data, no locks: the functions are called by one thread.
 */

#ifndef QEMU_MIGRATION_HYBRID_FLOW_H
#define QEMU_MIGRATION_HYBRID_FLOW_H

/*
 * Windows over which the highest rate is taken: a window in which the sender
 * was late shows less than the link carries.  Chosen.
 */
#define HYBRID_FLOW_WINDOWS 10

/*
 * The cushion, in pages.  Measured at 1 Gbit/s: a least cushion of 16 pages in
 * place of 8 changed neither the CPU time for a page (5.7 and 5.9 us) nor the
 * latency of faults.  What it starts with is chosen.
 */
#define HYBRID_FLOW_MIN_PAGES 8
#define HYBRID_FLOW_START_PAGES 16

/*
 * The cushion is at least this part of a round trip.  It is also how fast the
 * limit finds a link that is faster than it was thought to be.  Chosen.
 */
#define HYBRID_FLOW_MIN_PART 16

typedef struct HybridFlow {
    uint64_t page_size;
    uint64_t bandwidth;         /* bytes/s, 0: not known yet */
    uint64_t rtt_us;            /* the least round trip */
    uint64_t cushion;
    uint64_t rates[HYBRID_FLOW_WINDOWS];
    unsigned next_rate;
    int64_t window_us;          /* begin of the window, -1: none yet */
    uint64_t window_delivered;
    bool window_starved;        /* the sender was late in this window */
    bool waiting;               /* the last answer was to wait */
    int64_t last_us;            /* the last sample, -1: none yet */
    uint64_t last_delivered;
    int64_t loss_us;            /* begin of the time that loss counts in */
    double lost_us;             /* the link stood still for so long */
} HybridFlow;

/*
 * @bandwidth: from what was sent before, bytes/s, 0 if unknown; it is
 * forgotten like a measured rate.
 */
void hybrid_flow_init(HybridFlow *f, uint64_t page_size, uint64_t bandwidth);

/*
 * What the connection says now.  @delivered: acknowledged since it was made;
 * @queued: in flight; @rtt_us: its least round trip so far.
 */
void hybrid_flow_sample(HybridFlow *f, int64_t now_us, uint64_t delivered,
                        uint64_t queued, uint64_t rtt_us);

/* How much may be in flight */
uint64_t hybrid_flow_limit(const HybridFlow *f);

/*
 * How much may be handed over now, with @queued in flight.  0: wait for
 * hybrid_flow_wait_us(), take a sample and ask again.  Small amounts are
 * saved up to half a cushion, a page at least.
 */
uint64_t hybrid_flow_budget(HybridFlow *f, uint64_t queued);

/* After a budget of 0: when it will be more, 20 us to 10 ms from now */
int64_t hybrid_flow_wait_us(const HybridFlow *f, uint64_t queued);

/*
 * A relay (a tunnel, a proxy) takes what it is given and acknowledges it as a
 * peer would; what it holds then is a queue that no socket tells of.  So the
 * destination says how much of the stream QEMU has read there, and the push
 * keeps no more than
 *
 *     bandwidth * (2 * least round trip + slack) + a few pages
 *
 * of it unread, whatever lies between.  On a direct connection what the kernel
 * says keeps less in flight; this bound is wider, as an answer waits for
 * threads of both ends, and for the reader to have read a step more.
 *
 * If threads wake so late that the link runs dry, the slack is too small, and
 * the bandwidth seems to be less than it is.  That is found out by trying:
 * from time to time the slack is doubled for a while, and stays so if clearly
 * more arrives, or halved, and stays so if not clearly less does.
 *
 * The slack begins at its least, which is chosen: threads of both ends that
 * wake late, and the reader's step of 2 ms.  Measured with it, behind a relay
 * of 8 MiB in front of 200 Mbit/s, on a host with a load of 16: a fault took
 * 0.7 to 3.4 ms, without this bound 79 to 123 ms.  At most it is doubled four
 * times.
 */
#define HYBRID_PEER_SLACK_MIN_US 6000
#define HYBRID_PEER_SLACK_MAX_US 96000

typedef enum HybridPeerTrial {
    HYBRID_PEER_AS_IS,
    HYBRID_PEER_MORE,
    HYBRID_PEER_LESS,
} HybridPeerTrial;

typedef struct HybridPeer {
    uint64_t page_size;
    uint64_t bandwidth;         /* bytes/s, 0: not known yet */
    uint64_t least;             /* the slack is what that brings, or more */
    uint64_t rates[HYBRID_FLOW_WINDOWS];
    unsigned next_rate;
    uint64_t sent;              /* handed over */
    uint64_t read;              /* of that, as far as is known */
    int64_t window_us;          /* begin of the window, -1: none yet */
    uint64_t window_read;
    bool held;                  /* the sender had to wait in this window */
    bool waiting;               /* the last answer was to wait */
    bool back;                  /* the one before this sample was */
    bool grew;                  /* the slack, in this window */
    int64_t rtt_us;             /* the least round trip, -1: unknown */
    int64_t mark_us;            /* when @mark was sent, -1: none under way */
    uint64_t mark;
    uint64_t slack_us;
    HybridPeerTrial trial;
    int64_t trial_us;           /* its begin, -1: to be begun */
    uint64_t trial_read;
    double as_is;               /* rate without more or less, bytes/s */
    bool less_next;             /* after "as is" comes "less" */
} HybridPeer;

/*
 * A new connection.  @bandwidth as for hybrid_flow_init(); @rtt_us: the least
 * round trip to the peer's threads, -1 if unknown.
 */
void hybrid_peer_init(HybridPeer *p, uint64_t page_size, uint64_t bandwidth,
                      int64_t rtt_us);

/*
 * @sent: bytes of the stream that were handed over; @read: of these, what the
 * peer has said to have read; what is less than before, or more than was sent,
 * is not believed.
 */
void hybrid_peer_sample(HybridPeer *p, int64_t now_us, uint64_t sent,
                        uint64_t read);

uint64_t hybrid_peer_limit(const HybridPeer *p);

/*
 * How much may be handed over now, after a sample.  0: wait until the peer has
 * read more.  It says so when it has read at most @step more bytes.
 */
uint64_t hybrid_peer_budget(HybridPeer *p, uint64_t step);

/*
 * A page takes the reader its time also where it is a few bytes in the stream:
 * a difference, or a page of zeroes.  So the same bound is kept in pages, by a
 * second HybridPeer for which each is as long as a whole one.  It begins with
 * so many pages a second, which is 320 in flight where the round trip is short,
 * and does not fall below these: where threads wake late, they are what keeps
 * the reader busy.  And where it is found idle after a wait, the slack grows
 * without a trial.  In a simulation with threads 30 ms late 15000 pages, which
 * take the reader 300 ms, went in 350; without that in 760; without the least
 * in 5400, for less in flight is a lower rate, and that less in flight.
 * Measured on a host with a load of 13 on two cores: a difference took 17 us.
 */
#define HYBRID_PEER_PAGES_PER_S 50000

/* How many pages have been read is known from the bytes that have: by marks */
#define HYBRID_MARKS 1024
#define HYBRID_MARKS_APART 16   /* pages, at least */

typedef struct HybridMark {
    uint64_t bytes;             /* of the stream */
    uint64_t pages;             /* that lie below */
} HybridMark;

typedef struct HybridMarks {
    HybridMark mark[HYBRID_MARKS];      /* a ring */
    unsigned first, count;
    HybridMark read;            /* the last one that the reader has passed */
} HybridMarks;

/* Neither less than before.  Of too many, or equal ones, the last one moves. */
void hybrid_marks_put(HybridMarks *m, uint64_t bytes, uint64_t pages);

/*
 * How many pages lie below @bytes, which is no less than before and where a
 * mark is or was put beyond it: at least as many as do.  Too few would be in
 * flight for ever.
 */
uint64_t hybrid_marks_read(HybridMarks *m, uint64_t bytes);

/*
 * The reader: says what it has read each time that it has read a step more, in
 * bytes or in pages.  A step is what comes in two milliseconds: 4 pages at
 * least, with which it begins, and at most so many bytes, or as many whole
 * pages: what a link of 16 Gbit/s brings in these two milliseconds.
 */
#define HYBRID_READER_STEP_MAX (4u << 20)
#define HYBRID_READER_STEP_PAGES 4

typedef struct HybridReader {
    uint64_t said;              /* bytes, in the last message */
    uint64_t step;              /* when the next is due */
    uint64_t said_pages;
    uint64_t step_pages;
    int64_t said_us;
} HybridReader;

void hybrid_reader_init(HybridReader *r, uint64_t page_size);

static inline bool hybrid_reader_due(const HybridReader *r, uint64_t read,
                                     uint64_t pages)
{
    return read - r->said >= r->step || pages - r->said_pages >= r->step_pages;
}

/* It is said now that @read bytes were read, and @pages; sets the next step */
void hybrid_reader_say(HybridReader *r, int64_t now_us, uint64_t read,
                       uint64_t pages, uint64_t page_size);

/*
 * The other end: what its kernel has acknowledged and QEMU has not read yet
 * is a queue that the source does not see.  So the receive window is kept to
 * what two round trips and a few milliseconds bring at the rate at which
 * pages are placed.  If that was too little, the rate follows the window up:
 * it doubles until it is not what limits.
 */
typedef struct HybridWindow {
    uint64_t rates[HYBRID_FLOW_WINDOWS];
    unsigned next_rate;
    int64_t begin_us;           /* of what is measured now, 0: nothing yet */
    uint64_t begin_bytes;
} HybridWindow;

/* Whether hybrid_window_update() would look at what it is told */
bool hybrid_window_due(const HybridWindow *w, int64_t now_us);

/*
 * @bytes: placed so far; @rtt_us: the least round trip.  Returns the window
 * that is to be set now, 0: leave it.  At most one in 20 ms.
 */
uint32_t hybrid_window_update(HybridWindow *w, int64_t now_us, uint64_t bytes,
                              uint64_t rtt_us);

#endif
