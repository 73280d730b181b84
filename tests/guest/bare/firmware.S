/*
 * Firmware for the bare guest: from the reset straight to its entry.
 *
 * QEMU has loaded the program (-kernel) by then, and the program asks QEMU for
 * its command line itself. A real firmware takes some seconds where each of its
 * instructions is emulated. 64 KiB, the least that QEMU takes for -bios.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "layout.h"

#define ROM_ADDRESS     0xffff0000

        .text
base:
        .code16
start:  lgdtl   %cs:gdt_at - base
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        ljmpl   $SUPER_CODE32, $1f - base + ROM_ADDRESS
        .code32
1:      movl    $SUPER_DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    $LOAD_ADDRESS, %eax
        jmp     *%eax

        .balign 8
gdt:    .quad   0, 0
        .quad   0x00cf93000000ffff      /* SUPER_DATA */
        .quad   0x00cf9b000000ffff      /* SUPER_CODE32 */
gdt_end:
gdt_at: .word   gdt_end - gdt - 1
        .long   gdt - base + ROM_ADDRESS

        /* Here a processor begins */
        .org    0xfff0, 0xf4
        .code16
        jmp     start
        .org    0x10000, 0xf4
        .section .note.GNU-stack, "", @progbits
