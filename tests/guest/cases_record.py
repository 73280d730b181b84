"""What a migration that has ended reports stays as it was at its end.

Whatever is set, tried or written afterwards: until another one begins, which
reports itself.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os

from common import audit, booted, check, ends_hybrid, equal
from hybridmig.migrate import Migration
from machines import refused

SMALL = {'bare': True, 'mem': 64, 'pages': 8192, 'rate': '200mbit'}
WORK = 'hot pages=4000 rate=100000'
#: In bytes a second: the rounds do not end
SLOW = 1 << 20
NOWHERE = {'uri': 'unix:/nowhere/at-all'}


def _set(pair, guest):
    """What a running one follows at once, and the bounds of the next."""
    del pair
    guest.set_parameters({
        'hybrid-push-policy': 'linear', 'hybrid-peer-timeout': 54321,
        'hybrid-max-rounds': 3, 'hybrid-handoff-timeout': 4321})


def _refused(pair, guest):
    """A command that begins nothing; hybrid is on."""
    guest.set_capabilities({'hybrid': True})
    name = os.path.join(pair.run.folder, 'file')
    check('does not go with a file' in
          refused(guest, 'migrate', {'uri': f'file:{name}'}), 'a file')


def _written(pair, guest):
    """Counted as all that a migration writes."""
    if guest is pair.src:
        guest.qmp('xen-save-devices-state', {
            'filename': os.path.join(pair.run.folder, 'devices')})


def _stays(pair, migration, sides, disturbances):
    before = {side: migration.info(side) for side in sides}
    for disturb in disturbances:
        for side in sides:
            disturb(pair, getattr(pair, side))
            now = migration.info(side)
            equal(now['hybrid'], before[side]['hybrid'],
                  f'{side} after {disturb.__name__}')
            equal(now['status'], before[side]['status'], f'status of {side}')
    return before


def _completed(logs, action, **parameters):
    with booted(logs, WORK if action == 'handoff' else 'idle',
                **SMALL) as pair:
        migration = Migration(pair, parameters=parameters).start()
        equal(migration.wait_end(), 'completed', 'ended as')
        ends_hybrid(migration, action)
        check(migration.wait_status('dst', 'completed'), 'no end')
        before = _stays(pair, migration, ('src', 'dst'),
                        (_set, _refused, _written))
        check(action != 'handoff' or 'push' in before['src']['hybrid'],
              'nothing is said of the push')
        audit(pair, 'dst')


def record_of_handoff(logs):
    _completed(logs, 'handoff')


def record_of_precopy(logs):
    _completed(logs, 'complete')


def record_of_cancelled(logs):
    """And of one that found nobody; each in turn is the one that counts."""
    with booted(logs, WORK, **SMALL) as pair:
        migration = Migration(pair, parameters={'max-bandwidth': SLOW}).start()
        check(migration.wait_phase('rounds'), 'no rounds')
        migration.cancel()
        equal(migration.wait_end(), 'cancelled', 'ended as')
        first = _stays(pair, migration, ('src',),
                       (_set, _refused, _written))['src']['hybrid']
        equal(first['phase'], 'cancelled', 'its phase')

        failed = Migration(pair)
        pair.src.qmp('migrate', NOWHERE)
        equal(failed.wait_end(), 'failed', 'ended as')
        second = _stays(pair, failed, ('src',), (_set, _refused))['src']
        equal((second['hybrid']['phase'], second['hybrid']['agreed']),
              ('failed', False), 'what found nobody')
        audit(pair, 'src')


CASES = {f.__name__.replace('_', '-'): f for f in (
    record_of_handoff, record_of_precopy, record_of_cancelled)}
