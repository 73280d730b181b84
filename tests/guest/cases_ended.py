"""The destination's QEMU ends in order: the source hears why.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import signal

from common import (audit, booted, check, equal, exits, paging_slowly,
                    wait_until)
from hybridmig.migrate import Migration
from machines import refused

#: The least bare guest that is still handed over.
SMALL = {'bare': True, 'mem': 64, 'pages': 8192, 'rate': '200mbit'}
WORK = 'hot pages=4000 rate=100000'
SLOW = 1 << 20
RESET_PORT = '0xcf9'


def _sigterm(guest):
    os.kill(guest.machine.get_pid(), signal.SIGTERM)


def _quit(guest):
    guest.qmp('quit')


def _guest_reset(guest):
    """With -no-reboot that ends QEMU."""
    guest.qmp('human-monitor-command', {
        'command-line': f'o /b {RESET_PORT} 6'})


ENDS = ((_quit, 'its QEMU was ended', 'host-qmp-quit'),
        (_sigterm, 'its QEMU was ended', 'host-signal'),
        (_guest_reset, 'the guest has ended', 'guest-reset'))


def ended_in_rounds(logs):
    """The guest runs on at the source, as ever."""
    with booted(logs, WORK, **SMALL) as pair:
        for end, *words in ENDS[:2]:
            migration = Migration(pair, parameters={'max-bandwidth': SLOW})
            migration.start()
            check(migration.wait_phase('rounds'), 'no rounds')
            wait_until(lambda: migration.info('dst').get('status') == 'active',
                       'nothing comes in')
            end(pair.dst)
            check(exits(pair.dst), 'the destination does not end')
            equal(migration.wait_end(), 'failed', 'ended as')
            said = migration.info()['error-desc']
            for word in ('stays at the source', *words):
                check(word in said, f'no word of "{word}": {said}')
            pair.renew_destination()
        audit(pair, 'src')


def ended_in_paging(logs):
    """The guest is gone: not that a link was lost is what is to be read."""
    for end, *words in ENDS:
        with booted(logs, WORK, **SMALL) as pair:
            migration = paging_slowly(pair, SLOW)
            end(pair.dst)
            check(exits(pair.dst), 'the destination does not end')
            check(migration.wait_status('src', 'postcopy-paused'), 'no pause')
            said = migration.info()['error-desc']
            for word in words:
                check(word in said, f'no word of "{word}": {said}')
            equal(pair.running_sides(), [], 'the guest runs at')
            check('not finalized' in refused(pair.src, 'cont'), 'cont')


CASES = {f.__name__.replace('_', '-'): f for f in (
    ended_in_rounds, ended_in_paging)}
