/*
 * Loading pages in runs: every page arrives, once, whatever the stream is cut
 * into, and what is not a page is left untouched.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "osdep.h"
#include "policy/batch.h"

#define PAGE 64u                /* small, so that tests see many of them */
#define SLOT (PAGE + 8)
#define PAGES 512u
#define F_PAGE 0x28u
#define F_ZERO 0x22u
#define F_EOS 0x10u

/* A stream, memory to place it in, and what happened */
typedef struct World {
    GRand *rand;
    GByteArray *stream;
    size_t pos;
    unsigned chunk;             /* most bytes of a read; 0: all there is */
    size_t arrived;             /* a read beyond this would wait for ever */
    size_t used;                /* placed, or somebody else's */
    unsigned reads;
    int fail_at;                /* read that fails, -1: none */
    uint8_t memory[PAGES][PAGE];
    uint8_t present[PAGES];
    unsigned runs, longest;
    uint8_t *ahead_buf;
    HybridReadahead ahead;
    uint8_t *pages;
    HybridBatch *batch;
} World;

static ssize_t world_read(void *opaque, struct iovec *iov, unsigned n,
                          size_t held)
{
    World *w = opaque;
    size_t left = w->arrived - w->pos, done = 0;

    g_assert_cmpuint(n, >, 0);
    g_assert_cmpuint(held, ==, w->pos - w->used);
    g_assert_cmpuint(held, <, SLOT);
    if (w->reads++ == (unsigned)w->fail_at) {
        return -EPIPE;
    }
    if (w->pos == w->stream->len) {
        return 0;
    }
    g_assert_cmpuint(left, >, 0);
    if (w->chunk) {
        size_t most = g_rand_int_range(w->rand, 1, w->chunk + 1);

        left = MIN(left, most);
    }
    for (unsigned i = 0; i < n && left; i++) {
        size_t len = MIN(left, iov[i].iov_len);

        g_assert_cmpuint(iov[i].iov_len, >, 0);
        memcpy(iov[i].iov_base, w->stream->data + w->pos, len);
        w->pos += len;
        left -= len;
        done += len;
    }
    return done;
}

static int world_place(void *opaque, uint64_t addr, unsigned pages,
                       const uint8_t *data)
{
    World *w = opaque;

    g_assert_cmpuint(pages, >, 0);
    g_assert_cmpuint(pages, <=, HYBRID_BATCH_PAGES);
    g_assert_cmpuint(addr % PAGE, ==, 0);
    for (unsigned i = 0; i < pages; i++) {
        uint64_t page = addr / PAGE + i;

        g_assert_cmpuint(page, <, PAGES);
        g_assert_false(w->present[page]);
        w->present[page] = true;
        if (data) {
            memcpy(w->memory[page], data + i * PAGE, PAGE);
        }
    }
    w->used += pages * (data ? SLOT : 9);
    w->runs++;
    w->longest = MAX(w->longest, pages);
    return 0;
}

static World *world_new(guint32 seed, size_t capacity)
{
    static const HybridBatchFormat format = {
        .page_size = PAGE, .page_flags = F_PAGE, .zero_flags = F_ZERO,
        .zero_pages = true,
    };
    static const HybridBatchOps ops = { world_read, world_place };
    World *w = g_new0(World, 1);

    w->rand = g_rand_new_with_seed(seed);
    w->stream = g_byte_array_new();
    w->fail_at = -1;
    w->ahead_buf = g_malloc(capacity);
    w->ahead = (HybridReadahead) { .buf = w->ahead_buf, .capacity = capacity };
    w->pages = g_malloc(HYBRID_BATCH_PAGES * PAGE);
    w->batch = hybrid_batch_new(&format, &ops, w->pages);
    return w;
}

