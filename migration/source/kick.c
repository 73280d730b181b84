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

struct HybridKick {
    EventNotifier notifier;
    bool ready;                 /* else the host had no descriptor left */
    HybridShared sleeping;
};

HybridKick *hybrid_kick_new(void)
{
    HybridKick *k = g_new0(HybridKick, 1);

    k->ready = !event_notifier_init(&k->notifier, false);
    return k;
}

void hybrid_kick_free(HybridKick *k)
{
    if (k && k->ready) {
        event_notifier_cleanup(&k->notifier);
    }
    g_free(k);
}

bool hybrid_kick_sleep(HybridKick *k, int fd, int64_t us)
{
    GPollFD fds[2] = { { .events = G_IO_IN }, { .fd = fd } };
    bool ok = true;

    if (!k->ready) {
        g_usleep(MIN(us, 1000));
        return true;
    }
    fds[0].fd = event_notifier_get_fd(&k->notifier);
    hybrid_shared_set(&k->sleeping, true);
    smp_mb();                   /* pairs with hybrid_kick() */
    if (!ram_postcopy_requests_pending() &&
        qemu_poll_ns(fds, ARRAY_SIZE(fds), us * 1000) > 0) {
        ok = !fds[1].revents;
        event_notifier_test_and_clear(&k->notifier);
    }
    hybrid_shared_set(&k->sleeping, false);
    return ok;
}

void hybrid_kick(HybridKick *k)
{
    smp_mb();                   /* the request is queued; then look */
    if (hybrid_shared_get(&k->sleeping)) {
        event_notifier_set(&k->notifier);
    }
}

void hybrid_kick_surely(HybridKick *k)
{
    if (k->ready) {
        event_notifier_set(&k->notifier);
    }
}

void hybrid_src_kick(void)
{
    HybridSource *h = hybrid_source();

    if (!h->active) {
        return;
    }
    hybrid_kick(h->kick);
    if (hybrid_shared_get(&h->requests_only)) {
        HYBRID_SOURCE_LOCK_GUARD(h);
        qemu_cond_broadcast(&h->cond);
    }
}
