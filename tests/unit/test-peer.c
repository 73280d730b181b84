/*
 * Bulk behind relays: a simulated line whose reader says what it has read, and
 * threads that wake as late as told.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "policy/flow.h"

#define PAGE 4096ull
#define HISTORY 200000

/*
 * Takes whatever is sent at once, delivers @rate bytes/s after @way_us, and a
 * reader that looks each @reader_us says what it has read, heard after @way_us
 */
typedef struct Line {
    double rate;
    int64_t way_us;
    int64_t reader_us;
    int64_t now_us;
    double sent, crossed;
    double history[HISTORY];    /* crossed at each us, modulo */
    HybridReader reader;
    uint64_t heard[HISTORY];    /* what is heard at each us; 0: nothing new */
    uint32_t heard_step[HISTORY];
    uint64_t known, step;
    double idle_us;
    double worst_us;            /* the longest that a page waited in front */
} Line;

static Line *line_new(double rate, int64_t way_us, int64_t reader_us)
{
    Line *l = g_new0(Line, 1);

    l->rate = rate;
    l->way_us = way_us;
    l->reader_us = reader_us;
    hybrid_reader_init(&l->reader, PAGE);
    l->step = l->reader.step;
    return l;
}

static void line_run_us(Line *l)
{
    double can = l->rate / 1e6;
    int64_t at;

    l->now_us++;
    if (l->crossed + can > l->sent) {
        l->idle_us += can ? 1 - (l->sent - l->crossed) / can : 0;
        l->crossed = l->sent;
    } else {
        l->crossed += can;
    }
    l->history[l->now_us % HISTORY] = l->crossed;
    if (l->now_us > l->way_us && l->now_us % l->reader_us == 0) {
        uint64_t read = l->history[(l->now_us - l->way_us) % HISTORY];

        if (hybrid_reader_due(&l->reader, read, read / PAGE)) {
            hybrid_reader_say(&l->reader, l->now_us, read, read / PAGE, PAGE);
            at = (l->now_us + l->way_us) % HISTORY;
            l->heard[at] = read;
            l->heard_step[at] = l->reader.step;
        }
    }
    at = l->now_us % HISTORY;
    if (l->heard[at]) {
        l->known = l->heard[at];
        l->step = l->heard_step[at];
        l->heard[at] = 0;
    }
}

/* Push for @us; the sender looks when it hears something, and each 10 ms */
static void push(Line *l, HybridPeer *p, int64_t us)
{
    int64_t end_us = l->now_us + us;

    while (l->now_us < end_us) {
        uint64_t known, budget;

        hybrid_peer_sample(p, l->now_us, l->sent, l->known);
        budget = hybrid_peer_budget(p, l->step);
        if (budget) {
            l->sent += MAX(budget / PAGE, 1) * PAGE;
            l->worst_us = MAX(l->worst_us,
                              (l->sent - l->crossed) * 1e6 / l->rate);
            line_run_us(l);
            continue;
        }
        known = l->known;
        for (int i = 0; i < 10000 && known == l->known; i++) {
            line_run_us(l);
        }
    }
}

/*
 * After three seconds to learn: two seconds lose less than @loss_percent of
 * the line, and no page waits longer than @wait_us in front of it
 */
static void check(double mbit, int64_t way_us, int64_t reader_us, double seed,
                  double loss_percent, double wait_us)
{
    g_autofree Line *l = line_new(mbit * 1e6 / 8, way_us, reader_us);
    HybridPeer p;

    hybrid_peer_init(&p, PAGE, seed * l->rate, seed ? 2 * way_us : -1);
    push(l, &p, 3000000);
    l->idle_us = l->worst_us = 0;
    push(l, &p, 2000000);
    g_test_message("%.0f Mbit/s, way %" PRId64 " us, reader %" PRId64 " us, "
                   "seed %.1f: idle %.1f %%, wait %.0f us, slack %" PRIu64,
                   mbit, way_us, reader_us, seed, l->idle_us / 2e4,
                   l->worst_us, p.slack_us);
    g_assert_cmpfloat(l->idle_us / 2e4, <, loss_percent);
    g_assert_cmpfloat(l->worst_us, <, wait_us);
}

