/*
 * Hybrid live migration: what the kernel says about a connection.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "io/channel-socket.h"
#include "io/channel-tls.h"
#include "migration/qemu-file.h"
#include "migration/hybrid/common/tcp.h"

int hybrid_tcp_socket(QEMUFile *f)
{
    QIOChannel *ioc = qemu_file_get_ioc(f);

    if (object_dynamic_cast(OBJECT(ioc), TYPE_QIO_CHANNEL_TLS)) {
        ioc = QIO_CHANNEL_TLS(ioc)->master;
    }
    if (!object_dynamic_cast(OBJECT(ioc), TYPE_QIO_CHANNEL_SOCKET)) {
        return -1;
    }
    return QIO_CHANNEL_SOCKET(ioc)->fd;
}

#ifdef CONFIG_LINUX
#include <poll.h>
#include <sys/ioctl.h>
#include <linux/sockios.h>

/*
 * TCP_INFO as the kernel fills it in, since 4.10.  The C library's struct is
 * shorter, and its header excludes the kernel's.
 */
typedef struct KernelTcpInfo {
    uint8_t flags[8];
    uint32_t to_last_data_recv[12];
    uint32_t last_ack_recv_ms;
    uint32_t to_rcv_ssthresh[2];
    uint32_t rtt_us;            /* smoothed */
    uint32_t to_total_retrans[8];
    uint64_t pacing_rate[2];
    uint64_t bytes_acked;
    uint64_t bytes_received;
    uint32_t to_notsent_bytes[3];
    uint32_t min_rtt_us;        /* all ones: none yet */
} KernelTcpInfo;

QEMU_BUILD_BUG_ON(offsetof(KernelTcpInfo, last_ack_recv_ms) != 56);
QEMU_BUILD_BUG_ON(offsetof(KernelTcpInfo, rtt_us) != 68);
QEMU_BUILD_BUG_ON(offsetof(KernelTcpInfo, bytes_acked) != 120);
QEMU_BUILD_BUG_ON(offsetof(KernelTcpInfo, min_rtt_us) != 148);

bool hybrid_tcp_ask(int fd, HybridTcp *tcp)
{
    KernelTcpInfo info = {};
    socklen_t len = sizeof(info);
    int queued;

    *tcp = (HybridTcp) {};
    if (fd < 0 || ioctl(fd, SIOCOUTQ, &queued) < 0) {
        return false;
    }
    tcp->queued = queued;
    if (!getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) &&
        len >= endof(KernelTcpInfo, min_rtt_us)) {
        tcp->delivered = info.bytes_acked;
        tcp->rtt_us = info.min_rtt_us == UINT32_MAX ? info.rtt_us
                                                    : info.min_rtt_us;
    }
    return true;
}

bool hybrid_tcp_probe(int fd)
{
    /* The caller decides when it was silent for too long */
    const int on = 1, second = 1, probes = 127;

    return fd >= 0 &&
           !setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &second, sizeof(int)) &&
           !setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &second,
                       sizeof(int)) &&
           !setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(int)) &&
           !setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(int));
}

int64_t hybrid_tcp_silent_us(int fd)
{
    KernelTcpInfo info = {};
    socklen_t len = sizeof(info);

    if (fd < 0 || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) ||
        len < endof(KernelTcpInfo, last_ack_recv_ms)) {
        return -1;
    }
    return info.last_ack_recv_ms * 1000ll;
}

bool hybrid_tcp_unread(int fd, bool *closed)
{
    struct pollfd pfd = { .fd = fd, .events = POLLRDHUP };
    int unread = 0;

    *closed = fd >= 0 && poll(&pfd, 1, 0) > 0;
    return fd >= 0 && !ioctl(fd, FIONREAD, &unread) && unread > 0;
}

bool hybrid_tcp_writable(int fd)
{
    struct pollfd pfd = { .fd = fd, .events = POLLOUT };

    return fd < 0 || poll(&pfd, 1, 0) > 0;
}

bool hybrid_tcp_clamp(int fd, uint32_t bytes)
{
    return fd >= 0 && !setsockopt(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, &bytes,
                                  sizeof(bytes));
}

#else

bool hybrid_tcp_ask(int fd, HybridTcp *tcp)
{
    return false;
}

bool hybrid_tcp_probe(int fd)
{
    return false;
}

int64_t hybrid_tcp_silent_us(int fd)
{
    return -1;
}

bool hybrid_tcp_unread(int fd, bool *closed)
{
    *closed = false;
    return false;
}

bool hybrid_tcp_writable(int fd)
{
    return true;
}

bool hybrid_tcp_clamp(int fd, uint32_t bytes)
{
    return false;
}

#endif
