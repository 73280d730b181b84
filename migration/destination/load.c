/*
 * Hybrid live migration, destination: pages of postcopy are loaded in runs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Upstream's loop copies the stream into a small buffer, and has a system
 * call, a lock and a lookup for each page.  Here a run of pages (see
 * policy/batch.h) has one of each.
 *
 * Whatever the batch loader does not know stays in the QEMUFile for upstream's
 * loop, so this file knows neither block names nor sections.  All state is
 * within one call: when a connection breaks and is recovered, nothing is left
 * of the old one.  What has been placed is marked as received also when the
 * rest of its run fails, so the source never sends it again.
 */

#include "migration/hybrid/destination/state.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/destination/delta.h"
#include "migration/hybrid/destination/hooks.h"
#include "migration/hybrid/destination/load.h"
#include "migration/hybrid/destination/window.h"
#include "migration/hybrid/policy/batch.h"

#ifdef CONFIG_LINUX

#include <sys/ioctl.h>
#include "qapi/error.h"
#include "qemu/bswap.h"
#include "qemu/error-report.h"
#include "qemu/memalign.h"
#include "qemu/rcu.h"
#include "qemu/userfaultfd.h"
#include "exec/memory.h"
#include "exec/ramblock.h"
#include "exec/target_page.h"
#include "io/channel-socket.h"
#include "migration/migration.h"
#include "migration/postcopy-ram.h"
#include "migration/qemu-file.h"
#include "migration/ram.h"
#include "migration/trace.h"

/* The main thread frees it when the listen thread has ended */
struct HybridLoad {
    HybridBatch *batch HYBRID_LISTEN_OWNED;
    uint8_t *pages HYBRID_LISTEN_OWNED;
};

/* One run that is being placed */
typedef struct HybridRun {
    MigrationIncomingState *mis;
    RAMBlock *rb;
    QEMUFile *f;
    uint8_t *host;
    const uint8_t *data;        /* NULL: zero pages */
    unsigned pages;
    unsigned n_wanted;
    unsigned wanted[HYBRID_BATCH_PAGES];
} HybridRun;

/* ---- place ---- */

static int hybrid_load_copy(void *opaque, unsigned first, unsigned pages)
{
    HybridRun *run = opaque;
    size_t size = qemu_target_page_size();
    struct uffdio_zeropage zero = {
        .range.start = (uintptr_t)run->host + first * size,
        .range.len = pages * size,
    };
    struct uffdio_copy copy = {
        .dst = zero.range.start,
        .src = (uintptr_t)run->data + first * size,
        .len = zero.range.len,
    };
    int64_t done;
    int err = 0;

    if (run->data) {
        err = ioctl(run->mis->userfault_fd, UFFDIO_COPY, &copy) ? errno : 0;
        done = copy.copy;
    } else {
        err = ioctl(run->mis->userfault_fd, UFFDIO_ZEROPAGE, &zero) ? errno : 0;
        done = zero.zeropage;
    }
    if (!err) {
        return pages;
    }
    /* A page further on may be the reason: what comes before it is placed */
    if (err == EAGAIN && done > 0) {
        return done / size;
    }
    if (err != EAGAIN) {
        error_report("Placing page 0x%" PRIx64 " of block %s failed: %s",
                     (uint64_t)qemu_ram_block_host_offset(run->rb,
                                              (void *)(uintptr_t)copy.dst),
                     run->rb->idstr, strerror(err));
    }
    return -err;
}

/* In ascending order, as the tree's keys are */
static gboolean hybrid_load_wanted(gpointer key, gpointer value,
                                   gpointer opaque)
{
    HybridRun *run = opaque;
    uintptr_t offset = (uintptr_t)key - (uintptr_t)run->host;
    size_t page = offset / qemu_target_page_size();

    if ((uintptr_t)key >= (uintptr_t)run->host && page < run->pages) {
        run->wanted[run->n_wanted++] = page;
    }
    return (uintptr_t)key >= (uintptr_t)run->host && page >= run->pages;
}

/* Which pages of a run have been requested; page_request_mutex held */
static void hybrid_load_find_wanted(HybridRun *run)
{
    run->n_wanted = 0;
    if (qatomic_read(&run->mis->page_requested_count)) {
        g_tree_foreach(run->mis->page_requested, hybrid_load_wanted, run);
    }
}

/* For a run what qemu_ufd_copy_ioctl() does for a page */
static void hybrid_load_done(void *opaque, unsigned first, unsigned pages)
{
    const HybridRun *all = opaque;
    MigrationIncomingState *mis = all->mis;
    size_t size = qemu_target_page_size();
    HybridRun run = {
        .mis = mis, .host = all->host + first * size, .pages = pages,
    };

    WITH_QEMU_LOCK_GUARD(&mis->page_request_mutex) {
        ramblock_recv_bitmap_set_range(all->rb, run.host, pages);
        hybrid_load_find_wanted(&run);
        for (unsigned i = 0; i < run.n_wanted; i++) {
            void *host = run.host + run.wanted[i] * size;
            int left;

            g_tree_remove(mis->page_requested, host);
            left = qatomic_dec_fetch(&mis->page_requested_count);
            trace_postcopy_page_req_del(host, left);
            if (!left) {
                qemu_cond_signal(&mis->page_request_cond);
            }
        }
    }
    trace_hybrid_load_placed(all->rb->idstr,
                             qemu_ram_block_host_offset(all->rb, run.host),
                             pages, !all->data, run.n_wanted);
    hybrid_dst_placed(run.host, pages);
}

