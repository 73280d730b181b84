/*
 * What the assembler and the compiler both know of the bare guest.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_BARE_LAYOUT_H
#define TESTS_GUEST_BARE_LAYOUT_H

#define LOAD_ADDRESS    0x100000
#define SET_ADDRESS     0x40000000      /* of the set's pages, not in memory */
#define LOW_ADDRESS     0x8000          /* where the second CPU begins */

#define PAGE_ALL        0x07            /* there, writable, user */
#define PAGE_DEVICE     0x10
#define PAGE_LARGE      0x80

#define SUPER_CODE      0x08
#define SUPER_DATA      0x10
#define SUPER_CODE32    0x18
#define USER_DATA       0x23
#define USER_CODE       0x2b
#define TSS0            0x30

#define CR0_BITS        0x80010033      /* PG WP NE ET MP PE */
#define CR4_BITS        0x620           /* OSXMMEXCPT OSFXSR PAE */
#define EFER            0xc0000080
#define EFER_LONG       0x100
#define USER_FLAGS      0x2             /* no interrupts */

/* What user mode asks for, in RDI */
#define CALL_SLEEP      0               /* EAX: for so long */
#define CALL_OUT        1               /* AL to port DX */
#define CALL_IN         2               /* AL from port DX */
#define CALL_OUT_TEXT   3               /* RCX bytes at RSI to port DX */
#define CALL_OUT_WORD   4               /* AX to port DX */

#define APIC_ADDRESS    0xfee00000
#define APIC_EOI        0x0b0
#define APIC_SPURIOUS   0x0f0
#define APIC_ICR_LOW    0x300
#define APIC_TIMER      0x320
#define APIC_COUNT      0x380
#define APIC_DIVIDE     0x3e0
#define TIMER_VECTOR    0x40
#define SPURIOUS_VECTOR 0xff

#endif
