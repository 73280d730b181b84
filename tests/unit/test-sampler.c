/*
 * Unit tests of when the dirty log is sampled (policy/sampler.h).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "osdep.h"
#include "policy/sampler.h"

/*
 * A guest that writes so many pages in a millisecond: pages in turn, or any.
 * The log notes the first write to a page after it was cleared.
 */
typedef struct Writer {
    const char *name;
    uint32_t pages;
    uint32_t per_ms;
    bool random;
    int64_t read_us;            /* to read the log; to clear it as long again */
} Writer;

typedef struct WriterState {
    const Writer *writer;
    GRand *random;
    uint8_t *log;
    uint8_t *found;             /* in the log, now or before */
    uint8_t *cleared;           /* ... and then cleared */
    uint32_t next;
    uint32_t in_log;
    uint64_t again;             /* noted once more, as it had been cleared */
    int64_t looks_us;
    unsigned looks;
    unsigned clears;
} WriterState;

static void writer_runs(WriterState *w)
{
    const Writer *writer = w->writer;

    for (uint32_t n = 0; n < writer->per_ms; n++) {
        uint32_t page = writer->random ?
                        g_rand_int(w->random) % writer->pages :
                        w->next++ % writer->pages;

        if (!w->log[page]) {
            w->log[page] = 1;
            w->in_log++;
            w->again += w->cleared[page];
        }
    }
}

static void writer_is_looked_at(WriterState *w, HybridSampler *s, int64_t now)
{
    int64_t read_us = w->writer->read_us;
    HybridLook look = {
        .cleared = hybrid_sampler_may_clear(s, now, read_us, w->in_log),
        .fresh = w->in_log,
    };

    for (uint32_t page = 0; page < w->writer->pages; page++) {
        if (w->log[page]) {
            look.known += w->found[page];
            w->found[page] = 1;
            if (look.cleared) {
                w->log[page] = 0;
                w->cleared[page] = 1;
            }
        }
    }
    if (look.cleared) {
        w->in_log = 0;
        w->clears++;
    }
    w->looks++;
    look.cost_us = read_us * (1 + look.cleared);
    w->looks_us += look.cost_us;
    hybrid_sampler_done(s, now, &look);
}

/*
 * At no time has more been taken than may be, but for the first look, of which
 * it is not known what it takes; and looks that cost little do not stay away
 */
static WriterState check_duty(const Writer *writer, int64_t time_us)
{
    WriterState w = {
        .writer = writer,
        .random = g_rand_new_with_seed(1),
        .log = g_malloc0(writer->pages),
        .found = g_malloc0(writer->pages),
        .cleared = g_malloc0(writer->pages),
    };
    const int64_t start = 1000000;
    bool cheap = writer->read_us * 2 * 100 / HYBRID_SAMPLER_DUTY <
                 HYBRID_SAMPLER_MAX_US / 2;
    int64_t last = start;
    HybridSampler s;

    hybrid_sampler_start(&s, start);
    g_assert_false(hybrid_sampler_due(&s, start));
    for (int64_t now = start; now < start + time_us; now += 1000) {
        int64_t taken_us;

        writer_runs(&w);
        if (hybrid_sampler_due(&s, now)) {
            writer_is_looked_at(&w, &s, now);
            last = now;
        }
        if (cheap) {
            g_assert_cmpint(now - last, <=, HYBRID_SAMPLER_MAX_US + 1000);
        }
        taken_us = w.looks_us + w.again * HYBRID_SAMPLER_PAGE_NS / 1000;
        g_assert_cmpint(taken_us, <=,
                        MAX((now - start) * HYBRID_SAMPLER_DUTY / 100,
                            writer->read_us));
    }
    g_test_message("%s: %u looks, %u clear the log", writer->name, w.looks,
                   w.clears);
    g_rand_free(w.random);
    g_free(w.log);
    g_free(w.found);
    g_free(w.cleared);
    return w;
}

