/*
 * Preloaded into QEMU: userfaultfd can be registered on a guest's memory once,
 * which is when QEMU tries it before it says yes to a migration, and no more.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/ioctl.h>
#include <linux/userfaultfd.h>

int ioctl(int fd, unsigned long request, ...)
{
    static int times;
    struct uffdio_range *range;         /* what uffdio_register begins with */
    va_list list;
    long arg;

    va_start(list, request);
    arg = va_arg(list, long);
    va_end(list);
    range = (struct uffdio_range *)arg;
    if ((request == UFFDIO_REGISTER && range->len > 16 << 20 && times++) ||
        (request == UFFDIO_UNREGISTER && range->len > 16 << 20 &&
         times > 1)) {
        errno = EINVAL;
        return -1;
    }
    return syscall(SYS_ioctl, fd, request, arg);
}
