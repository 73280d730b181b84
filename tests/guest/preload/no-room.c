/*
 * Preloaded into QEMU: there is no memory for a cache (hybrid_room_map()), as
 * where a limit is reached. Guest memory is mapped otherwise.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As QEMU calls it, whose offsets have 64 bits */
void *mmap64(void *addr, size_t size, int prot, int flags, int fd, off_t offset)
{
    if (!addr && prot == PROT_NONE &&
        flags == (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, addr, size, prot, flags, fd, offset);
}