static int hybrid_load_place(void *opaque, uint64_t addr, unsigned pages,
                             const uint8_t *data)
{
    HybridRun *run = opaque;
    size_t size = qemu_target_page_size();
    int ret;

    run->host = run->rb->host + addr;
    run->pages = pages;
    run->data = data;
    WITH_QEMU_LOCK_GUARD(&run->mis->page_request_mutex) {
        hybrid_load_find_wanted(run);
    }
    ret = hybrid_batch_place(pages, run->wanted, run->n_wanted,
                             hybrid_load_copy, hybrid_load_done, run);
    hybrid_window_pages(pages);
    if (run->mis->postcopy_remote_fds->len) {
        for (unsigned i = 0; !ret && i < pages; i++) {
            ret = postcopy_notify_shared_wake(run->rb, addr + i * size);
        }
    }
    return ret;
}

/* ---- read ---- */

/*
 * What is read into many places must not wait for more than has arrived.  A
 * socket's read does not; others wait for each place again (TLS, record by
 * record) unless the channel is set not to wait at all.  Whoever else uses the
 * channel, for the return path, waits by polling then.  False: it cannot be
 * set so.
 */
static bool hybrid_load_may_scatter(QEMUFile *f)
{
    QIOChannel *ioc = qemu_file_get_ioc(f);

    return object_dynamic_cast(OBJECT(ioc), TYPE_QIO_CHANNEL_SOCKET) ||
           !qio_channel_set_blocking(ioc, false, NULL);
}

static ssize_t HYBRID_LISTEN_THREAD
hybrid_load_read(void *opaque, struct iovec *iov, unsigned n, size_t held)
{
    HybridRun *run = opaque;
    QIOChannel *ioc = qemu_file_get_ioc(run->f);
    Error *err = NULL;
    ssize_t len;

    do {
        /* Set before the stream is shut down, whose end is not taken for one */
        if (qemu_file_get_error(run->f)) {
            return qemu_file_get_error(run->f);
        }
        hybrid_window_has_read(run->f, qemu_file_stream_bytes(run->f) - held);
        len = qio_channel_readv(ioc, iov, n, &err);
        if (len == QIO_CHANNEL_ERR_BLOCK) {
            qio_channel_wait(ioc, G_IO_IN);
        }
    } while (len == QIO_CHANNEL_ERR_BLOCK);

    if (len < 0) {
        qemu_file_set_error_obj(run->f, -EIO, err);
        return -EIO;
    }
    qemu_file_stream_add(run->f, len);
    return len;
}

static HYBRID_LISTEN_THREAD HybridBatch *hybrid_load_batch(void)
{
    static const HybridBatchOps ops = {
        .read = hybrid_load_read,
        .place = hybrid_load_place,
    };
    HybridLoad *l = hybrid_destination()->load;

    if (!l->batch) {
        size_t size = qemu_target_page_size();
        HybridBatchFormat format = {
            .page_size = size,
            .page_flags = RAM_SAVE_FLAG_PAGE | RAM_SAVE_FLAG_CONTINUE,
            .zero_flags = RAM_SAVE_FLAG_ZERO | RAM_SAVE_FLAG_CONTINUE,
            .zero_pages = true,
        };

        l->pages = qemu_memalign(size, HYBRID_BATCH_PAGES * size);
        l->batch = hybrid_batch_new(&format, &ops, l->pages);
    }
    return l->batch;
}

HybridLoad *hybrid_load_new(void)
{
    return g_new0(HybridLoad, 1);
}

void TSA_NO_TSA hybrid_load_free(HybridLoad *l)
{
    if (l) {
        g_clear_pointer(&l->batch, hybrid_batch_free);
        g_clear_pointer(&l->pages, qemu_vfree);
        g_free(l);
    }
}

void TSA_NO_TSA hybrid_load_cleanup(void)
{
    HybridLoad *l = hybrid_destination()->load;

    g_clear_pointer(&l->batch, hybrid_batch_free);
    g_clear_pointer(&l->pages, qemu_vfree);
}

/*
 * Differences for pages of the same block that lie in @ahead: the pages that
 * are made of them are placed in runs, too.  Left is what is something else, or
 * not all there, or wrong.  *@any: there were some.
 */