static void test_relay(void)
{
    check(200, 200, 50, 1, 1, 25000);
    check(1000, 100, 50, 1, 1, 20000);
    check(10000, 100, 50, 1, 1, 20000);
    check(20, 500, 50, 1, 3, 60000);
    check(200, 20000, 100, 1, 2, 120000);
}

/* What was told at first is corrected by what is measured */
static void test_seed(void)
{
    check(200, 200, 50, 0, 1, 25000);
    check(200, 200, 50, 0.1, 1, 25000);
    check(200, 200, 50, 10, 1, 25000);
    check(1000, 20000, 50, 0, 2, 120000);
}

/* Threads that wake late: the slack grows until the line has enough to do */
static void test_late(void)
{
    check(1000, 100, 10000, 1, 10, 60000);
    check(1000, 100, 30000, 1, 40, 200000);
    check(200, 100, 30000, 0, 40, 200000);
}

/* And shrinks again when they do not any more */
static void test_late_no_more(void)
{
    g_autofree Line *l = line_new(125e6, 100, 40000);
    HybridPeer p;

    hybrid_peer_init(&p, PAGE, l->rate, 200);
    push(l, &p, 4000000);
    g_assert_cmpuint(p.slack_us, >, HYBRID_PEER_SLACK_MIN_US);
    l->reader_us = 50;
    push(l, &p, 12000000);
    g_assert_cmpuint(p.slack_us, ==, HYBRID_PEER_SLACK_MIN_US);
    l->worst_us = l->idle_us = 0;
    push(l, &p, 1000000);
    g_assert_cmpfloat(l->worst_us, <, 20000);
    g_assert_cmpfloat(l->idle_us, <, 10000);
}

/* The line becomes slower, and faster: the limit follows */
static void test_changes(void)
{
    g_autofree Line *l = line_new(125e6, 200, 50);
    HybridPeer p;

    hybrid_peer_init(&p, PAGE, l->rate, 400);
    push(l, &p, 1000000);
    l->rate /= 10;
    push(l, &p, 2000000);
    l->worst_us = 0;
    push(l, &p, 500000);
    g_assert_cmpfloat(l->worst_us, <, 40000);
    l->rate *= 10;
    push(l, &p, 3000000);
    l->idle_us = 0;
    push(l, &p, 1000000);
    g_assert_cmpfloat(l->idle_us, <, 20000);
}

/* Nothing is read any more: bounded, and it goes on where it stood */
static void test_stuck(void)
{
    g_autofree Line *l = line_new(25e6, 200, 50);
    double before;
    HybridPeer p;

    hybrid_peer_init(&p, PAGE, l->rate, 400);
    push(l, &p, 1000000);
    before = l->crossed;
    l->rate = 0;
    push(l, &p, 2000000);
    g_assert_cmpfloat(l->sent - before, <=,
                      hybrid_peer_limit(&p) + l->step + 1e6);
    l->rate = 25e6;
    push(l, &p, 2000000);
    g_assert_cmpfloat(l->crossed - before, >, 0.9 * 2 * l->rate);
}

/* With little to send it is never in the way, and knows the line as before */
static void test_idle(void)
{
    g_autofree Line *l = line_new(125e6, 200, 50);
    uint64_t bandwidth;
    HybridPeer p;

    hybrid_peer_init(&p, PAGE, l->rate, 400);
    push(l, &p, 500000);
    bandwidth = p.bandwidth;
    for (int i = 0; i < 1000; i++) {
        for (int us = 0; us < 5000; us++) {
            line_run_us(l);
        }
        hybrid_peer_sample(&p, l->now_us, l->sent, l->known);
        g_assert_cmpuint(hybrid_peer_budget(&p, l->step), >, 0);
        l->sent += PAGE;
    }
    g_assert_cmpuint(p.bandwidth, >=, bandwidth);
}

