/*
 * Hybrid live migration: does the destination have room for the guest?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The arithmetic and the parsers, without any I/O: the caller reads the files
 * and hands in their text.  Sums that would overflow stay at UINT64_MAX and
 * differences at 0.
 *
 * Locking: none needed, nothing here has state.
 */

#ifndef QEMU_MIGRATION_HYBRID_RESERVE_H
#define QEMU_MIGRATION_HYBRID_RESERVE_H

#include "cgroup.h"

/* Bytes, all of them */
typedef struct HybridHostMemory {
    uint64_t mem_available;     /* /proc/meminfo, MemAvailable */
    uint64_t swap_free;         /* /proc/meminfo, SwapFree */
    /*
     * The control group, of the process's own and its parents, that has the
     * least room.  Swap as in version 2: apart from memory.
     */
    uint64_t cgroup_limit;      /* UINT64_MAX: none */
    uint64_t cgroup_used;
    uint64_t cgroup_reclaimable;        /* page cache, part of used */
    uint64_t cgroup_swap_limit; /* UINT64_MAX: none */
    uint64_t cgroup_swap_used;
    uint64_t cgroup_total_limit;        /* version 1, both; UINT64_MAX: none */
    uint64_t cgroup_total_used;
    /* The ledger: claimed by other incoming guests and not yet touched */
    uint64_t claimed_by_others;         /* on the whole host */
    uint64_t cgroup_claimed_by_others;  /* below that control group */
} HybridHostMemory;

/* Bytes, all of them; huge pages and their blocks do not count here */
typedef struct HybridMemoryNeed {
    uint64_t guest_bytes;
    /*
     * Part of guest_bytes that has been touched: ADVISE gives it back and the
     * migration touches it again, so it is not needed a second time.
     */
    uint64_t resident_bytes;
    uint64_t buffers_bytes;     /* threads, stream and placing buffers */
} HybridMemoryNeed;

/* "No control group, no claims, nothing available" */
void hybrid_reserve_host_init(HybridHostMemory *host);

/* What is needed on top of what is in use */
uint64_t hybrid_reserve_needed(const HybridMemoryNeed *need);

/*
 * True if the guest fits.  @needed: bytes that are needed on top of what is in
 * use; @available: bytes that may be used, the smaller of host and control
 * group, with the allowance of @overcommit_pct percent on top.  It fits if
 * needed <= available: these are the numbers that a refusal names.
 */
bool hybrid_reserve_check(const HybridMemoryNeed *need,
                          const HybridHostMemory *host,
                          uint32_t overcommit_pct,
                          uint64_t *needed, uint64_t *available);

/*
 * Another control group, of which other guests have claimed @claimed bytes:
 * noted in @host if it has less room than what is noted there.
 */
void hybrid_reserve_add_group(HybridHostMemory *host,
                              const HybridCgroupLevel *level,
                              uint64_t claimed);

/*
 * /proc/meminfo: sets mem_available and swap_free, nothing else.  False if
 * there is no MemAvailable (then nothing is set); no SwapFree means no swap.
 */
bool hybrid_reserve_parse_meminfo(const char *text, HybridHostMemory *out);

/*
 * /sys/devices/system/node/nodeN/meminfo: what this node alone can give, as
 * MemAvailable does for the whole host: free memory, page cache that can be
 * dropped, and half of the slabs that can shrink.  False if it does not say.
 */
bool hybrid_reserve_parse_node(const char *text, uint64_t *bytes);

/* "0,2-3" as bits; nodes beyond the 64th are left out */
uint64_t hybrid_reserve_parse_nodes(const char *text);

/*
 * One sentence without a full stop, for operators: what there is not enough of
 * (@what), and both numbers; in MiB, and in bytes where these look equal.
 * The caller frees it.
 */
char *hybrid_reserve_refusal(const char *what, uint64_t needed,
                             uint64_t available);

#endif
