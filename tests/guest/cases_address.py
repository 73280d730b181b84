"""Addresses that cannot be used: said so, and another one can be given.

SPDX-License-Identifier: GPL-2.0-or-later
"""
from cases_kvm import HOT, MEM, PAGES
from common import audit, booted, check, equal
from hybridmig.migrate import Migration
from hybridmig.monitor import QmpError


def _refused(guest, command, arguments):
    try:
        guest.qmp(command, arguments)
    except QmpError as exc:
        return str(exc)
    raise AssertionError(f'{command} was not refused: {arguments}')


def _channel(kind, path):
    return {'channel-type': kind, 'addr': {
        'transport': 'socket', 'type': 'unix', 'path': path}}


def _completes(pair, migration):
    migration.start()
    equal(migration.wait_end(), 'completed', 'ended as')
    check(migration.hybrid()['agreed'], 'not hybrid')
    audit(pair, 'dst')


def no_main_channel(logs):
    """A list of channels is a list of clients' making."""
    with booted(logs, HOT, bare=True, mem=MEM, pages=PAGES) as pair:
        migration = Migration(pair)
        migration.prepare()
        path = f'{pair.run.folder}/other.sock'
        cpr = {'channels': [_channel('cpr', path)]}
        said = _refused(pair.src, 'migrate', cpr)
        check('no main' in said, said)
        said = _refused(pair.dst, 'migrate-incoming', cpr)
        check('main' in said, said)
        for guest, command in ((pair.src, 'migrate'),
                               (pair.dst, 'migrate-incoming')):
            _refused(guest, command, {'channels': []})
            _refused(guest, command, {'channels': [
                _channel('main', path), _channel('main', path)]})
        _completes(pair, migration)


def cannot_listen(logs):
    """A port that is taken, a folder that is not there: then another one."""
    with booted(logs, HOT, bare=True, mem=MEM, pages=PAGES) as pair:
        for uri in (f'unix:{pair.run.folder}/not/there',
                    'tcp:192.0.2.1:4444',
                    'fd:not-given', 'nonsense:'):
            said = _refused(pair.dst, 'migrate-incoming', {'uri': uri})
            check('Illegal' not in said, f'{uri}: {said}')
        _completes(pair, Migration(pair))


CASES = {'address-' + f.__name__.replace('_', '-'): f
         for f in (no_main_channel, cannot_listen)}
