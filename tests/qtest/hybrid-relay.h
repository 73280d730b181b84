/*
 * QTest helper for hybrid migration: a relay that adds to what the source says
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HYBRID_RELAY_H
#define HYBRID_RELAY_H

#include "libqtest.h"

typedef struct HybridRelay HybridRelay;

typedef struct HybridAdded {
    const char *at;         /* a message, in hexadecimal; ?? is any byte */
    int skip;               /* bytes of it that go first; -1: it is dropped */
    const char *add;        /* in hexadecimal; 00*20 is 20 such bytes */
    const char *said;       /* by the source afterwards; NULL: not checked */
} HybridAdded;

/*
 * Between @from, which has to migrate to "fd:fd-relay", and @uri (tcp: or
 * unix:).  Each direction is forwarded until one end is closed.
 */
#define HYBRID_RELAY_URI "fd:fd-relay"
HybridRelay *hybrid_relay_new(QTestState *from, const char *uri,
                              const HybridAdded *added);
/* Has @added been added?  Asserts that, and ends */
void hybrid_relay_free(HybridRelay *relay);

#endif /* HYBRID_RELAY_H */
