/*
 * The bare guest's interrupts, and its second CPU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdatomic.h>
#include <string.h>
#include "machine.h"
#include "serial.h"
#include "smp.h"
#include "start.h"
#include "work.h"

#define PROTECTION      13
#define START_NS        1000000
#define START_TRIES     1000

static _Atomic bool second_runs;

static void set_interrupt(unsigned number, const void *code)
{
    uint64_t at = (uint64_t)code;

    interrupts[2 * number] = (at & 0xffff) | SUPER_CODE << 16 |
                             0x8e00ull << 32 | (at >> 16 & 0xffff) << 48;
    interrupts[2 * number + 1] = at >> 32;
}

void begin_interrupts(void)
{
    for (unsigned i = 0; i < 32; i++) {
        set_interrupt(i, exceptions + 16 * i);
    }
    set_interrupt(PROTECTION, protection);
    set_interrupt(TIMER_VECTOR, timer);
    set_interrupt(SPURIOUS_VECTOR, nothing);
    outb(0x21, 0xff);               /* nothing comes from the old chips */
    outb(0xa1, 0xff);
}

static void wait_ns(uint64_t ns)
{
    uint64_t end = now_ns() + ns;

    while (now_ns() < end) {
        ;
    }
}

/* To all but this one, of which there is one */
void begin_second(void)
{
    memcpy((void *)LOW_ADDRESS, trampoline, trampoline_end - trampoline);
    apic(APIC_ICR_LOW, 0xc4500);    /* INIT */
    wait_ns(START_NS);
    apic(APIC_ICR_LOW, 0xc4600 | LOW_ADDRESS >> 12);
    for (unsigned i = 0; !atomic_load(&second_runs); i++) {
        if (i == START_TRIES) {
            die("the second CPU does not start");
        }
        wait_ns(START_NS);
    }
}

void main1(void)
{
    Worker *w = &workers[1];

    begin_cpu(w);
    begin_timer();
    atomic_store(&second_runs, true);
    for (;;) {
        if (!work_step(w)) {
            check_cpu(w);
            sleep_until(now_ns() + SLEEP_NS);
        }
    }
}
