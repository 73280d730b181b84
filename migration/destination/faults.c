/*
 * Hybrid live migration, destination: which vCPU waits for a missing page, and
 * how long (policy/blocktime.h).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migration/hybrid/destination/state.h"
#include "exec/ramblock.h"
#include "exec/target_page.h"
#include "hw/boards.h"
#include "hw/core/cpu.h"
#include "migration/migration.h"
#include "migration/ram.h"
#include "migration/qemu-file.h"
#include "migration/hybrid/common/point.h"
#include "migration/hybrid/destination/faults.h"
#include "migration/hybrid/destination/hooks.h"
#include "migration/hybrid/policy/blocktime.h"

HYBRID_LOCK_NAME(hybrid_faults);

struct HybridFaults {
    QemuMutex lock;
    HybridBlocktime *blocktime TSA_GUARDED_BY(hybrid_faults_locked);
    HybridShared waiting;       /* vCPUs on missing pages */
};

HYBRID_LOCK_OF(HybridFaults, hybrid_faults)

HybridFaults *TSA_NO_TSA hybrid_faults_new(void)
{
    HybridFaults *faults = g_new0(HybridFaults, 1);

    qemu_mutex_init(&faults->lock);
    faults->blocktime =
        hybrid_blocktime_new(MACHINE(qdev_get_machine())->smp.max_cpus);
    return faults;
}

void TSA_NO_TSA hybrid_faults_free(HybridFaults *faults)
{
    if (faults) {
        hybrid_blocktime_free(faults->blocktime);
        qemu_mutex_destroy(&faults->lock);
        g_free(faults);
    }
}

/* Indices of vCPUs in use, up to the highest one: they may be hot-plugged */
static unsigned hybrid_faults_vcpus(void)
{
    unsigned n = 0;
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        n = MAX(n, cpu->cpu_index + 1);
    }
    return n;
}

void hybrid_faults_report(HybridMessage *m)
{
    HybridFaults *faults = hybrid_destination()->faults;
    unsigned n;

    HYBRID_LOCK_GUARD(hybrid_faults, faults);
    n = MIN(hybrid_faults_vcpus(), hybrid_blocktime_vcpus(faults->blocktime));
    n = MIN(n, HYBRID_MSG_MAX_BODY / 8 - 2);
    hybrid_msg_put_be32(m, n);
    for (unsigned i = 0; i < n; i++) {
        hybrid_msg_put_be64(m, hybrid_blocktime_vcpu_us(faults->blocktime, i));
    }
}

static int hybrid_faults_vcpu(uint32_t ptid)
{
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        if (cpu->thread_id == ptid) {
            return cpu->cpu_index;
        }
    }
    return -1;
}

void hybrid_dst_fault(RAMBlock *rb, uintptr_t addr, uint32_t ptid)
{
    HybridFaults *faults = hybrid_destination()->faults;
    int vcpu;

    if (!hybrid_dst_agreed()) {
        return;
    }
    hybrid_point("dst-fault");
    vcpu = hybrid_faults_vcpu(ptid);
    if (vcpu < 0) {
        return;                 /* a device or QEMU itself */
    }
    addr = ROUND_DOWN(addr, qemu_ram_pagesize(rb));
    HYBRID_LOCK_GUARD(hybrid_faults, faults);
    /*
     * Announce the wait before looking whether the page has just come: the
     * placing thread sets the bitmap first and then looks at who waits.
     */
    hybrid_shared_add(&faults->waiting, 1);
    smp_mb();                   /* pairs with hybrid_faults_placed() */
    if (!hybrid_blocktime_begin(faults->blocktime, vcpu, addr, hybrid_now_us(),
                                ramblock_recv_bitmap_test(rb, (void *)addr))) {
        hybrid_shared_add(&faults->waiting, -1);
    }
}

void hybrid_faults_placed(void *host, uint64_t pages)
{
    HybridFaults *faults = hybrid_destination()->faults;

    smp_mb();                   /* pairs with hybrid_dst_fault() */
    if (hybrid_shared_get(&faults->waiting)) {
        HYBRID_LOCK_GUARD(hybrid_faults, faults);
        hybrid_shared_add(&faults->waiting,
            -hybrid_blocktime_placed(faults->blocktime, (uintptr_t)host,
                                     pages * qemu_target_page_size(),
                                     hybrid_now_us()));
    }
}
