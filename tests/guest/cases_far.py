"""Over a long way, where each page that is touched costs a round trip, a guest
that writes here and there is left with less to wait for.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import math

from common import audit, booted, check, equal, pages_add_up
from hybridmig.migrate import Migration
from hybridmig.record import trace_lines

#: Nearly what the link carries: it never converges, and yet each round of all
#: of it leaves clearly less, at first.
PAGES, RATE = 2500, 5200
WRITER = f'random pages={PAGES} rate={RATE}'
LINK = {'rate': '200mbit', 'link': {'delay_ms': 20, 'queue_ms': 40}}
PARAMETERS = {'downtime-limit': 5, 'hybrid-max-resend': 20}
TRIES = 3


def _catches_up(rounds):
    """A machine that stood still has the guest write much faster afterwards."""
    seconds = rounds[-1]['time-us'] / 1e6
    told = PAGES * -math.expm1(-RATE * seconds / PAGES)
    return rounds[-1]['dirtied-pages'] > 1.25 * told + 150


def _migrated(logs):
    """False: the guest did not do what it was told to."""
    with booted(logs, WRITER, mem=128, pages=12000, **LINK) as pair:
        migration = Migration(pair, parameters=PARAMETERS)
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        h = migration.hybrid()
        equal(h['action'], 'handoff', 'action')
        eased = [line for line in trace_lines(pair.src)
                 if 'hybrid_round_handoff ' in line and 'ease=1' in line]
        left = [r['remaining-pages'] for r in h['rounds']]
        judged = left[-1] < 2000 or not _catches_up(h['rounds'])
        check(not judged or (eased and left[-1] < 2000),
              f'no further round: {left}')
        check(h['pages']['resends'] < 0.3 * h['pages']['first-sends'],
              f'more again than it may: {h["pages"]}')
        pages_add_up(migration)
        audit(pair, 'dst')
        return judged


def far_further_rounds(logs):
    for _ in range(TRIES):
        if _migrated(logs):
            return None
    return 'not judged: the machine stands still, and the guest catches up'


CASES = {'far-further-rounds': far_further_rounds}
