/*
 * Preloaded into QEMU: KVM says that it has no manual protection of its dirty
 * log, as one before Linux 5.4. QEMU has no option for that.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/kvm.h>

int ioctl(int fd, unsigned long request, ...)
{
    va_list list;
    long arg;

    va_start(list, request);
    arg = va_arg(list, long);
    va_end(list);
    if (request == KVM_CHECK_EXTENSION &&
        arg == KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2) {
        return 0;
    }
    return syscall(SYS_ioctl, fd, request, arg);
}
