/*
 * The test guest's network card and what is served over it: Redis, when the
 * initramfs has it, and numbers that a client can check.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_LINUX_NET_H
#define TESTS_GUEST_LINUX_NET_H

/* With an address the guest has a card, and serves what it can. */
void begin_net(const char *ip);

#endif