/* Whatever the peer says: no budget above limit and step, none ever lost */
static void test_random(void)
{
    for (int run = 0; run < 200; run++) {
        uint64_t sent = 0, step;
        int64_t now_us = 0;
        HybridPeer p;

        hybrid_peer_init(&p, PAGE, g_test_rand_bit() ? 0 :
                         g_test_rand_int_range(1, INT32_MAX) * 100ull,
                         g_test_rand_int_range(-1, 100000));
        for (int i = 0; i < 1000; i++) {
            uint64_t budget;

            uint64_t behind = g_test_rand_int_range(0, 1 << 24);

            now_us += g_test_rand_int_range(0, 20000);
            step = g_test_rand_int_range(0, HYBRID_READER_STEP_MAX);
            hybrid_peer_sample(&p, now_us, sent,
                               g_test_rand_int_range(0, 10) ?
                               sent - MIN(sent, behind)
                               : (uint64_t)g_test_rand_int() << 32);
            g_assert_cmpuint(p.read, <=, p.sent);
            budget = hybrid_peer_budget(&p, step);
            g_assert_cmpuint(budget, <=, hybrid_peer_limit(&p) + step);
            g_assert_cmpuint(p.slack_us, >=, HYBRID_PEER_SLACK_MIN_US);
            g_assert_cmpuint(p.slack_us, <=, HYBRID_PEER_SLACK_MAX_US);
            sent += budget / PAGE * PAGE;
            /* Read but for a step: room, or nobody would ever wake it */
            hybrid_peer_sample(&p, now_us, sent, sent - MIN(sent, step));
            g_assert_cmpuint(hybrid_peer_budget(&p, step), >, 0);
        }
    }
}

/* The reader speaks each 2 ms of what comes, 4 pages at least */
static void test_reader(void)
{
    HybridReader r;
    uint64_t read = 0;
    unsigned said = 0;

    hybrid_reader_init(&r, PAGE);
    g_assert_cmpuint(r.step, ==, 4 * PAGE);
    g_assert_false(hybrid_reader_due(&r, 4 * PAGE - 1, 3));
    g_assert_true(hybrid_reader_due(&r, 4 * PAGE, 3));
    g_assert_true(hybrid_reader_due(&r, 200, 4));
    for (int64_t us = 0; us < 1000000; us += 50) {
        read += 125 * 50;       /* 1 Gbit/s */
        if (hybrid_reader_due(&r, read, read / PAGE)) {
            hybrid_reader_say(&r, us, read, read / PAGE, PAGE);
            said++;
        }
    }
    g_assert_cmpuint(said, >=, 450);
    g_assert_cmpuint(said, <=, 560);
    g_assert_cmpuint(r.step, >, 200000);
    g_assert_cmpuint(r.step_pages, >, 200000 / PAGE - 2);
    /* After a pause it begins to speak more often again */
    for (int i = 0; i < 10; i++) {
        read += r.step;
        hybrid_reader_say(&r, 2000000 + i * 1000000, read, read / PAGE, PAGE);
    }
    g_assert_cmpuint(r.step, ==, 4 * PAGE);
    g_assert_cmpuint(r.step_pages, ==, 4);
}

/* Marks never say that less has been read than has, and soon not much more */
static void test_marks(void)
{
    for (int run = 0; run < 50; run++) {
        g_autofree HybridMarks *m = g_new0(HybridMarks, 1);
        g_autofree uint64_t *ends = g_new0(uint64_t, 40001);
        uint64_t bytes = 0, read = 0, said, below = 0;
        unsigned apart = g_test_rand_int_range(1, 40);
        unsigned behind = g_test_rand_int_range(1, 30000);

        for (uint64_t page = 1; page <= 40000; page++) {
            bytes += g_test_rand_int_range(0, 3) ? 60 : PAGE + 8;
            ends[page] = bytes;
            if (page % apart == 0 || page == 40000) {
                hybrid_marks_put(m, bytes, page);
                hybrid_marks_put(m, bytes, page);
            }
            if (page % apart || page < behind) {
                continue;
            }
            read = MAX(read, ends[page - behind + 1] -
                             g_test_rand_int_range(0, 60));
            said = hybrid_marks_read(m, read);
            while (below < page && ends[below + 1] <= read) {
                below++;
            }
            g_assert_cmpuint(said, >=, below);
            if (behind / apart < HYBRID_MARKS) {
                g_assert_cmpuint(said, <=, below + apart);
            }
        }
        g_assert_cmpuint(hybrid_marks_read(m, bytes), ==, 40000);
    }
}

