/*
 * Hybrid live migration, destination: which vCPU waits for a missing page, as
 * the source is told, and how long (policy/blocktime.h).
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

struct HybridFaults {
    QemuMutex lock;             /* blocktime */
    HybridBlocktime *blocktime;
    int waiting;                /* vCPUs on missing pages, atomic */
    bool said;                  /* a VCPU, on this connection; rp_mutex */
    uint32_t said_vcpu;
};

HybridFaults *hybrid_faults_new(void)
{
    HybridFaults *faults = g_new0(HybridFaults, 1);

    qemu_mutex_init(&faults->lock);
    faults->blocktime =
        hybrid_blocktime_new(MACHINE(qdev_get_machine())->smp.max_cpus);
    return faults;
}

void hybrid_faults_free(HybridFaults *faults)
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

    QEMU_LOCK_GUARD(&faults->lock);
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

void hybrid_faults_recovered(MigrationIncomingState *mis)
{
    HybridFaults *faults = hybrid_destination()->faults;

    QEMU_LOCK_GUARD(&mis->rp_mutex);
    faults->said = false;
}

/*
 * Tell the source who waits for what is requested next, if it is another one.
 * The next message flushes it: the request, unless the page has come by now.
 */
static void hybrid_faults_say_vcpu(uint32_t vcpu)
{
    HybridFaults *faults = hybrid_destination()->faults;
    MigrationIncomingState *mis = migration_incoming_get_current();
    QEMUFile *f;
    HybridMessage m;

    if (!hybrid_dst_took(HYBRID_FLAG_VCPU)) {
        return;
    }
    QEMU_LOCK_GUARD(&mis->rp_mutex);
    f = mis->to_src_file;       /* NULL in a pause */
    if (f && (!faults->said || vcpu != faults->said_vcpu)) {
        m = hybrid_msg_new(HYBRID_MSG_VCPU);
        hybrid_msg_put_be32(&m, vcpu);
        hybrid_msg_put_to_src(f, &m);
        faults->said_vcpu = vcpu;
        faults->said = true;
    }
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
    hybrid_faults_say_vcpu(vcpu < 0 ? HYBRID_NO_VCPU : vcpu);
    if (vcpu < 0) {
        return;                 /* a device or QEMU itself */
    }
    addr = ROUND_DOWN(addr, qemu_ram_pagesize(rb));
    QEMU_LOCK_GUARD(&faults->lock);
    /*
     * Announce the wait before looking whether the page has just come: the
     * placing thread sets the bitmap first and then looks at who waits.
     */
    qatomic_inc(&faults->waiting);
    smp_mb();                   /* pairs with hybrid_faults_placed() */
    if (!hybrid_blocktime_begin(faults->blocktime, vcpu, addr, hybrid_now_us(),
                                ramblock_recv_bitmap_test(rb, (void *)addr))) {
        qatomic_dec(&faults->waiting);
    }
}

void hybrid_faults_placed(void *host, uint64_t pages)
{
    HybridFaults *faults = hybrid_destination()->faults;

    smp_mb();                   /* pairs with hybrid_dst_fault() */
    if (qatomic_read(&faults->waiting)) {
        QEMU_LOCK_GUARD(&faults->lock);
        qatomic_sub(&faults->waiting,
                    hybrid_blocktime_placed(faults->blocktime, (uintptr_t)host,
                                            pages * qemu_target_page_size(),
                                            hybrid_now_us()));
    }
}
