/*
 * Unit tests of when the dirty log is sampled (hybrid-hot.h).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "hybrid-osdep.h"
#include "hybrid-hot.h"

/*
 * A guest that writes so many pages in a millisecond: pages in turn, or any.
 * The log notes the first write to a page after it was cleared.
 */
typedef struct Writer {
    const char *name;
    uint32_t pages;
    uint32_t per_ms;
    bool random;
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
    uint32_t fresh = w->in_log, known = 0;
    bool clear = hybrid_sampler_may_clear(s, now, fresh);

    for (uint32_t page = 0; page < w->writer->pages; page++) {
        if (w->log[page]) {
            known += w->found[page];
            w->found[page] = 1;
            if (clear) {
                w->log[page] = 0;
                w->cleared[page] = 1;
            }
        }
    }
    if (clear) {
        w->in_log = 0;
        w->clears++;
    }
    w->looks++;
    hybrid_sampler_done(s, now, 100, fresh, known, clear ? fresh : 0);
}

/* At no time has more been taken from the guest than may be */
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
    HybridSampler s;

    hybrid_sampler_start(&s, start);
    g_assert_false(hybrid_sampler_due(&s, start));
    for (int64_t now = start; now < start + time_us; now += 1000) {
        int64_t taken_us;

        writer_runs(&w);
        if (hybrid_sampler_due(&s, now)) {
            writer_is_looked_at(&w, &s, now);
        }
        taken_us = w.looks * 100 + w.again * HYBRID_SAMPLER_PAGE_NS / 1000;
        g_assert_cmpint(taken_us, <=,
                        (now - start) * HYBRID_SAMPLER_DUTY / 100);
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
        { { "idle", 1, 0 }, 9, 9 },
        { { "loop over 30 MiB", 7500, 650 }, 9, 6 },
        { { "random in 60 MiB", 15000, 400, true }, 9, 6 },
        { { "random in 1 GiB", 1 << 18, 1000, true }, 15, 1 },
        { { "loop over 4 GiB", 1 << 20, 1000 }, 15, 0 },
        { { "random in 4 GiB", 1 << 20, 1000, true }, 15, 0 },
        { { "once through 16 GiB", 1 << 22, 400 }, 40, 0 },
        { { "random in 16 GiB", 1 << 22, 1000, true }, 30, 0 },
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
    g_assert_true(hybrid_sampler_may_clear(&s, 20000, 500));
    hybrid_sampler_done(&s, 20000, 100, 500, 0, 500);
    g_assert_false(hybrid_sampler_may_clear(&s, 70000, pages));
    hybrid_sampler_done(&s, 70000, 100, pages, 500, 0);
    g_assert_true(hybrid_sampler_due(&s, 70000 + HYBRID_SAMPLER_MIN_US));
    for (now = 70000; !hybrid_sampler_may_clear(&s, now, pages); now += 1000) {
        g_assert_cmpint(now, <, 100000000);
    }
    g_assert_cmpint(now * HYBRID_SAMPLER_DUTY / 100, >=, guest_us);
}

/* What is new is looked for more often than what is known */
static void test_sampler_news(void)
{
    HybridSampler old, news;

    hybrid_sampler_start(&old, 0);
    hybrid_sampler_start(&news, 0);
    for (unsigned n = 0; n < 8; n++) {
        hybrid_sampler_done(&old, 1000000 * n, 100, 1000, 1000, 1000);
        hybrid_sampler_done(&news, 1000000 * n, 100, 1000, 10, 1000);
    }
    g_assert_cmpint(old.next_us, ==, 7000000 + HYBRID_SAMPLER_MAX_US);
    g_assert_cmpint(news.next_us, ==, 7000000 + HYBRID_SAMPLER_MIN_US);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hybrid/sampler/duty", test_sampler_duty);
    g_test_add_func("/hybrid/sampler/large", test_sampler_large);
    g_test_add_func("/hybrid/sampler/news", test_sampler_news);
    return g_test_run();
}