/*
 * Differences: a reader that has a page each @cost_us, however few bytes it is,
 * and is heard after @way_us.  A source that had to wait looks again when it
 * hears something, but @late_us later.  How long is all in front of the reader,
 * at most, and is it idle for less than @idle_percent?
 */
static void differences(unsigned cost_us, int64_t way_us, int64_t late_us,
                        double wait_us, double idle_percent)
{
    enum { PAGES = 15000, BYTES = 60 };
    g_autofree HybridMarks *marks = g_new0(HybridMarks, 1);
    g_autoptr(GArray) said = g_array_new(false, false, sizeof(HybridMark));
    uint64_t sent = 0, come = 0, read = 0, known = 0, worst = 0;
    uint64_t step = HYBRID_READER_STEP_PAGES;
    int64_t now_us = 0, busy_us = 0, idle_us = 0, look_us = 0;
    guint heard = 0;
    HybridReader r;
    HybridPeer p;

    hybrid_reader_init(&r, PAGE);
    hybrid_peer_init(&p, PAGE, HYBRID_PEER_PAGES_PER_S * PAGE, 2 * way_us);
    p.least = HYBRID_PEER_PAGES_PER_S * PAGE;
    while (read < PAGES) {
        uint64_t room;

        now_us++;
        while (heard < said->len &&
               g_array_index(said, HybridMark, heard).bytes + way_us <=
               (uint64_t)now_us) {
            known = g_array_index(said, HybridMark, heard).pages >> 16;
            step = g_array_index(said, HybridMark, heard++).pages & 0xffff;
        }
        room = 0;
        if (now_us >= look_us) {
            hybrid_marks_put(marks, sent * BYTES, sent);
            hybrid_peer_sample(&p, now_us, sent * PAGE,
                               hybrid_marks_read(marks, known * BYTES) * PAGE);
            room = hybrid_peer_budget(&p, step * PAGE) / PAGE;
            look_us = room ? 0 : now_us + late_us;
        }
        /* The source takes its time, too: 2 us */
        sent += room && sent < PAGES && now_us % 2;
        come = MIN(sent, come + (now_us > way_us));
        worst = MAX(worst, come - read);
        if (come == read) {
            idle_us += sent < PAGES;
        } else if (++busy_us % cost_us == 0) {
            read++;
        }
        if (hybrid_reader_due(&r, read * BYTES, read)) {
            HybridMark m = { now_us };

            hybrid_reader_say(&r, now_us, read * BYTES, read, PAGE);
            m.pages = read << 16 | r.step_pages;
            g_array_append_val(said, m);
        }
    }
    g_test_message("%u us a page, way %" PRId64 " us, late %" PRId64 " us: "
                   "%.1f ms, idle %.1f, wait %.1f", cost_us, way_us, late_us,
                   now_us / 1e3, idle_us / 1e3, worst * cost_us / 1e3);
    g_assert_cmpfloat(worst * cost_us, <, wait_us);
    g_assert_cmpfloat(idle_us, <, idle_percent / 100 * now_us + 12 * way_us);
}

static void test_differences(void)
{
    differences(5, 100, 1, 25000, 10);
    differences(10, 100, 1, 25000, 10);
    differences(20, 100, 1, 25000, 10);
    differences(50, 100, 1, 40000, 10);
    differences(100, 100, 1, 80000, 10);
    differences(10, 20000, 1, 200000, 10);
    differences(20, 100, 10000, 50000, 10);
    differences(20, 100, 30000, 120000, 30);
    differences(20, 20000, 30000, 200000, 60);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/peer/relay", test_relay);
    g_test_add_func("/peer/seed", test_seed);
    g_test_add_func("/peer/late", test_late);
    g_test_add_func("/peer/late-no-more", test_late_no_more);
    g_test_add_func("/peer/changes", test_changes);
    g_test_add_func("/peer/stuck", test_stuck);
    g_test_add_func("/peer/idle", test_idle);
    g_test_add_func("/peer/random", test_random);
    g_test_add_func("/peer/reader", test_reader);
    g_test_add_func("/peer/marks", test_marks);
    g_test_add_func("/peer/differences", test_differences);
    return g_test_run();
}
