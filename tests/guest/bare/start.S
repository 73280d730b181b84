/*
 * The bare guest's supervisor code: from the reset of a processor to user mode,
 * and the way back that sleeping takes.
 *
 * It is as short as it can be: where /dev/kvm opens on a machine that has no
 * virtualization of its own, each of these instructions is emulated, while user
 * mode runs at full speed. So all tables are data that the assembler makes,
 * and user mode may write them: what is left to do (the addresses in the
 * interrupt table, the pages of the set) it does itself.
 *
 * Everything here has a fixed address below 16 MiB, so that the parts of an
 * address in a descriptor are constants.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "layout.h"

        .section .boot, "awx"
base:
#define ADDRESS(label)  ((label) - base + LOAD_ADDRESS)

/* The first CPU: 32 bits, no paging, from firmware.S or by PVH */
        .code32
        .globl  entry, load_address
        .set    load_address, LOAD_ADDRESS
entry:
        cli
        cld
        movl    $TSS0, %edi
        movl    $user_stack0, %esi
        jmp     long_mode
entry1:
        movl    $TSS0 + 16, %edi
        movl    $user_stack1, %esi
long_mode:
        movl    $ADDRESS(root), %eax
        movl    %eax, %cr3
        movl    $CR4_BITS, %eax
        movl    %eax, %cr4
        movl    $EFER, %ecx
        xorl    %edx, %edx
        movl    $EFER_LONG, %eax
        wrmsr
        movl    $CR0_BITS, %eax
        movl    %eax, %cr0
        lgdt    ADDRESS(gdt_at)
        ljmp    $SUPER_CODE, $ADDRESS(user)

        .code64
user:
        lidt    ADDRESS(idt_at)
        movl    $USER_DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        ltr     %di
        movl    $ADDRESS(stack0), %esp
        pushq   %rax
        pushq   %rsi
        pushq   $USER_FLAGS
        pushq   $USER_CODE
        cmpl    $TSS0, %edi
        je      1f
        pushq   $main1
        iretq
1:      pushq   $main0
        iretq

        .balign 4096
/* Page tables: 1 GiB as it is, in pages of 2 MiB, and what is below 4 GiB */
        .globl  root, gib1
root:   .quad   ADDRESS(gibs) + PAGE_ALL
        .fill   511, 8, 0
gibs:   .quad   ADDRESS(gib0) + PAGE_ALL
        .quad   ADDRESS(gib1) + PAGE_ALL
        .quad   0
        .quad   ADDRESS(gib3) + PAGE_ALL
        .fill   508, 8, 0
        .set    page, 0
gib0:   .rept   512
        .quad   page + PAGE_ALL + PAGE_LARGE
        .set    page, page + 0x200000
        .endr
gib1:   .fill   512, 8, 0               /* the set, see memory.h */
gib3:   .fill   502, 8, 0
        .quad   0xfec00000 + PAGE_ALL + PAGE_LARGE + PAGE_DEVICE
        .quad   0xfee00000 + PAGE_ALL + PAGE_LARGE + PAGE_DEVICE
        .fill   8, 8, 0

        .globl  interrupts
interrupts:
        .fill   512, 8, 0

/* For each CPU: where its stack for interrupts begins */
tss0:   .long   0
        .quad   ADDRESS(stack0)
        .fill   90, 1, 0
        .word   104
tss1:   .long   0
        .quad   ADDRESS(stack1)
        .fill   90, 1, 0
        .word   104

        .macro  descriptor_of_tss label
        .word   103
        .word   ADDRESS(\label) & 0xffff
        .byte   ADDRESS(\label) >> 16 & 0xff, 0x89, 0, 0
        .quad   0
        .endm

        .balign 16
gdt:    .quad   0
        .quad   0x00af9b000000ffff      /* SUPER_CODE */
        .quad   0x00cf93000000ffff      /* SUPER_DATA */
        .quad   0x00cf9b000000ffff      /* SUPER_CODE32 */
        .quad   0x00cff3000000ffff      /* USER_DATA */
        .quad   0x00affb000000ffff      /* USER_CODE */
        descriptor_of_tss tss0          /* TSS0 */
        descriptor_of_tss tss1
gdt_end:
        .balign 8
        .word   0, 0, 0
gdt_at: .word   gdt_end - gdt - 1
        .long   ADDRESS(gdt)
        .word   0, 0, 0
idt_at: .word   4095
        .quad   ADDRESS(interrupts)

        .balign 16
        .fill   2048, 1, 0
stack0: .fill   2048, 1, 0
stack1:

/* The second CPU begins in 16 bits, at an address below 1 MiB: see smp.h */
        .code16
        .globl  trampoline, trampoline_end
trampoline:
        lgdtl   %cs:2f - trampoline
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        ljmpl   $SUPER_CODE32, $1f - base + LOAD_ADDRESS
2:      .word   gdt_end - gdt - 1
        .long   ADDRESS(gdt)
trampoline_end:
        .code32
1:      movl    $SUPER_DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        jmp     entry1

/*
 * User mode asks for what it must not do by HLT, with what it asks for in RDI:
 * not every KVM lets it use ports, or call by other instructions. Interrupts
 * are only open here, so none comes between arming the timer and the sleep.
 */
        .code64
        .globl  protection, timer, nothing
protection:
        pushq   %rax
        movq    16(%rsp), %rax
        cmpb    $0xf4, (%rax)
        popq    %rax
        jne     no_call
        addq    $8, %rsp
        incq    (%rsp)
        cmpl    $CALL_OUT, %edi
        jb      sleep
        je      out
        cmpl    $CALL_IN, %edi
        je      in
        cmpl    $CALL_OUT_TEXT, %edi
        je      out_text
        outw    %ax, %dx                /* CALL_OUT_WORD */
        iretq
out:    outb    %al, %dx
        iretq
in:     inb     %dx, %al
        iretq
out_text:
        rep     outsb
        iretq
sleep:  movl    $APIC_ADDRESS + APIC_COUNT, %edx
        movl    %eax, (%rdx)
        sti
        hlt
        cli
        iretq
timer:
        pushq   %rax
        movl    $APIC_ADDRESS + APIC_EOI, %eax
        movl    $0, (%rax)
        popq    %rax
nothing:
        iretq

/* Any other exception goes to user mode, with its number */
        .globl  exceptions
        .balign 16
exceptions:
        .set    number, 0
        .rept   32
        pushq   $number
        jmp     broken
        .balign 16
        .set    number, number + 1
        .endr
no_call:
        pushq   $13
broken:
        movl    $ADDRESS(stack0), %eax
        popq    %rdi
        movq    (%rsp), %rsi
        movq    8(%rsp), %rdx
        movq    %cr2, %rcx
        movl    %eax, %esp
        pushq   $USER_DATA
        pushq   $user_stack0
        pushq   $USER_FLAGS
        pushq   $USER_CODE
        pushq   $exception
        iretq

        .section .bss
        .balign 16
        .fill   16384, 1, 0
user_stack0:
        .fill   16384, 1, 0
user_stack1:

/* Where PVH begins. QEMU reads 64 bits. */
        .section .note, "a", @note
        .balign 4
        .long   4, 8, 18
        .asciz  "Xen"
        .quad   ADDRESS(entry)
        .section .note.GNU-stack, "", @progbits