static void world_free(World *w)
{
    hybrid_batch_free(w->batch);
    g_free(w->pages);
    g_free(w->ahead_buf);
    g_byte_array_unref(w->stream);
    g_rand_free(w->rand);
    g_free(w);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(World, world_free)

static void put_header(World *w, uint64_t page, unsigned flags)
{
    uint64_t be = GUINT64_TO_BE(page * PAGE | flags);

    g_byte_array_append(w->stream, (uint8_t *)&be, 8);
}

static void put_page(World *w, unsigned page)
{
    uint8_t data[PAGE];

    for (unsigned i = 0; i < PAGE; i++) {
        data[i] = page * 7 + i + 1;
    }
    put_header(w, page, F_PAGE);
    g_byte_array_append(w->stream, data, PAGE);
}

static void put_zero(World *w, unsigned page)
{
    put_header(w, page, F_ZERO);
    g_byte_array_append(w->stream, (const uint8_t *)"", 1);
}

static void put_eos(World *w)
{
    put_header(w, 0, F_EOS);
}

static int load(World *w)
{
    w->arrived = w->stream->len;
    return hybrid_batch_load(w->batch, PAGES * PAGE, &w->ahead, w);
}

static void check_page(World *w, unsigned page, bool zero)
{
    g_assert_true(w->present[page]);
    for (unsigned i = 0; i < PAGE; i++) {
        g_assert_cmpuint(w->memory[page][i], ==,
                         zero ? 0 : (uint8_t)(page * 7 + i + 1));
    }
}

/* The next header, where upstream's loop would find it */
static uint64_t next_header(World *w)
{
    uint64_t be;

    g_assert_cmpuint(w->ahead.size - w->ahead.index, >=, 8);
    memcpy(&be, w->ahead.buf + w->ahead.index, 8);
    return GUINT64_FROM_BE(be);
}

static void test_one_run(void)
{
    g_autoptr(World) w = world_new(1, 8192);

    for (unsigned i = 0; i < 40; i++) {
        put_page(w, 100 + i);
    }
    put_eos(w);
    g_assert_cmpint(load(w), ==, 0);
    g_assert_cmphex(next_header(w), ==, F_EOS);
    for (unsigned i = 0; i < 40; i++) {
        check_page(w, 100 + i, false);
    }
    g_assert_cmpuint(w->runs, ==, 1);
    g_assert_cmpuint(w->reads, ==, 1);
}

static void test_gap(void)
{
    g_autoptr(World) w = world_new(1, 8192);

    put_page(w, 5);
    put_page(w, 6);
    put_page(w, 8);
    put_page(w, 7);             /* backwards: not a run */
    put_zero(w, 9);
    put_zero(w, 10);
    put_page(w, 11);
    put_eos(w);
    g_assert_cmpint(load(w), ==, 0);
    g_assert_cmphex(next_header(w), ==, F_EOS);
    g_assert_cmpuint(w->runs, ==, 5);
    for (unsigned i = 5; i <= 11; i++) {
        check_page(w, i, i == 9 || i == 10);
    }
}

/*
 * What has arrived is placed before more is waited for: world_read() fails
 * the test when it is called with nothing left, so feed piece by piece.
 */
static ssize_t piecewise_read(void *opaque, struct iovec *iov, unsigned n,
                              size_t held)
{
    World *w = opaque;
    size_t whole = w->pos / SLOT;

    for (unsigned i = 0; i < whole; i++) {
        g_assert_true(w->present[i]);
    }
    return world_read(w, iov, n, held);
}

static void test_never_held_back(void)
{
    static const HybridBatchFormat format = {
        .page_size = PAGE, .page_flags = F_PAGE, .zero_flags = F_ZERO,
        .zero_pages = true,
    };
    static const HybridBatchOps ops = { piecewise_read, world_place };

    for (unsigned chunk = 1; chunk < 5 * SLOT; chunk += 7) {
        g_autoptr(World) w = world_new(chunk, 8192);

        hybrid_batch_free(w->batch);
        w->batch = hybrid_batch_new(&format, &ops, w->pages);
        w->chunk = chunk;
        for (unsigned i = 0; i < 300; i++) {
            put_page(w, i);
        }
        put_eos(w);
        g_assert_cmpint(load(w), ==, 0);
        g_assert_cmphex(next_header(w), ==, F_EOS);
    }
}

/* Nothing is read beyond a header that is not ours: it may be the last */
static void test_no_wait_behind_end(void)
{
    for (unsigned chunk = 1; chunk < 2 * SLOT; chunk++) {
        g_autoptr(World) w = world_new(chunk, 8192);

        w->chunk = chunk;
        put_page(w, 1);
        put_zero(w, 2);
        put_page(w, 3);
        put_eos(w);
        w->arrived = w->stream->len;
        put_header(w, 0, 0);    /* exists, but has not arrived */
        g_assert_cmpint(hybrid_batch_load(w->batch, PAGES * PAGE, &w->ahead,
                                          w), ==, 0);
        g_assert_cmphex(next_header(w), ==, F_EOS);
    }
}

static void test_bad(void)
{
    g_autoptr(World) beyond = world_new(1, 8192);
    g_autoptr(World) nonzero = world_new(1, 8192);

    put_page(beyond, 1);
    put_page(beyond, PAGES);
    g_assert_cmpint(load(beyond), ==, 0);
    g_assert_cmphex(next_header(beyond), ==, PAGES * PAGE | F_PAGE);
    check_page(beyond, 1, false);

    put_zero(nonzero, 1);
    put_header(nonzero, 2, F_ZERO);
    g_byte_array_append(nonzero->stream, (const uint8_t *)"x", 1);
    g_assert_cmpint(load(nonzero), ==, 0);
    g_assert_cmphex(next_header(nonzero), ==, 2 * PAGE | F_ZERO);
    check_page(nonzero, 1, true);
}

static void test_broken(void)
{
    g_autoptr(World) end = world_new(1, 8192);
    g_autoptr(World) error = world_new(1, 8192);

    put_page(end, 1);
    put_page(end, 2);
    g_byte_array_set_size(end->stream, end->stream->len - 1);
    g_assert_cmpint(load(end), ==, -EIO);
    check_page(end, 1, false);
    g_assert_false(end->present[2]);
    g_assert_cmpuint(end->ahead.index, ==, end->ahead.size);

    put_page(error, 1);
    error->fail_at = 1;
    g_assert_cmpint(load(error), ==, -EPIPE);
    check_page(error, 1, false);
    g_assert_cmpuint(error->ahead.index, ==, error->ahead.size);
}

/*
 * Random streams of sections: pages, gaps, zero pages, ends, cut into random
 * reads, with buffers of random size.  The test plays upstream's loop between
 * two sections.
 */
static void test_random(void)
{
    for (guint32 seed = 0; seed < 2000; seed++) {
        g_autoptr(GRand) r = g_rand_new_with_seed(seed);
        size_t capacity = g_rand_int_range(r, SLOT + 1, 80 * SLOT);
        g_autoptr(World) w = world_new(seed, capacity);
        unsigned zero_percent = g_rand_int_range(r, 0, 3) * 30;
        unsigned gap_percent = g_rand_int_range(r, 0, 3) * 30;
        unsigned sections = 1;
        uint8_t expect[PAGES] = { 0 };

        w->chunk = g_rand_boolean(r) ? 0 : g_rand_int_range(r, 1, 20 * SLOT);
        for (unsigned page = 0; page < PAGES; page++) {
            if ((unsigned)g_rand_int_range(r, 0, 100) < gap_percent) {
                continue;
            }
            if ((unsigned)g_rand_int_range(r, 0, 100) < zero_percent) {
                put_zero(w, page);
                expect[page] = 2;
            } else {
                put_page(w, page);
                expect[page] = 1;
            }
            if (!g_rand_int_range(r, 0, 50)) {
                put_eos(w);
                sections++;
            }
        }
        put_eos(w);
        w->arrived = w->stream->len;

        while (sections--) {
            g_assert_cmpint(hybrid_batch_load(w->batch, PAGES * PAGE,
                                              &w->ahead, w), ==, 0);
            g_assert_cmphex(next_header(w), ==, F_EOS);
            w->ahead.index += 8;
            w->used += 8;
        }
        g_assert_cmpuint(w->ahead.index, ==, w->ahead.size);
        g_assert_cmpuint(w->pos, ==, w->stream->len);
        for (unsigned page = 0; page < PAGES; page++) {
            if (expect[page]) {
                check_page(w, page, expect[page] == 2);
            } else {
                g_assert_false(w->present[page]);
            }
        }
    }
}

/* ---- placing ---- */

/* The kernel: stops at what is present, EEXIST when it begins with that */
typedef struct Kernel {
    uint8_t present[HYBRID_BATCH_PAGES];    /* 1 before, 2 placed */
    uint8_t marked[HYBRID_BATCH_PAGES];
    unsigned again;             /* calls that return EAGAIN */
    unsigned calls, order[HYBRID_BATCH_PAGES], placed;
} Kernel;

static int kernel_copy(void *opaque, unsigned first, unsigned pages)
{
    Kernel *k = opaque;
    unsigned done = 0;

    k->calls++;
    g_assert_cmpuint(first + pages, <=, HYBRID_BATCH_PAGES);
    if (k->again) {
        k->again--;
        return -EAGAIN;
    }
    while (done < pages && !k->present[first + done]) {
        k->present[first + done] = 2;
        k->order[k->placed++] = first + done;
        done++;
    }
    return done ? (int)done : -EEXIST;
}

static void kernel_done(void *opaque, unsigned first, unsigned pages)
{
    Kernel *k = opaque;

    g_assert_cmpuint(pages, >, 0);
    for (unsigned i = first; i < first + pages; i++) {
        g_assert_cmpuint(k->present[i], ==, 2);
        g_assert_false(k->marked[i]);
        k->marked[i] = true;
    }
}

static void test_place(void)
{
    Kernel k = { .again = 3 };

    g_assert_cmpint(hybrid_batch_place(20, NULL, 0, kernel_copy, kernel_done,
                                       &k), ==, 0);
    g_assert_cmpuint(k.calls, ==, 4);
    for (unsigned i = 0; i < HYBRID_BATCH_PAGES; i++) {
        g_assert_cmpuint(k.marked[i], ==, i < 20);
    }
}

static void test_place_wanted(void)
{
    const unsigned wanted[] = { 0, 7, 8, 19 };
    Kernel k = { .again = 1 };

    g_assert_cmpint(hybrid_batch_place(20, wanted, 4, kernel_copy,
                                       kernel_done, &k), ==, 0);
    g_assert_cmpuint(k.calls, ==, 1 + 4 + 2);
    for (unsigned i = 0; i < 4; i++) {
        g_assert_cmpuint(k.order[i], ==, wanted[i]);
    }
    for (unsigned i = 0; i < HYBRID_BATCH_PAGES; i++) {
        g_assert_cmpuint(k.marked[i], ==, i < 20);
    }
}

/* What is placed before the page that is present is marked, nothing else */
static void test_place_present(void)
{
    for (unsigned at = 0; at < 20; at++) {
        for (unsigned want = 0; want < 20; want++) {
            Kernel k = { .present = { 0 } };

            k.present[at] = 1;
            g_assert_cmpint(hybrid_batch_place(20, &want, 1, kernel_copy,
                                               kernel_done, &k), ==, -EEXIST);
            g_assert_cmpuint(k.marked[want], ==, want != at);
            for (unsigned i = 0; i < HYBRID_BATCH_PAGES; i++) {
                g_assert_cmpuint(k.marked[i], ==, k.present[i] == 2);
                if (i != want) {
                    g_assert_cmpuint(k.marked[i], ==, at != want && i < at);
                }
            }
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hybrid/batch/one-run", test_one_run);
    g_test_add_func("/hybrid/batch/gap", test_gap);
    g_test_add_func("/hybrid/batch/never-held-back", test_never_held_back);
    g_test_add_func("/hybrid/batch/no-wait-behind-end",
                    test_no_wait_behind_end);
    g_test_add_func("/hybrid/batch/bad", test_bad);
    g_test_add_func("/hybrid/batch/broken", test_broken);
    g_test_add_func("/hybrid/batch/random", test_random);
    g_test_add_func("/hybrid/batch/place", test_place);
    g_test_add_func("/hybrid/batch/place-wanted", test_place_wanted);
    g_test_add_func("/hybrid/batch/place-present", test_place_present);
    return g_test_run();
}
