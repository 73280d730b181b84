/*
 * The test guest's network card and what is served over it: Redis or SQLite,
 * when the initramfs has them, and numbers that a client can check.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TESTS_GUEST_LINUX_NET_H
#define TESTS_GUEST_LINUX_NET_H

/*
 * With an address the guest has a card, and serves numbers and, by its name,
 * "redis" or "sqlite".
 */
void begin_net(const char *ip, const char *serve);

#endif
