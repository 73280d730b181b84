/*
 * Hybrid live migration, source: what ends a sleep of the migration thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "migration/hybrid/source/state.h"
#include "qemu/event_notifier.h"
#include "qemu/timer.h"
#include "migration/migration.h"
#include "migration/ram.h"
#include "migration/hybrid/source/kick.h"

static struct {
    EventNotifier notifier;
    bool ready;
    bool sleeping;              /* atomic */
} kick;

void hybrid_kick_init(void)
{
    if (!kick.ready) {
        kick.ready = !event_notifier_init(&kick.notifier, false);
    }
}

bool hybrid_kick_sleep(int fd, int64_t us)
{
    GPollFD fds[] = {
        { .fd = event_notifier_get_fd(&kick.notifier), .events = G_IO_IN },
        { .fd = fd, .events = 0 },
    };
    bool ok = true;

    if (!kick.ready) {
        g_usleep(MIN(us, 1000));
        return true;
    }
    qatomic_set(&kick.sleeping, true);
    smp_mb();                   /* pairs with hybrid_kick() */
    if (!ram_postcopy_requests_pending() &&
        qemu_poll_ns(fds, ARRAY_SIZE(fds), us * 1000) > 0) {
        ok = !fds[1].revents;
        event_notifier_test_and_clear(&kick.notifier);
    }
    qatomic_set(&kick.sleeping, false);
    return ok;
}

void hybrid_kick(void)
{
    smp_mb();                   /* the request is queued; then look */
    if (qatomic_read(&kick.sleeping)) {
        event_notifier_set(&kick.notifier);
    }
}

void hybrid_kick_surely(void)
{
    if (kick.ready) {
        event_notifier_set(&kick.notifier);
    }
}

void hybrid_src_kick(void)
{
    hybrid_kick();
    if (hybrid_src.requests_only) {
        QEMU_LOCK_GUARD(&hybrid_src.lock);
        qemu_cond_broadcast(&hybrid_src.cond);
    }
}

