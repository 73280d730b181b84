/*
 * Hybrid live migration: named points at which a test can put a fault.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "migration/hybrid/trace.h"
#include "migration/hybrid/common/point.h"

#ifdef CONFIG_HYBRID_POINTS

#include <sys/un.h>
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/lockable.h"
#include "qemu/thread.h"

static struct {
    QemuMutex lock;             /* reached */
    GHashTable *reached;        /* name -> how often */
    char *name;                 /* that is waited for, NULL: none */
    unsigned long number;
    const char *socket;
} points;

static void __attribute__((__constructor__)) hybrid_points_construct(void)
{
    const char *wanted = getenv("HYBRID_POINT");
    const char *number = wanted ? strchr(wanted, '#') : NULL;

    qemu_mutex_init(&points.lock);
    points.reached = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                           NULL);
    points.socket = getenv("HYBRID_POINT_SOCKET");
    if (wanted && points.socket) {
        points.name = number ? g_strndup(wanted, number - wanted)
                             : g_strdup(wanted);
        points.number = 1;
        if (number) {
            qemu_strtoul(number + 1, NULL, 10, &points.number);
        }
    }
}

static unsigned long hybrid_point_count(const char *name)
{
    unsigned long number;

    QEMU_LOCK_GUARD(&points.lock);
    number = GPOINTER_TO_SIZE(g_hash_table_lookup(points.reached, name)) + 1;
    g_hash_table_insert(points.reached, g_strdup(name),
                        GSIZE_TO_POINTER(number));
    return number;
}

/* Tell the test, and wait until it has done what it wants to do here */
static void hybrid_point_hold(const char *name, unsigned long number)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    g_autofree char *text = g_strdup_printf("%s#%lu\n", name, number);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char go_on;

    g_strlcpy(address.sun_path, points.socket, sizeof(address.sun_path));
    if (fd < 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof(address)) ||
        write(fd, text, strlen(text)) != strlen(text)) {
        error_report("point %s: nobody listens at %s: %s", name,
                     points.socket, strerror(errno));
    } else {
        RETRY_ON_EINTR(read(fd, &go_on, 1));
    }
    if (fd >= 0) {
        close(fd);
    }
}

void hybrid_point(const char *name)
{
    unsigned long number = hybrid_point_count(name);

    trace_hybrid_point(name, number);
    if (points.name && number == points.number &&
        g_str_equal(name, points.name)) {
        hybrid_point_hold(name, number);
        trace_hybrid_point_left(name, number);
    }
}

void hybrid_point_message(const char *what, const char *kind)
{
    g_autofree char *name = g_strdup_printf("%s-%s", what, kind);

    hybrid_point(name);
}

#endif
