/*
 * Hybrid live migration: how long vCPUs wait for missing pages.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The fault thread says which vCPU touched which missing page, the threads
 * that place pages say which page has come.  A vCPU waits for one page at a
 * time; several may wait for the same.
 *
 * Addresses are those of host pages: the caller rounds a fault's address down
 * to the page size of its block, and gives the same for the page placed.
 * Times are microseconds on any clock that does not go backwards; where it
 * does, a stall counts as 0.
 *
 * Locking: the caller's; one lock around every call on one collector.  There
 * is a race to be aware of: a page may be placed between a vCPU touching it
 * and the fault thread hearing of it.  So the placing thread first marks the
 * page as received and then calls hybrid_blocktime_placed(), and the fault
 * thread looks at that mark under the lock: either it sees the mark, or
 * placed() comes later and sees the wait.
 */

#ifndef QEMU_MIGRATION_HYBRID_BLOCKTIME_H
#define QEMU_MIGRATION_HYBRID_BLOCKTIME_H

typedef struct HybridBlocktime HybridBlocktime;

HybridBlocktime *hybrid_blocktime_new(unsigned nvcpus);
void hybrid_blocktime_free(HybridBlocktime *bt);

/*
 * @vcpu touched the missing page at @addr.  With @already_received the page
 * has come in the meantime and nobody waits.  True if one vCPU more waits than
 * before, which some hybrid_blocktime_placed() will return: not if it waits
 * already (the fault is repeated, or it has given up another page, a signal
 * had called it away: that stall ends now), and not if there is no such vCPU.
 */
bool hybrid_blocktime_begin(HybridBlocktime *bt, int vcpu, uint64_t addr,
                            int64_t now_us, bool already_received);

/*
 * The pages in the @size bytes from @addr on have been placed; returns how
 * many vCPUs that woke
 */
unsigned hybrid_blocktime_placed(HybridBlocktime *bt, uint64_t addr,
                                 uint64_t size, int64_t now_us);

unsigned hybrid_blocktime_vcpus(const HybridBlocktime *bt);

/* Time that a vCPU has waited; stalls that have not ended do not count */
uint64_t hybrid_blocktime_vcpu_us(const HybridBlocktime *bt, unsigned vcpu);

#endif
