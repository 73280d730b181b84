/*
 * Hybrid live migration, destination: drops what the source has discarded.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Why and when: source/discard.c.  A page that was never sent is not discarded
 * by the source: huge pages are kept off here, and what they have filled is
 * dropped.  A thousand ranges go into a system call; where they are more,
 * several threads make these calls.
 */

#include "migration/hybrid/destination/state.h"
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include "qemu/bitmap.h"
#include "qemu/error-report.h"
#include "qemu/madvise.h"
#include "qemu/rcu.h"
#include "qemu/units.h"
#include "block/thread-pool.h"
#include "exec/ramblock.h"
#include "exec/target_page.h"
#include "migration/migration.h"
#include "migration/postcopy-ram.h"
#include "migration/ram.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/destination/drop.h"
#include "migration/hybrid/policy/ranges.h"

#define HYBRID_DROP_RANGES  1024    /* in one system call; IOV_MAX */
/*
 * Threads at most; chosen.  Measured were two: 32600 ranges took 5.3 to 6.8 ms
 * while the guest stood still, by one thread 8.8 to 11.7.
 */
#define HYBRID_DROP_THREADS 8
/* And so much: the kernel cuts what it is given at 2 GiB less a page */
#define HYBRID_DROP_BYTES   (1 * GiB)

/* Ranges of private anonymous memory that are to be dropped at once */
typedef struct HybridDrop {
    unsigned n;
    size_t bytes;
    int *failed;                /* the dropper's */
    struct iovec iov[HYBRID_DROP_RANGES];
} HybridDrop;

typedef struct HybridDropper {
    HybridDrop *drop;           /* that is being filled, or NULL */
    ThreadPool *pool;           /* NULL: there were few so far */
    bool many;                  /* one was full already */
    bool again;                 /* missing memory was dropped before */
    int failed;                 /* 0 or negative; atomic */
} HybridDropper;

/* What this host's kernel can do: a system call for each range; atomic */
static bool hybrid_drop_one_by_one;

/*
 * A thousand ranges with one system call, and one flush of the TLBs: Linux
 * 6.13 and newer let a process do that to itself.
 */
static bool hybrid_drop_at_once(HybridDrop *drop)
{
#if defined(SYS_process_madvise) && defined(SYS_pidfd_open)
    ssize_t done = -1;
    int fd;

    if (qatomic_read(&hybrid_drop_one_by_one)) {
        return false;
    }
    fd = syscall(SYS_pidfd_open, getpid(), 0);
    if (fd >= 0) {
        done = syscall(SYS_process_madvise, fd, drop->iov, (size_t)drop->n,
                       MADV_DONTNEED, 0u);
        close(fd);
    }
    if (done < 0) {
        qatomic_set(&hybrid_drop_one_by_one, true);
    }
    return done == (ssize_t)drop->bytes;
#else
    qatomic_set(&hybrid_drop_one_by_one, true);
    return false;
#endif
}

/* Any thread: the kernel takes such calls side by side.  Returns 0. */
static int hybrid_drop_now(void *opaque)
{
    HybridDrop *drop = opaque;

    if (hybrid_drop_at_once(drop)) {
        return 0;
    }
    for (unsigned i = 0; i < drop->n; i++) {
        if (qemu_madvise(drop->iov[i].iov_base, drop->iov[i].iov_len,
                         QEMU_MADV_DONTNEED)) {
            qatomic_set(drop->failed, -errno);
            break;
        }
    }
    return 0;
}

/* NULL if the host has no more threads: then none would ever do the work */
static ThreadPool *hybrid_drop_pool(void)
{
    ThreadPool *pool = thread_pool_new();

    if (!thread_pool_set_max_threads(pool, MIN(g_get_num_processors(),
                                               HYBRID_DROP_THREADS))) {
        g_clear_pointer(&pool, thread_pool_free);
    }
    return pool;
}

/*
 * It is full.  The first takes less time than a thread to begin, and one by
 * one threads would only keep interrupting each other, to flush TLBs.
 */
static void hybrid_drop_full(HybridDropper *d)
{
    HybridDrop *drop = g_steal_pointer(&d->drop);

    if (d->many && !d->pool && !qatomic_read(&hybrid_drop_one_by_one)) {
        d->pool = hybrid_drop_pool();
    }
    d->many = true;
    if (d->pool) {
        thread_pool_submit(d->pool, hybrid_drop_now, drop, g_free);
    } else {
        hybrid_drop_now(drop);
        g_free(drop);
    }
}

