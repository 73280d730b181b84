/*
 * The page bitmap: hotness, deferral and merge.
 *
 * The property tests run random sequences of dirtying, sampling, sending and
 * rounds against a plain model with one byte per page and fact, and compare
 * after each step.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "policy/page-bitmap.h"

#define WORD_BITS (8 * sizeof(unsigned long))
#define MAX_PAGES 5000

typedef struct World {
    size_t pages;
    unsigned ratio, k;
    HybridHeat heat;
    unsigned long *bmap, *deferred, *pending, *fresh;
    int64_t dirty;              /* what QEMU counts */
    /* the model */
    bool must_send[MAX_PAGES];
    bool is_deferred[MAX_PAGES];
    bool is_pending[MAX_PAGES];
    bool log[MAX_PAGES];        /* dirtied, nobody has looked yet */
    uint8_t history[MAX_PAGES]; /* bit 0: the current sample */
} World;

static bool get(const unsigned long *map, size_t page)
{
    return map[page / WORD_BITS] >> page % WORD_BITS & 1;
}

static void put(unsigned long *map, size_t page, bool value)
{
    unsigned long bit = 1ul << page % WORD_BITS;

    map[page / WORD_BITS] = value ? map[page / WORD_BITS] | bit
                                  : map[page / WORD_BITS] & ~bit;
}

static size_t words(const World *w)
{
    return (w->pages + WORD_BITS - 1) / WORD_BITS;
}

static World *world_new(size_t pages, unsigned ratio, unsigned k)
{
    World *w = g_new0(World, 1);

    w->pages = pages;
    w->ratio = ratio;
    w->k = k;
    hybrid_heat_init(&w->heat, pages);
    w->bmap = g_new0(unsigned long, words(w));
    w->deferred = g_new0(unsigned long, words(w));
    w->pending = g_new0(unsigned long, words(w));
    w->fresh = g_new0(unsigned long, words(w));
    for (size_t p = 0; p < pages; p++) {
        put(w->bmap, p, true);
        w->must_send[p] = true;
    }
    w->dirty = pages;
    return w;
}

static void world_free(World *w)
{
    hybrid_heat_destroy(&w->heat);
    g_free(w->bmap);
    g_free(w->deferred);
    g_free(w->pending);
    g_free(w->fresh);
    g_free(w);
}

static void check(const World *w)
{
    int64_t dirty = 0;

    for (size_t p = 0; p < w->pages; p++) {
        bool in_bmap = get(w->bmap, p), out = get(w->deferred, p);

        g_assert_false(in_bmap && out);
        g_assert_true((in_bmap || out) == w->must_send[p]);
        g_assert_true(out == w->is_deferred[p]);
        g_assert_true(get(w->pending, p) == w->is_pending[p]);
        dirty += w->must_send[p];
    }
    g_assert_cmpint(dirty, ==, w->dirty);
    if (w->pages % WORD_BITS) {
        unsigned long beyond = ~0ul << w->pages % WORD_BITS;

        g_assert_cmpuint(w->bmap[words(w) - 1] & beyond, ==, 0);
        g_assert_cmpuint(w->deferred[words(w) - 1] & beyond, ==, 0);
    }
}

static void model_defer(World *w, bool (*pick)(const World *, size_t))
{
    for (size_t host = 0; host < w->pages; host += w->ratio) {
        size_t end = MIN(host + w->ratio, w->pages);
        bool any = false;

        for (size_t p = host; p < end; p++) {
            any |= pick(w, p);
        }
        for (size_t p = host; any && p < end; p++) {
            w->is_deferred[p] |= w->must_send[p];
        }
    }
}

static bool in_log(const World *w, size_t p)
{
    return w->log[p];
}

static bool hot(const World *w, size_t p)
{
    unsigned mask = (1 << HYBRID_HEAT_SAMPLES) - 1;

    return __builtin_popcount(w->history[p] & mask) >= (int)w->k;
}

static void next_heat(World *w)
{
    hybrid_heat_next(&w->heat);
    for (size_t p = 0; p < w->pages; p++) {
        w->history[p] <<= 1;
    }
}

