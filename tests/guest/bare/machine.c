/*
 * The bare guest's hardware, from user mode.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "machine.h"

/* The timer chip: 1193182 Hz; its third counter hangs on no interrupt */
#define PIT_HZ          1193182
#define PIT_COUNTER     0x42
#define PIT_CONTROL     0x43
#define SPEAKER         0x61
#define SPEAKER_RAN_OUT 0x20            /* the third counter has */

#define FW_SELECTOR     0x510
#define FW_DATA         0x511

#define APIC_NS         1               /* QEMU's and KVM's run at 1 GHz */

uint64_t tsc_khz;
static uint64_t tsc_scale;              /* ns of a cycle, in 1 / 2^32 */

static inline void outw(uint16_t port, uint16_t value)
{
    asm volatile("hlt" : : "D"(CALL_OUT_WORD), "a"(value), "d"(port));
}

static inline uint64_t tsc(void)
{
    uint32_t low, high;

    asm volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

uint64_t now_ns(void)
{
    return (unsigned __int128)tsc() * tsc_scale >> 32;
}

void fw_read(uint16_t item, void *to, uint32_t size)
{
    outw(FW_SELECTOR, item);
    for (uint8_t *byte = to; size; size--) {
        *byte++ = inb(FW_DATA);
    }
}

void apic(unsigned reg, uint32_t value)
{
    /* volatile: a device */
    *(volatile uint32_t *)(APIC_ADDRESS + (uint64_t)reg) = value;
}

/* What the counter says, and when: of some tries, the one that took least */
static uint64_t pit_at(uint64_t *at)
{
    uint64_t best = UINT64_MAX, value = 0;

    for (unsigned i = 0; i < 8; i++) {
        uint64_t before = tsc(), count, took;

        outb(PIT_CONTROL, 0x80);        /* hold the third one's value */
        took = tsc() - before;
        count = inb(PIT_COUNTER);
        count |= inb(PIT_COUNTER) << 8;
        if (took < best) {
            best = took;
            *at = before + took / 2;
            value = count;
        }
    }
    return value;
}

/*
 * Of a host that is busy it may come back so late that the counter has run out,
 * and says nothing any more: then once more.
 */
void measure_tsc(void)
{
    uint64_t from, to, start, count;

    outb(SPEAKER, (inb(SPEAKER) & ~2) | 1);
    do {
        outb(PIT_CONTROL, 0xb0);        /* count down once, both bytes */
        outb(PIT_COUNTER, 0xff);
        outb(PIT_COUNTER, 0xff);
        start = pit_at(&from);
        do {
            count = pit_at(&to);
        } while (start - count < PIT_HZ / 100);
    } while (inb(SPEAKER) & SPEAKER_RAN_OUT);
    tsc_khz = (to - from) * PIT_HZ / (start - count) / 1000;
    tsc_scale = (1000000ull << 32) / tsc_khz;
}

/* Each CPU for itself */
void begin_timer(void)
{
    apic(APIC_SPURIOUS, 0x100 | SPURIOUS_VECTOR);
    apic(APIC_DIVIDE, 0xb);             /* by 1 */
    apic(APIC_TIMER, TIMER_VECTOR);
}

void sleep_until_or(uint64_t ns, uint64_t most)
{
    uint64_t now = now_ns();

    if (ns > now) {
        uint64_t dx, left = ns - now < most ? ns - now : most;

        asm volatile("hlt" : "=d"(dx) :
                     "D"(CALL_SLEEP), "a"(left * APIC_NS + 1) : "memory");
    }
}

void sleep_until(uint64_t ns)
{
    sleep_until_or(ns, SLEEP_MOST);
}

#define FOR_REGISTERS(DO) \
    DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) \
    DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15)

void fill_registers(uint64_t value)
{
#define FILL(n) asm volatile("movq %0, %%xmm" #n : : "r"(value + n));
    FOR_REGISTERS(FILL)
}

bool registers_hold(uint64_t value)
{
    uint64_t word[16], differ = 0;

#define GET(n) asm volatile("movq %%xmm" #n ", %0" : "=r"(word[n]));
    FOR_REGISTERS(GET)
    for (unsigned n = 0; n < 16; n++) {
        differ |= word[n] ^ (value + n);
    }
    return !differ;
}