/* All that was added is dropped; 0 or negative.  @ret: the same, before */
static int hybrid_drop_end(HybridDropper *d, int ret)
{
    if (d->drop) {
        hybrid_drop_now(d->drop);
        g_clear_pointer(&d->drop, g_free);
    }
    g_clear_pointer(&d->pool, thread_pool_free);    /* waits for it */
    if (d->failed) {
        error_report("Discarding guest memory failed: %s",
                     strerror(-d->failed));
    }
    return ret ?: d->failed;
}

static int hybrid_drop_add(HybridDropper *d, RAMBlock *rb, uint64_t first,
                           uint64_t pages)
{
    size_t page_size = qemu_target_page_size();
    uint64_t at = first * page_size, end = (first + pages) * page_size, len;

    /* What is shared goes on to exist when it is unmapped here */
    if (rb->fd >= 0 || qemu_ram_is_shared(rb) ||
        rb->page_size != qemu_real_host_page_size()) {
        return ram_block_discard_range(rb, at, end - at);
    }
    for (; at < end; at += len) {
        if (!d->drop) {
            d->drop = g_new0(HybridDrop, 1);
            d->drop->failed = &d->failed;
        }
        len = MIN(end - at, HYBRID_DROP_BYTES - d->drop->bytes);
        d->drop->iov[d->drop->n++] = (struct iovec) {
            .iov_base = rb->host + at, .iov_len = len,
        };
        d->drop->bytes += len;
        if (d->drop->n == HYBRID_DROP_RANGES ||
            d->drop->bytes == HYBRID_DROP_BYTES) {
            hybrid_drop_full(d);
        }
    }
    return 0;
}

/*
 * Where, from page @first on, is something?  A hole in shared memory is a hole
 * in its file, and to look is several times faster than to punch it again.
 * Only where it was dropped before: what is allocated but was never touched
 * looks like a hole, too.
 */
static uint64_t hybrid_drop_skip_hole(RAMBlock *rb, uint64_t first,
                                      uint64_t pages)
{
#ifdef SEEK_DATA
    size_t page_size = qemu_target_page_size();
    off_t at;

    if (rb->fd < 0 || !qemu_ram_is_shared(rb) ||
        rb->page_size != qemu_real_host_page_size()) {
        return first;
    }
    at = lseek(rb->fd, rb->fd_offset + first * page_size, SEEK_DATA);
    if (at < 0) {
        return errno == ENXIO ? pages : first;
    }
    return MAX(first, (at - rb->fd_offset) / page_size);
#else
    return first;
#endif
}

/*
 * A huge page that was dropped is free for all who use the pool: its file has
 * lost what was reserved for it.  A second mapping reserves again all that is
 * not there, and a file keeps that when it is unmapped.  (What a private
 * mapping has reserved stays reserved.)
 */
static int hybrid_drop_reserve(RAMBlock *rb)
{
    size_t len = qemu_ram_get_used_length(rb);
    void *again;

    if (rb->fd < 0 || rb->page_size == qemu_real_host_page_size() ||
        !qemu_ram_is_shared(rb) || qemu_ram_is_noreserve(rb)) {
        return 0;
    }
    again = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, rb->fd,
                 rb->fd_offset);
    if (again == MAP_FAILED) {
        error_report("The huge pages of block '%s' that were to be replaced "
                     "are taken by others: %s", rb->idstr, strerror(errno));
        return -errno;
    }
    munmap(again, len);
    return 0;
}

static int hybrid_dst_reserve_again(RAMBlock *rb, void *opaque)
{
    return hybrid_drop_reserve(rb);
}

int hybrid_dst_advised(void)
{
    RCU_READ_LOCK_GUARD();

    return !hybrid_dst_agreed() ? 0 :
        foreach_not_ignored_block(hybrid_dst_reserve_again, NULL);
}

/*
 * The first page of a huge page that comes brings all others with it, as
 * zeroes.  Also anything in QEMU that looks at guest memory (a display, a
 * device, the monitor) leaves zeroes there.  Where there is nothing, which is
 * nearly everywhere, this costs next to nothing.
 *
 * Of a block that consists of huge pages (hugetlbfs), one of which a part was
 * received is the source's to discard, as hybrid_stale_next() does.
 */
static int hybrid_drop_missing(RAMBlock *rb, void *opaque)
{
    HybridDropper *d = opaque;
    size_t pages = rb->postcopy_length / qemu_target_page_size();
    unsigned ratio = MAX(1, rb->page_size / qemu_target_page_size());
    size_t first = 0, end, n, ranges = 0, total = 0;
    int ret = 0;

    for (; !ret; first = end) {
        n = hybrid_missing_next(rb->receivedmap, pages, ratio, &first);
        if (!n) {
            break;
        }
        end = d->again ? hybrid_drop_skip_hole(rb, first, pages) : first;
        if (end > first) {
            continue;           /* nothing before that */
        }
        end = first + n;
        ret = hybrid_drop_add(d, rb, first, n);
        total += n;
        ranges++;
    }
    trace_hybrid_discard("missing", rb->idstr, total, ranges, 0);
    return ret ?: hybrid_drop_reserve(rb);
}

