/*
 * QTest helper for hybrid migration: a relay that adds to what the source says
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qapi-visit-sockets.h"
#include "qemu/atomic.h"
#include "qemu/cutils.h"
#include "qemu/sockets.h"
#include "libqtest.h"
#include "migration/hybrid-relay.h"

struct HybridRelay {
    int source, destination;
    GArray *at;                 /* of int, -1: any byte */
    GByteArray *add;
    int skip;
    bool added;                 /* atomic */
    GThread *forward, *back;
};

static int hex(const char *p)
{
    return *p == '?' ? -1 :
           g_ascii_xdigit_value(*p) << 4 | g_ascii_xdigit_value(p[1]);
}

static bool put(int fd, const uint8_t *data, size_t len)
{
    while (len) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

        if (n <= 0) {
            return false;
        }
        data += n;
        len -= n;
    }
    return true;
}

/* Where the message begins in @b, or would if more of it came */
static size_t find(HybridRelay *relay, GByteArray *b)
{
    for (size_t i = 0; i < b->len; i++) {
        size_t n = 0;

        while (n < relay->at->len && i + n < b->len) {
            int wanted = g_array_index(relay->at, int, n);

            if (wanted >= 0 && wanted != b->data[i + n]) {
                break;
            }
            n++;
        }
        if (n == relay->at->len || i + n == b->len) {
            return i;
        }
    }
    return b->len;
}

static void hang_up(HybridRelay *relay)
{
    shutdown(relay->source, SHUT_RDWR);
    shutdown(relay->destination, SHUT_RDWR);
}

static void *forward_thread(void *opaque)
{
    HybridRelay *relay = opaque;
    g_autoptr(GByteArray) b = g_byte_array_new();
    uint8_t buf[16384];
    ssize_t len;
    bool ok = true;

    while (ok && (len = recv(relay->source, buf, sizeof(buf), 0)) > 0) {
        size_t first;

        g_byte_array_append(b, buf, len);
        first = relay->added ? b->len : find(relay, b);
        if (!relay->added && b->len - first >= MAX((int)relay->at->len,
                                                   relay->skip)) {
            size_t head = first + MAX(0, relay->skip);
            size_t tail = relay->skip < 0 ? first + relay->at->len : head;

            ok = put(relay->destination, b->data, head) &&
                 put(relay->destination, relay->add->data, relay->add->len);
            g_byte_array_remove_range(b, 0, tail);
            qatomic_set(&relay->added, true);
            first = b->len;
        }
        ok = ok && put(relay->destination, b->data, first);
        g_byte_array_remove_range(b, 0, first);
    }
    /* What a destination that has hung up said last is still to be heard */
    if (ok) {
        hang_up(relay);
    }
    return NULL;
}

static void *back_thread(void *opaque)
{
    HybridRelay *relay = opaque;
    uint8_t buf[4096];
    ssize_t len;

    while ((len = recv(relay->destination, buf, sizeof(buf), 0)) > 0 &&
           put(relay->source, buf, len)) {
        continue;
    }
    hang_up(relay);
    return NULL;
}

static int connect_to(const char *uri)
{
    SocketAddress *addr = socket_parse(uri, &error_abort);
    int fd = socket_connect(addr, &error_abort);

    qapi_free_SocketAddress(addr);
    return fd;
}

HybridRelay *hybrid_relay_new(QTestState *from, const char *uri,
                              const HybridAdded *added)
{
    HybridRelay *relay = g_new0(HybridRelay, 1);
    int pair[2];

    relay->at = g_array_new(false, false, sizeof(int));
    relay->add = g_byte_array_new();
    relay->skip = added->skip;
    for (const char *p = added->at; *p; p += *p == ' ' ? 1 : 2) {
        if (*p != ' ') {
            int byte = hex(p);

            g_array_append_val(relay->at, byte);
        }
    }
    for (const char *p = added->add; *p; ) {
        uint8_t byte;
        long n = 1;

        if (*p == ' ') {
            p++;
            continue;
        }
        byte = hex(p);
        p += 2;
        if (*p == '*') {
            g_assert_cmpint(qemu_strtol(p + 1, &p, 10, &n), ==, 0);
        }
        while (n--) {
            g_byte_array_append(relay->add, &byte, 1);
        }
    }
    g_assert_cmpint(qemu_socketpair(PF_LOCAL, SOCK_STREAM, 0, pair), ==, 0);
    qtest_qmp_fds_assert_success(from, &pair[0], 1,
                                 "{ 'execute': 'getfd',"
                                 "  'arguments': { 'fdname': 'fd-relay' }}");
    close(pair[0]);
    relay->source = pair[1];
    relay->destination = connect_to(uri);
    relay->forward = g_thread_new("hybrid-forward", forward_thread, relay);
    relay->back = g_thread_new("hybrid-back", back_thread, relay);
    return relay;
}

void hybrid_relay_free(HybridRelay *relay)
{
    g_assert(qatomic_read(&relay->added));
    hang_up(relay);
    g_thread_join(relay->forward);
    g_thread_join(relay->back);
    close(relay->source);
    close(relay->destination);
    g_array_unref(relay->at);
    g_byte_array_unref(relay->add);
    g_free(relay);
}
