/*
 * The bare guest's interrupts, and its second CPU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_BARE_SMP_H
#define TESTS_GUEST_BARE_SMP_H

void begin_interrupts(void);

/* Returns when it runs. */
void begin_second(void);

#endif