static int hybrid_dst_advise(RAMBlock *rb, void *opaque)
{
    qemu_madvise(rb->host, rb->max_length, *(int *)opaque);
    return 0;
}

static void HYBRID_BQL_LOCKED hybrid_dst_huge_pages(bool on)
{
    int advice = on ? QEMU_MADV_HUGEPAGE : QEMU_MADV_NOHUGEPAGE;
    HybridDestination *h = hybrid_destination();
    RCU_READ_LOCK_GUARD();

    if (h->small_pages == !on && !h->never_huge) {
        return;
    }
    foreach_not_ignored_block(hybrid_dst_advise, &advice);
    h->small_pages = !on;
}

void hybrid_dst_keep_small_pages(void)
{
    int advice = QEMU_MADV_NOHUGEPAGE;
    RCU_READ_LOCK_GUARD();

    hybrid_destination()->never_huge = true;
    foreach_not_ignored_block(hybrid_dst_advise, &advice);
}

/*
 * Then huge pages are off, and nothing lies where no page was received.  If
 * they were off already, it was done already: only what was touched since is
 * there.
 */
static int HYBRID_BQL_LOCKED hybrid_dst_drop_missing(void)
{
    HybridDropper d = { .again = hybrid_destination()->small_pages };
    int ret;

    hybrid_dst_huge_pages(false);
    RCU_READ_LOCK_GUARD();
    ret = foreach_not_ignored_block(hybrid_drop_missing, &d);
    return hybrid_drop_end(&d, ret);
}

/*
 * A migration that completes as precopy keeps its huge pages.  For the switch
 * to postcopy they are kept off from the first discard on, while the guest
 * still runs at the source.
 */
static int HYBRID_BQL_LOCKED hybrid_dst_begin_discards(void)
{
    return hybrid_destination()->small_pages ? 0 : hybrid_dst_drop_missing();
}

int hybrid_dst_drop_untouched(void)
{
    return hybrid_dst_took(HYBRID_FLAG_DISCARD) ? hybrid_dst_drop_missing() : 0;
}

void hybrid_dst_discards_end(void)
{
    hybrid_dst_huge_pages(true);
}

int hybrid_dst_discard(HybridMessage *m)
{
    PostcopyState ps = postcopy_state_get();
    g_autofree char *name = hybrid_msg_get_text(m);
    HybridRangeReader r = {
        .data = m->bytes->data + m->pos, .size = hybrid_msg_left(m),
    };
    uint64_t first, pages, ratio, limit, total = 0, ranges = 0;
    HybridDropper d = { 0 };
    RAMBlock *rb;
    int ret = 0;

    if (!hybrid_dst_took(HYBRID_FLAG_DISCARD) ||
        (ps != POSTCOPY_INCOMING_ADVISE && ps != POSTCOPY_INCOMING_DISCARD)) {
        error_report("Unexpected hybrid message DISCARD (state %d)", ps);
        return -EINVAL;
    }
    hybrid_bql_held();
    RCU_READ_LOCK_GUARD();
    rb = qemu_ram_block_by_name(name);
    if (!rb || migrate_ram_is_ignored(rb) || !rb->receivedmap) {
        g_autofree char *clean = hybrid_peer_text(name, strlen(name));

        error_report("hybrid message DISCARD for unknown block '%s'", clean);
        return -EINVAL;
    }
    ratio = MAX(1, rb->page_size / qemu_target_page_size());
    limit = rb->postcopy_length / qemu_target_page_size();
    ret = hybrid_dst_begin_discards();
    while (!ret && hybrid_range_get(&r, limit, &first, &pages)) {
        if (first % ratio || pages % ratio) {
            r.bad = true;
            break;
        }
        bitmap_clear(rb->receivedmap, first, pages);
        ret = hybrid_drop_add(&d, rb, first, pages);
        total += pages;
        ranges++;
    }
    if (r.bad) {
        error_report("hybrid message DISCARD for block '%s' is damaged", name);
        ret = -EINVAL;
    }
    ret = hybrid_drop_end(&d, ret) ?: hybrid_drop_reserve(rb);
    trace_hybrid_discard("dropped", rb->idstr, total, ranges, 1);
    return ret;
}