static int HYBRID_LISTEN_THREAD
hybrid_load_deltas(HybridRun *run, HybridReadahead *ahead, bool *any)
{
    const uint64_t kind = RAM_SAVE_FLAG_XBZRLE | RAM_SAVE_FLAG_CONTINUE;
    uint8_t *pages = hybrid_destination()->load->pages;
    size_t size = qemu_target_page_size(), bytes = 1;
    uint64_t first = 0;
    int ret = 0;

    *any = false;
    while (!ret && bytes) {
        unsigned n = 0;

        while (n < HYBRID_BATCH_PAGES &&
               ahead->size - ahead->index > sizeof(uint64_t)) {
            const uint8_t *at = ahead->buf + ahead->index;
            uint64_t header = ldq_be_p(at);
            uint64_t addr = header & ~(uint64_t)(size - 1);

            first = n ? first : addr;
            bytes = 0;
            if ((header & (size - 1)) != kind || addr != first + n * size) {
                bytes = (header & (size - 1)) == kind;  /* another run */
                break;
            }
            bytes = hybrid_delta_take(run->rb, addr, at + sizeof(header),
                                      ahead->size - ahead->index -
                                      sizeof(header), pages + n * size);
            if (!bytes) {
                break;
            }
            ahead->index += sizeof(header) + bytes;
            n++;
        }
        if (!n) {
            break;
        }
        *any = true;
        ret = hybrid_load_place(run, first, n, pages);
        if (!ret) {
            hybrid_deltas_placed(run->mis, n);
        }
    }
    return ret;
}

void hybrid_load_pages(MigrationIncomingState *mis, QEMUFile *f, int channel)
{
    RAMBlock *rb = mis->last_recv_block[channel];
    HybridReadahead ahead;
    HybridRun run = { .mis = mis, .rb = rb, .f = f };
    int *index, *size, ret;
    bool deltas = false;

    if (!hybrid_dst_agreed() || channel != RAM_CHANNEL_PRECOPY ||
        f != mis->from_src_file) {
        return;
    }
    hybrid_dst_in_listen_thread();
    hybrid_window_has_read(f, qemu_file_stream_bytes(f));
    hybrid_window_pages(1);     /* our caller's, when we come back */
    /* Zero pages need UFFDIO_ZEROPAGE; hugetlbfs has neither it nor runs */
    if (mis->blocktime_ctx || !rb || !rb->host ||
        rb->page_size != qemu_target_page_size() ||
        !qemu_ram_is_uf_zeroable(rb) || qemu_file_get_error(f) ||
        !hybrid_load_may_scatter(f)) {
        return;
    }
    ahead.buf = qemu_file_readahead(f, &ahead.capacity, &index, &size);
    ahead.index = *index;
    ahead.size = *size;
    *index = *size = 0;         /* the file is told what is left, at the end */
    do {
        ret = hybrid_batch_load(hybrid_load_batch(), rb->postcopy_length,
                                &ahead, &run);
        if (!ret && hybrid_dst_takes_deltas()) {
            ret = hybrid_load_deltas(&run, &ahead, &deltas);
        }
    } while (!ret && deltas);
    *index = ahead.index;
    *size = ahead.size;
    if (ret && !qemu_file_get_error(f)) {
        qemu_file_set_error(f, ret);
    }
    /*
     * The section may end here, and the source send no more, not even the end
     * of its footer, until it hears how much was read.
     */
    if (!ret) {
        hybrid_window_has_read(f, qemu_file_stream_bytes(f));
    }
}

/* ---- can it be done? ---- */

/* What is done to a block before the guest runs here, which is too late */
static int hybrid_load_try(RAMBlock *rb, void *opaque)
{
    Error **errp = opaque;
    uint64_t ioctls = 0;
    int fd, err = 0;

    if (rb->flags & RAM_READONLY_FD) {
        error_setg(errp, "postcopy cannot replace pages of block '%s' at the "
                   "destination: its file is open for reading only",
                   rb->idstr);
        return -1;
    }
    fd = uffd_create_fd(0, false);
    if (fd < 0) {
        return 0;               /* was found to work: a shortage */
    }
    if (uffd_register_memory(fd, rb->host, qemu_ram_get_used_length(rb),
                             UFFDIO_REGISTER_MODE_MISSING, &ioctls)) {
        err = errno;
    }
    uffd_close_fd(fd);          /* with all that is registered */
    if (err || !(ioctls & BIT_ULL(_UFFDIO_COPY))) {
        error_setg(errp, "postcopy cannot place pages in block '%s' at the "
                   "destination: %s", rb->idstr,
                   err ? strerror(err) : "userfaultfd does not copy there");
        return -1;
    }
    return 0;
}

bool hybrid_load_possible(Error **errp)
{
    RCU_READ_LOCK_GUARD();
    return !foreach_not_ignored_block(hybrid_load_try, errp);
}

#else

bool hybrid_load_possible(Error **errp)
{
    return true;
}

void hybrid_load_pages(MigrationIncomingState *mis, QEMUFile *f, int channel)
{
}

void hybrid_load_cleanup(void)
{
}

#endif
