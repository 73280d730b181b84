"""Commands to a destination whose migration is paused: memory is missing.

Each of them is answered; none waits for a page that does not come.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import socket

from cases_lost import PATIENCE, _recover, _start, _wait_paused, through
from common import audit, booted, check, equal, stands_still, wait_until
from hybridmig.migrate import Migration
from hybridmig.monitor import QmpError, QmpLost

HMP = 'human-monitor-command'
HOT = 'hot pages=6000 rate=100000'


def _hmp(line):
    return HMP, {'command-line': line}


def _reads_memory(folder):
    """Refused while memory is missing."""
    return [
        ('memsave', {'val': 0x100000, 'size': 1 << 20,
                     'filename': f'{folder}/memsave'}),
        ('pmemsave', {'val': 0, 'size': 64 << 20,
                      'filename': f'{folder}/pmemsave'}),
        ('dump-guest-memory', {'paging': False,
                               'protocol': f'file:{folder}/dump'}),
        ('screendump', {'filename': f'{folder}/screen.ppm'}),
        ('system_reset', None),
    ]


#: The same in the human monitor: what reads memory, the page tables in it, or
#: a vCPU, which may wait for a page and then cannot be asked.
_HMP_READS = ('xp/100000xb 0x100000', 'x/4096xg 0x200000',
              'sum 0x100000 0x2000000', 'gva2gpa 0x200000',
              'info tlb', 'info mem', 'info registers', 'info registers -a',
              'info lapic', 'print $pc',
              *(f'gpa2hpa {page << 20:#x}' for page in range(1, 32)))


#: These change what happens next, unless it is refused.
_OTHERS_PAUSED = [('migrate_cancel', None),
                  ('migrate', {'uri': 'exec:cat >/dev/null'})]


def _others(folder):
    """Answered, in whatever way."""
    return [
        *(_hmp(line) for line in _HMP_READS), _hmp('gpa2hva 0x200000'),
        _hmp('info mtree -f'), _hmp('info status'),
        _hmp('info migrate'), _hmp('info ramblock'), _hmp('savevm x'),
        ('query-status', None), ('query-migrate', None),
        ('query-cpus-fast', None), ('query-memory-devices', None),
        ('query-memory-size-summary', None), ('query-block', None),
        ('query-blockstats', None), ('query-chardev', None),
        ('query-dirty-rate', None), ('query-balloon', None),
        ('balloon', {'value': 64 << 20}),
        ('inject-nmi', None), ('system_powerdown', None),
        ('system_wakeup', None), ('x-colo-lost-heartbeat', None),
        ('migrate-start-postcopy', None),
        ('migrate-continue', {'state': 'pre-switchover'}),
        ('migrate-set-parameters', {'downtime-limit': 200,
                                    'multifd-channels': 2}),
        ('migrate-set-parameters', {'multifd-channels': 5}),
        ('migrate-set-capabilities', {'capabilities': [
            {'capability': 'postcopy-ram', 'state': True}]}),
        ('snapshot-save', {'job-id': 's', 'tag': 't', 'vmstate': 'none',
                           'devices': []}),
        ('object-add', {'qom-type': 'iothread', 'id': 'missing-io'}),
        ('object-del', {'id': 'missing-io'}),
        ('netdev_add', {'type': 'user', 'id': 'missing-net'}),
        ('set_link', {'name': 'missing-net', 'up': False}),
        ('blockdev-add', {'node-name': 'missing-disk', 'driver': 'file',
                          'filename': f'{folder}/missing.img'}),
        ('block_resize', {'node-name': 'missing-disk', 'size': 2 << 20}),
        ('nbd-server-start', {'addr': {
            'type': 'unix', 'data': {'path': f'{folder}/nbd.sock'}}}),
        ('nbd-server-stop', None),
        ('blockdev-del', {'node-name': 'missing-disk'}),
        ('device_add', {'driver': 'virtio-rng-pci', 'id': 'missing-rng'}),
        ('device_del', {'id': 'missing-rng'}),
        ('calc-dirty-rate', {'calc-time': 1}),
        ('query-status', None),
    ]


def _answer(guest, name, arguments):
    """The error, or None; fails if there is no answer."""
    try:
        guest.monitor.command(name, arguments, timeout=20)
    except QmpError as exc:
        return str(exc)
    return None


def answers(guest):
    try:
        guest.monitor.command('query-status', timeout=3)
    except QmpLost:
        return False
    return True


@contextlib.contextmanager
def paused(logs, before=None, **how):
    """
    Phase 5, the connection is lost, and the vCPU misses a page. An exception
    in the guest is taken with the BQL held, and may be what misses it: then
    nothing but commands out of band is answered before a recovery, and
    another guest is tried.
    """
    for _ in range(8):
        with booted(logs, HOT, bare=True, pages=8000, rate='unlimited',
                    **how) as pair:
            if before:
                before(pair)
            migration, channels = _start(pair, False, **{
                'downtime-limit': 1, 'max-bandwidth': 64 << 20})
            migration.wait_phase('paging', PATIENCE)
            channels.close()
            _wait_paused(migration, 1)
            stands_still(pair, 'dst')
            if answers(pair.dst):
                yield pair, migration
                return
            _recover(pair, migration)
    raise AssertionError('each of the guests missed a page in an exception')


def commands_while_paused(logs):
    with paused(logs, extra=('-device', 'VGA,romfile=')) as (pair, migration):
        folder = pair.run.folder
        with open(f'{folder}/missing.img', 'wb') as image:
            image.truncate(1 << 20)
        for name, arguments in _reads_memory(folder):
            error = _answer(pair.dst, name, arguments) or ''
            check('memory is missing' in error or
                  'during incoming migration' in error,
                  f'{name} is not refused: {error}')
        for line in _HMP_READS:
            text = pair.dst.qmp(*_hmp(line))
            check('memory is missing' in text, f'{line} is not refused: {text}')
        for guest in (pair.dst, pair.src):
            for name, arguments in _others(folder) + _OTHERS_PAUSED:
                _answer(guest, name, arguments)
        _recover(pair, migration)


def _debugger(pair):
    debugger = socket.socket(socket.AF_UNIX)
    debugger.settimeout(30)
    debugger.connect(f'{pair.run.folder}/gdb')
    return debugger


def stops_while_paused(logs):
    """
    A debugger stops the guest, and another one comes, which would stop it: the
    vCPU cannot stop. The main loop does not wait for it, and does what it was
    asked for after the recovery.
    """
    debuggers = []

    def attach(pair):
        pair.dst.qmp(*_hmp(f'gdbserver unix:{pair.run.folder}/gdb,'
                           'server=on,wait=off'))
        debuggers.append(_debugger(pair))

    with paused(logs, before=attach) as (pair, migration):
        debuggers[-1].sendall(b'\x03')
        check(answers(pair.dst), 'a debugger stops it: no answer')
        equal(pair.dst.status(), 'running', 'before the recovery')
        debuggers[-1].close()
        check(answers(pair.dst), 'a debugger went: no answer')
        with _debugger(pair) as another:
            equal(another.recv(100), b'', 'the second debugger is told')
        check(answers(pair.dst), 'a debugger came: no answer')
        pair.src.set_parameters({'hybrid-push-policy': 'bubble',
                                 'max-postcopy-bandwidth': 0})
        through(pair, migration, 'migrate-recover')
        wait_until(lambda: pair.dst.status() == 'paused', 'it was not stopped',
                   PATIENCE)
        equal(migration.wait_end(), 'completed', 'ended as')
        pair.dst.qmp('cont')
        audit(pair, 'dst')


_PHASES = {'rounds': {'max-bandwidth': 8 << 20, 'hybrid-max-rounds': 50},
           'paging': {'downtime-limit': 1, 'max-bandwidth': 64 << 20,
                      'hybrid-max-rounds': 1,
                      'max-postcopy-bandwidth': 8 << 20}}


def _commands_in(logs, phase):
    """At both ends, and the migration goes on: nothing of the guest is lost."""
    with booted(logs, HOT, bare=True, pages=8000, rate='unlimited') as pair:
        migration = Migration(pair, transport='unix',
                              parameters=_PHASES[phase])
        migration.start()
        migration.wait_phase(phase, PATIENCE)
        folder = pair.run.folder
        with open(f'{folder}/missing.img', 'wb') as image:
            image.truncate(1 << 20)
        for guest in (pair.src, pair.dst):
            for name, arguments in _others(folder):
                _answer(guest, name, arguments)
        pair.src.set_parameters({'max-bandwidth': 0,
                                 'max-postcopy-bandwidth': 0})
        equal(migration.wait_end(), 'completed', 'ended as')
        migration.wait_status('dst', 'completed', timeout=PATIENCE)
        audit(pair, 'dst')


def answered_in_rounds(logs):
    _commands_in(logs, 'rounds')


def answered_in_paging(logs):
    _commands_in(logs, 'paging')


CASES = {f.__name__.replace('_', '-'): f for f in (
    commands_while_paused, stops_while_paused, answered_in_rounds,
    answered_in_paging)}