static void test_sampler_duty(void)
{
    static const struct {
        Writer writer;
        unsigned looks, clears;     /* at least, in 10 s */
    } tests[] = {
        { { "idle", 1, 0, false, 50 }, 9, 9 },
        { { "loop over 3 MiB", 700, 700, false, 50 }, 9, 9 },
        { { "loop over 30 MiB", 7500, 650, false, 50 }, 9, 6 },
        { { "random in 60 MiB", 15000, 400, true, 50 }, 9, 6 },
        { { "random in 1 GiB", 1 << 18, 1000, true, 100 }, 15, 1 },
        { { "loop over 4 GiB", 1 << 20, 1000, false, 200 }, 15, 0 },
        { { "random in 4 GiB", 1 << 20, 1000, true, 200 }, 15, 0 },
        { { "once through 16 GiB", 1 << 22, 400, false, 500 }, 40, 0 },
        { { "random in 16 GiB", 1 << 22, 1000, true, 500 }, 30, 0 },
        { { "small set of much", 1000, 100, false, 5000 }, 6, 3 },
        { { "small set of all", 1000, 100, false, 20000 }, 2, 1 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        WriterState w = check_duty(&tests[i].writer, 10000000);

        g_assert_cmpuint(w.looks, >=, tests[i].looks);
        g_assert_cmpuint(w.looks, <=, 200);
        g_assert_cmpuint(w.clears, >=, tests[i].clears);
    }
}

/* What costs too much is not cleared before it is paid, but looked at */
static void test_sampler_large(void)
{
    const uint64_t pages = 1 << 20;
    const int64_t guest_us = pages * HYBRID_SAMPLER_PAGE_NS / 1000;
    HybridSampler s;
    int64_t now;

    hybrid_sampler_start(&s, 0);
    g_assert_true(hybrid_sampler_may_clear(&s, 20000, 50, 500));
    hybrid_sampler_done(&s, 20000, &(HybridLook) {
        .cost_us = 100, .fresh = 500, .cleared = true });
    g_assert_false(hybrid_sampler_may_clear(&s, 70000, 50, pages));
    hybrid_sampler_done(&s, 70000, &(HybridLook) {
        .cost_us = 50, .fresh = pages, .known = 500 });
    g_assert_true(hybrid_sampler_due(&s, 70000 + HYBRID_SAMPLER_MIN_US));
    for (now = 70000; now < 100000000; now += 1000) {
        if (hybrid_sampler_may_clear(&s, now, 50, pages)) {
            break;
        }
    }
    g_assert_cmpint(now, <, 100000000);
    g_assert_cmpint(now * HYBRID_SAMPLER_DUTY / 100, >=, guest_us);
}

/* What is new is looked for more often than what is known */
static void test_sampler_news(void)
{
    HybridSampler old, news;

    hybrid_sampler_start(&old, 0);
    hybrid_sampler_start(&news, 0);
    for (unsigned n = 0; n < 8; n++) {
        HybridLook look = { .cost_us = 100, .fresh = 1000, .cleared = true };

        look.known = 1000;
        hybrid_sampler_done(&old, 1000000 * n, &look);
        look.known = 10;
        hybrid_sampler_done(&news, 1000000 * n, &look);
    }
    g_assert_cmpint(old.next_us, ==, 7000000 + HYBRID_SAMPLER_MAX_US);
    g_assert_cmpint(news.next_us, ==, 7000000 + HYBRID_SAMPLER_MIN_US);
}

/* What the end of a round clears is not the looks' doing */
static void test_sampler_round_end(void)
{
    HybridSampler s;

    hybrid_sampler_start(&s, 0);
    hybrid_sampler_done(&s, 1000000, &(HybridLook) {
        .cost_us = 100, .fresh = 1 << 20, .cleared = true, .round_end = true });
    g_assert_true(hybrid_sampler_may_clear(&s, 1100000, 50, 40000));
    hybrid_sampler_done(&s, 1100000, &(HybridLook) {
        .cost_us = 100, .fresh = 40000, .cleared = true });
    g_assert_false(hybrid_sampler_may_clear(&s, 1200000, 50, 10000));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hybrid/sampler/duty", test_sampler_duty);
    g_test_add_func("/hybrid/sampler/large", test_sampler_large);
    g_test_add_func("/hybrid/sampler/news", test_sampler_news);
    g_test_add_func("/hybrid/sampler/round-end", test_sampler_round_end);
    return g_test_run();
}