static void sample(World *w)
{
    uint64_t known, found, known_wanted = 0, found_wanted = 0;

    memset(w->fresh, 0, words(w) * sizeof(long));
    for (size_t p = 0; p < w->pages; p++) {
        put(w->fresh, p, w->log[p]);
        found_wanted += w->log[p];
        known_wanted += w->log[p] && w->is_pending[p];
    }
    found = hybrid_page_bitmap_sample(&w->heat, w->fresh, w->bmap, w->deferred,
                                      w->pending, w->pages, w->ratio, &known);
    g_assert_cmpuint(found, ==, found_wanted);
    g_assert_cmpuint(known, ==, known_wanted);
    model_defer(w, in_log);
    for (size_t p = 0; p < w->pages; p++) {
        w->is_pending[p] |= w->log[p];
        w->history[p] |= w->log[p];
        w->log[p] = false;
    }
}

/* The first round puts warm chunks off */
static void defer_warm(World *w)
{
    size_t step = MAX(HYBRID_HEAT_CHUNK, w->ratio);
    uint64_t moved, wanted = 0;

    moved = hybrid_page_bitmap_defer_warm(w->bmap, w->deferred, w->pending,
                                          w->pages, w->ratio);
    for (size_t from = 0; from < w->pages; from += step) {
        size_t end = MIN(from + step, w->pages);
        unsigned dirtied = 0;

        for (size_t p = from; p < end; p++) {
            dirtied += w->is_pending[p];
        }
        for (size_t p = from; dirtied >= HYBRID_HEAT_WARM && p < end; p++) {
            wanted += w->must_send[p] && !w->is_deferred[p];
            w->is_deferred[p] |= w->must_send[p];
        }
    }
    g_assert_cmpuint(moved, ==, wanted);
}

/* As QEMU does it: the log into bmap, then the merge */
static void sync_all(World *w)
{
    for (size_t p = 0; p < w->pages; p++) {
        if (w->log[p] && !get(w->bmap, p)) {
            put(w->bmap, p, true);
            w->dirty++;
        }
    }
    w->dirty += hybrid_page_bitmap_merge(w->bmap, w->deferred, w->pending,
                                         w->pages);
    for (size_t p = 0; p < w->pages; p++) {
        w->must_send[p] |= w->log[p] || w->is_pending[p];
        w->is_deferred[p] = w->is_pending[p] = w->log[p] = false;
    }
}

/* Page by page: all pages of host pages that have one in @map */
static uint64_t whole_of(const World *w, const bool *map)
{
    uint64_t sum = 0;

    for (size_t host = 0; host < w->pages; host += w->ratio) {
        size_t end = MIN(host + w->ratio, w->pages);
        bool any = false;

        for (size_t p = host; p < end; p++) {
            any |= map[p];
        }
        sum += any ? end - host : 0;
    }
    return sum;
}

/* The pages that are hot: of all, those that a round would leave out */
static unsigned long *hot_map(const World *w, unsigned k)
{
    g_autofree unsigned long *all = g_new0(unsigned long, words(w));
    unsigned long *found = g_new0(unsigned long, words(w));

    for (size_t p = 0; p < w->pages; p++) {
        put(all, p, true);
    }
    hybrid_page_bitmap_defer_hot(&w->heat, all, found, w->pages, 1, k);
    return found;
}

static void begin_round(World *w)
{
    g_autofree unsigned long *map = hot_map(w, w->k);
    uint64_t count, moved, whole, wanted = 0;

    for (size_t p = 0; p < w->pages; p++) {
        g_assert_true(get(map, p) == hot(w, p));
    }
    count = hybrid_page_bitmap_count_hot(&w->heat, w->bmap, w->pages, w->ratio,
                                         w->k, &whole);
    moved = hybrid_page_bitmap_defer_hot(&w->heat, w->bmap, w->deferred,
                                         w->pages, w->ratio, w->k);
    model_defer(w, hot);
    for (size_t p = 0; p < w->pages; p++) {
        wanted += w->is_deferred[p];
    }
    g_assert_cmpuint(moved, ==, wanted);
    g_assert_cmpuint(count, ==, wanted);
    g_assert_cmpuint(whole, ==, whole_of(w, w->is_deferred));
    g_assert_cmpuint(hybrid_page_bitmap_whole(w->deferred, w->pages, w->ratio),
                     ==, whole);
}

