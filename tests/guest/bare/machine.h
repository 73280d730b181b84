/*
 * The bare guest's hardware, from user mode: ports, time, sleep.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_BARE_MACHINE_H
#define TESTS_GUEST_BARE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "layout.h"

#define FW_RAM_SIZE     0x03
#define FW_CPUS         0x05
#define FW_CMDLINE_SIZE 0x14
#define FW_CMDLINE      0x15

#define SLEEP_MOST      (UINT32_MAX - 1)

extern uint64_t tsc_khz;

/* See start.S */
static inline void outb(uint16_t port, uint8_t value)
{
    asm volatile("hlt" : : "D"(CALL_OUT), "a"(value), "d"(port));
}

static inline uint8_t inb(uint16_t port)
{
    uint8_t value;

    asm volatile("hlt" : "=a"(value) : "D"(CALL_IN), "d"(port));
    return value;
}

static inline void outsb(uint16_t port, const void *bytes, size_t count)
{
    asm volatile("hlt" : "+S"(bytes), "+c"(count) :
                 "D"(CALL_OUT_TEXT), "d"(port) : "memory");
}

void measure_tsc(void);
uint64_t now_ns(void);

/* At least until then, if that is not past; each CPU has its timer. */
void begin_timer(void);
void sleep_until(uint64_t ns);

/* Or for so long */
void sleep_until_or(uint64_t ns, uint64_t most);

/* What the machine says of itself. */
void fw_read(uint16_t item, void *to, uint32_t size);

void apic(unsigned reg, uint32_t value);

/*
 * The compiler uses no vector register, so each CPU keeps in them what it was
 * given in the beginning.
 */
void fill_registers(uint64_t value);
bool registers_hold(uint64_t value);

#endif
