"""A link that is slow for a moment decides nothing.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import time

from common import audit, booted, check, equal, pages_add_up
from hybridmig.migrate import Migration

#: Far less than the link carries: without a dip it ends as precopy.
WRITER = 'hot pages=3000 rate=2000'
MBIT = 1_000_000 // 8


def _dips(pair, seconds):
    pair.link.set_rate('10mbit')
    time.sleep(seconds)
    pair.link.set_rate('400mbit')


def dip_in_round_2(logs):
    with booted(logs, WRITER) as pair:
        migration = Migration(pair)
        migration.when(lambda: _dips(pair, 3), 'src',
                       'MIGRATION_HYBRID_PHASE', phase='rounds', round=2)
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        h = migration.hybrid()
        slow = [r['time-us'] for r in h['rounds'][1:]]
        check(sum(slow) > 2_000_000, f'the dip was not in a round: {slow}')
        equal(h['action'], 'complete', 'action')
        check(h['downtime-us'] < 1_000_000, f'downtime {h["downtime-us"]} us')
        measured = [r['bandwidth'] / MBIT for r in h['rounds']
                    if 'bandwidth' in r]
        check(measured and max(measured) < 800,
              f'more than the link carries: {measured} Mbit/s')
        pages_add_up(migration)
        audit(pair, 'dst')


CASES = {'dip-in-round-2': dip_in_round_2}