/* A whole host page, as QEMU sends it */
static void send_host_page(World *w, size_t page)
{
    size_t host = page - page % w->ratio;

    for (size_t p = host; p < MIN(host + w->ratio, w->pages); p++) {
        if (get(w->bmap, p)) {
            put(w->bmap, p, false);
            w->must_send[p] = false;
            w->dirty--;
        }
    }
}

static void random_world(size_t pages, unsigned ratio, unsigned k)
{
    World *w = world_new(pages, ratio, k);

    for (unsigned step = 0; step < 300; step++) {
        unsigned what = g_test_rand_int_range(0, 13);
        size_t from = g_test_rand_int_range(0, pages);
        size_t some = g_test_rand_int_range(1, 1 + MAX(1, pages / 4));

        switch (what) {
        case 0 ... 3:
            for (size_t n = 0; n < some; n++) {
                w->log[what ? (size_t)g_test_rand_int_range(0, pages)
                            : (from + n) % pages] = true;
            }
            break;
        case 4 ... 6:
            sample(w);
            break;
        case 7:
            next_heat(w);
            break;
        case 8 ... 9:
            for (size_t n = 0; n < some; n++) {
                send_host_page(w, (from + n) % pages);
            }
            break;
        case 10:
            sync_all(w);
            break;
        case 12:
            defer_warm(w);
            break;
        case 11:
            sync_all(w);
            begin_round(w);
            break;
        }
        check(w);
    }
    /* The switch: all that is dirty is in bmap */
    sync_all(w);
    check(w);
    for (size_t p = 0; p < pages; p++) {
        g_assert_true(get(w->bmap, p) == w->must_send[p]);
    }
    world_free(w);
}

static void test_random(void)
{
    static const unsigned ratios[] = { 1, 2, 16, 32, 64, 512, 1024 };

    for (unsigned n = 0; n < 120; n++) {
        random_world(g_test_rand_int_range(1, MAX_PAGES),
                     ratios[n % G_N_ELEMENTS(ratios)],
                     1 + n % HYBRID_HEAT_SAMPLES);
    }
}

/* k of the last n: each combination of four samples */
static void test_k_of_n(void)
{
    for (unsigned bits = 0; bits < 1 << HYBRID_HEAT_SAMPLES; bits++) {
        World *w = world_new(70, 1, 1);

        for (unsigned n = 0; n < HYBRID_HEAT_SAMPLES; n++) {
            if (n) {
                next_heat(w);
            }
            w->log[69] = bits >> n & 1;
            sample(w);
        }
        for (unsigned k = 1; k <= HYBRID_HEAT_SAMPLES; k++) {
            g_autofree unsigned long *map = hot_map(w, k);

            g_assert_true(get(map, 69) ==
                          (__builtin_popcount(bits) >= (int)k));
            g_assert_false(get(map, 68));
        }
        world_free(w);
    }
}

/* A page that is written no more cools down and comes back to the rounds */
static void test_cools(void)
{
    World *w = world_new(64, 1, 2);

    for (unsigned n = 0; n < 4; n++) {
        next_heat(w);
        w->log[5] = true;
        sample(w);
    }
    sync_all(w);
    begin_round(w);
    g_assert_true(get(w->deferred, 5));
    for (unsigned n = 0; n < 3; n++) {
        next_heat(w);
    }
    sync_all(w);
    begin_round(w);
    g_assert_false(get(w->deferred, 5));
    g_assert_true(get(w->bmap, 5));
    world_free(w);
}

static void test_chunks(void)
{
    World *w = world_new(3 * HYBRID_HEAT_CHUNK + 7, 1, 2);

    g_assert_cmpuint(hybrid_heat_chunks(&w->heat), ==, 4);
    for (unsigned n = 0; n < 40; n++) {
        for (size_t p = HYBRID_HEAT_CHUNK; p < 2 * HYBRID_HEAT_CHUNK; p++) {
            w->log[p] = true;
        }
        w->log[3 * HYBRID_HEAT_CHUNK + 6] = true;
        sample(w);
        next_heat(w);
    }
    g_assert_cmpuint(w->heat.chunk[0], ==, 0);
    g_assert_cmpuint(w->heat.chunk[1], >=, 2 * HYBRID_HEAT_CHUNK - 2);
    g_assert_cmpuint(w->heat.chunk[1], <=, 2 * HYBRID_HEAT_CHUNK);
    g_assert_cmpuint(w->heat.chunk[2], ==, 0);
    g_assert_cmpuint(w->heat.chunk[3], ==, 1);
    world_free(w);
}

