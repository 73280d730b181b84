/*
 * Hybrid live migration, source: QEMU's dirty log, read between two syncs.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * With KVM's manual protection (KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2) a page
 * stays in KVM's log until its part of clear_bmap is cleared, which sending the
 * first page of that part does; and in the beginning all pages may be in the
 * log.  So what KVM says of a part that was never cleared means nothing.  What
 * it says later does, as each round ends with a look that clears the log.
 */

#include "migration/hybrid/source/state.h"
#include "qemu/bitmap.h"
#include "qemu/rcu.h"
#include "exec/memory.h"
#include "exec/ram_addr.h"
#include "exec/target_page.h"
#include "system/kvm.h"
#ifdef CONFIG_KVM
#include "system/kvm_int.h"
#endif
#include "system/tcg.h"
#include "migration/ram.h"
#include "migration/hybrid/source/block.h"
#include "migration/hybrid/source/dirty-log.h"

static bool log_manual(void)
{
#ifdef CONFIG_KVM
    return kvm_enabled() && !kvm_dirty_ring_enabled() &&
           kvm_state->manual_dirty_log_protect;
#else
    return false;
#endif
}

bool hybrid_dirty_log_read_clears(void)
{
    return !tcg_enabled() && !log_manual();
}

static size_t log_parts(RAMBlock *rb, size_t pages)
{
    return clear_bmap_size(pages, rb->clear_bmap_shift);
}

void hybrid_dirty_log_begin(RAMBlock *rb)
{
    size_t parts = log_parts(rb, rb->max_length >> TARGET_PAGE_BITS);

    g_free(rb->hybrid->armed);
    rb->hybrid->armed = bitmap_new(parts);
    if (!log_manual()) {
        bitmap_set(rb->hybrid->armed, 0, parts);
    }
}

/* The next pages that are armed or not, from @page on */
static bool log_next(RAMBlock *rb, bool armed, size_t *page,
                     size_t *end)
{
    size_t pages = hybrid_block_pages(rb);
    size_t parts = log_parts(rb, pages), first, last;
    const unsigned long *map = rb->hybrid->armed;

    first = log_parts(rb, *page);
    if (armed) {
        first = find_next_bit(map, parts, first);
        last = find_next_zero_bit(map, parts, first);
    } else {
        first = find_next_zero_bit(map, parts, first);
        last = find_next_bit(map, parts, first);
    }
    *page = first << rb->clear_bmap_shift;
    *end = MIN(last << rb->clear_bmap_shift, pages);
    return first < parts;
}

/* Moves what the log has of @page to @end - 1 to what was found */
static void log_move(RAMBlock *rb, size_t page, size_t end)
{
    cpu_physical_memory_sync_dirty_bitmap(
        rb, rb->hybrid->fresh, (ram_addr_t)page << TARGET_PAGE_BITS,
        (ram_addr_t)(end - page) << TARGET_PAGE_BITS);
}

/*
 * Before a look: which parts have been cleared by now?  clear_bmap names
 * those that were not since the last sync or look.  What is said of others is
 * thrown away; their pages are still to be sent anyway.  Any that is not, by
 * whatever way, is merged back.
 */
static void log_note_armed(RAMBlock *rb)
{
    HybridBlock *hb = rb->hybrid;
    size_t parts = log_parts(rb, hybrid_block_pages(rb));
    size_t page, end;

    for (size_t c = find_first_zero_bit(rb->clear_bmap, parts); c < parts;
         c = find_next_zero_bit(rb->clear_bmap, parts, c + 1)) {
        set_bit(c, hb->armed);
    }
    for (page = 0; log_next(rb, false, &page, &end); page = end) {
        log_move(rb, page, end);
        for (size_t w = BIT_WORD(page); w < BITS_TO_LONGS(end); w++) {
            hb->pending[w] |= hb->fresh[w] & ~rb->bmap[w] & ~hb->deferred[w];
            hb->fresh[w] = 0;
        }
    }
}

/* Copies the same */
static void log_copy(RAMBlock *rb, size_t page, size_t end)
{
    DirtyMemoryBlocks *log =
        qatomic_rcu_read(&ram_list.dirty_memory[DIRTY_MEMORY_MIGRATION]);
    size_t base = rb->offset >> TARGET_PAGE_BITS, len;

    /* Blocks, and parts of them, begin at a word of the log */
    for (; page < end; page += len) {
        size_t from = (base + page) % DIRTY_MEMORY_BLOCK_SIZE;
        size_t block = (base + page) / DIRTY_MEMORY_BLOCK_SIZE;

        len = MIN(end - page, DIRTY_MEMORY_BLOCK_SIZE - from);
        bitmap_copy_with_src_offset(rb->hybrid->fresh + BIT_WORD(page),
                                    log->blocks[block], from, len);
    }
    bitmap_clear(rb->hybrid->fresh, end, ROUND_UP(end, BITS_PER_LONG) - end);
}

uint64_t hybrid_dirty_log_read(RAMBlock *rb)
{
    size_t page = 0, end;

    log_note_armed(rb);
    for (; log_next(rb, true, &page, &end); page = end) {
        log_copy(rb, page, end);
    }
    return bitmap_count_one(rb->hybrid->fresh, hybrid_block_pages(rb));
}

/*
 * Of a part that is deferred no page is sent: clear it here, or its pages
 * would look hot for ever.
 */
static void log_rearm(RAMBlock *rb)
{
    size_t pages = hybrid_block_pages(rb);
    ram_addr_t part = (ram_addr_t)1 << rb->clear_bmap_shift;
    size_t page = 0;

    while ((page = find_next_bit(rb->hybrid->fresh, pages, page)) < pages) {
        ram_addr_t start = QEMU_ALIGN_DOWN(page, part);

        if (clear_bmap_test_and_clear(rb, page)) {
            memory_region_clear_dirty_bitmap(rb->mr, start << TARGET_PAGE_BITS,
                                             part << TARGET_PAGE_BITS);
        }
        page = start + part;
    }
}

void hybrid_dirty_log_clear(RAMBlock *rb)
{
    size_t page = 0, end;

    bitmap_zero(rb->hybrid->fresh, hybrid_block_pages(rb));
    log_note_armed(rb);
    for (; log_next(rb, true, &page, &end); page = end) {
        log_move(rb, page, end);
    }
    log_rearm(rb);
}
