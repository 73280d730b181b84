/*
 * What start.S and bare.ld give to the bare guest's C code, and what start.S
 * calls.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_BARE_START_H
#define TESTS_GUEST_BARE_START_H

#include <stdint.h>

#define TABLE_WORDS     512

extern uint8_t code_begin[], code_end[], program_end[];
extern uint64_t gib1[TABLE_WORDS];      /* page table of the set */
extern uint64_t interrupts[512];
extern uint8_t exceptions[], protection[], timer[], nothing[];
extern uint8_t trampoline[], trampoline_end[];

/* The two CPUs begin here. */
void main0(void);
void main1(void);

/* One that is none of ours, and what the processor says of it */
void exception(uint64_t number, uint64_t first, uint64_t second, uint64_t at);

#endif