/* What two looks have found; who goes round a large set is not among it */
static void test_recent(void)
{
    enum { PAGES = 1000, WORDS = PAGES / 64 + 1 };
    unsigned long once[WORDS] = {}, recent[WORDS] = {};

    for (int look = 0; look < 5; look++) {
        unsigned long fresh[WORDS] = {};

        for (size_t p = 0; p < 100; p++) {
            put(fresh, 200 + look * 100 + p, true);
        }
        put(fresh, 3, true);
        put(fresh, 999, look % 2);
        put(fresh, 40, look == 4);
        hybrid_recent_add(once, recent, fresh, PAGES);
    }
    for (size_t p = 0; p < PAGES; p++) {
        g_assert_true(get(recent, p) == (p == 3 || p == 999));
        g_assert_true(get(once, p) == (p == 3 || p == 40 || p == 999 ||
                                       (p >= 200 && p < 700)));
    }
}

/* Up to HYBRID_RECENT_FEW pages in 64 stand alone */
static void test_lone(void)
{
    unsigned long map[4] = {}, lone[4] = {};

    for (size_t p = 0; p < HYBRID_RECENT_FEW; p++) {
        put(map, 64 + p * 3, true);
        put(map, 128 + p, true);
    }
    put(map, 255, true);
    put(map, 191, true);        /* one too many in the third word */
    g_assert_cmpuint(hybrid_recent_lone(map, NULL, 256), ==,
                     HYBRID_RECENT_FEW + 1);
    put(lone, 0, true);         /* stays */
    g_assert_cmpuint(hybrid_recent_lone(map, lone, 256), ==,
                     HYBRID_RECENT_FEW + 1);
    g_assert_cmpuint(lone[0], ==, 1);
    g_assert_cmpuint(lone[1], ==, map[1]);
    g_assert_cmpuint(lone[2], ==, 0);
    g_assert_cmpuint(lone[3], ==, map[3]);
}

/* Neighbours, also where a word ends */
static void test_runs(void)
{
    unsigned long map[3] = { 0 };
    unsigned runs = 0;

    g_assert_cmpuint(hybrid_page_bitmap_runs(map, 3 * WORD_BITS), ==, 0);
    for (size_t p = WORD_BITS - 2; p < WORD_BITS + 2; p++) {
        put(map, p, true);
        g_assert_cmpuint(hybrid_page_bitmap_runs(map, 3 * WORD_BITS), ==, 1);
    }
    put(map, 0, true);
    put(map, 3 * WORD_BITS - 1, true);
    g_assert_cmpuint(hybrid_page_bitmap_runs(map, 3 * WORD_BITS), ==, 3);
    for (unsigned n = 0; n < 1000; n++) {
        put(map, g_test_rand_int_range(0, 3 * WORD_BITS), g_test_rand_bit());
        runs = 0;
        for (size_t p = 0; p < 3 * WORD_BITS; p++) {
            runs += get(map, p) && !(p && get(map, p - 1));
        }
        g_assert_cmpuint(hybrid_page_bitmap_runs(map, 3 * WORD_BITS), ==,
                         runs);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hybrid/page-bitmap/random", test_random);
    g_test_add_func("/hybrid/page-bitmap/k-of-n", test_k_of_n);
    g_test_add_func("/hybrid/page-bitmap/cools", test_cools);
    g_test_add_func("/hybrid/page-bitmap/chunks", test_chunks);
    g_test_add_func("/hybrid/page-bitmap/recent", test_recent);
    g_test_add_func("/hybrid/page-bitmap/lone", test_lone);
    g_test_add_func("/hybrid/page-bitmap/runs", test_runs);
    return g_test_run();
}
