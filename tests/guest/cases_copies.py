"""Nothing starts a second copy of a guest that runs at the destination.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import os
import socket
import time

from common import audit, booted, check, equal, wait_until
from disks import Disk
from hybridmig.migrate import Migration
from hybridmig.monitor import QmpError
from machines import machines, refused

SMALL = {'bare': True, 'mem': 64, 'pages': 8192, 'rate': '200mbit'}
WORK = 'hot pages=4000 rate=100000'
HANDOFF = {'hybrid-max-rounds': 1}
#: Of a debugger: go on, one step, both in the newer way, and the session ends.
STARTS = ('c', 's', 'vCont;c', 'vCont;s:1', 'D')


def _hmp(guest, line):
    return guest.qmp('human-monitor-command', {'command-line': line})


@contextlib.contextmanager
def _gdb_server(run, guest):
    path = os.path.join(run.folder, f'{guest.side}.gdb')
    _hmp(guest, f'gdbserver unix:{path},server=on,wait=off')
    yield path
    _hmp(guest, 'gdbserver none')


def _debugger_says(path, packet):
    """A whole session: the stub takes the packet before the end of it."""
    with socket.socket(socket.AF_UNIX) as gdb:
        gdb.settimeout(10)
        gdb.connect(path)
        for text in ('?', packet):
            gdb.sendall(f'+${text}#{sum(text.encode()) % 256:02x}'.encode())
            answer = b''
            while b'+' not in answer:
                answer = gdb.recv(1000)


def _starts_nothing(pair, reason):
    """Whatever may start a guest is tried at the source."""
    src = pair.src
    before = src.status()
    check(reason in refused(src, 'cont'), f'cont in {before}')
    said = _hmp(src, 'cont')
    check(reason in said, f'HMP cont in {before}: {said!r}')
    with contextlib.suppress(QmpError):
        src.qmp('system_wakeup')
    with _gdb_server(pair.run, src) as path:
        for packet in STARTS:
            _debugger_says(path, packet)
            time.sleep(0.1)
            equal(src.status(), before, f'after {packet} the source is')
    check(any('gdbstub: the guest is not started' in line and reason in line
              for line in src.output().splitlines()), 'not in the log')


def _given_away(logs, parameters, during):
    """It is not started while it is given away, nor when that is over."""
    with booted(logs, WORK if during else 'idle', **SMALL) as pair:
        migration = Migration(pair, parameters=parameters)
        migration.start()
        if during:
            migration.wait_phase('paging')
            _starts_nothing(pair, 'not finalized')
            migration.pause()
            for side in ('src', 'dst'):
                check(migration.wait_status(side, 'postcopy-paused'), side)
            _starts_nothing(pair, 'not finalized')
            pair.src.set_parameters({'max-postcopy-bandwidth': 0})
            migration.recover()
        equal(migration.wait_end(), 'completed', 'ended as')
        wait_until(lambda: pair.src.status() == 'postmigrate', 'postmigrate')
        _starts_nothing(pair, 'runs at the destination')
        audit(pair, 'dst')
        # Another guest in its place is nobody's copy.
        pair.src.qmp('set-action', {'reboot': 'reset'})
        pair.src.qmp('system_reset')
        wait_until(lambda: pair.src.status() == 'prelaunch', 'no reset')
        pair.src.qmp('cont')
        # Or it has done the one step that a debugger wanted.
        check(pair.src.status() in ('running', 'debug'), 'not begun anew')


def no_copy_after_handoff(logs):
    _given_away(logs, {**HANDOFF, 'max-postcopy-bandwidth': 1 << 20}, True)


def no_copy_after_precopy(logs):
    _given_away(logs, {}, False)


def copy_if_it_never_ran(logs):
    """
    As libvirt does: the destination was not to start the guest by itself, and
    is ended. The source's copy is the only one.
    """
    with booted(logs, 'idle', dst_extra=['-S'], **SMALL) as pair:
        migration = Migration(pair)
        migration.start()
        migration.wait_status('src', 'completed', timeout=60)
        equal(pair.dst.status(), 'paused', 'the destination is')
        pair.dst.kill()
        pair.src.qmp('cont')
        audit(pair, 'src')


def snapshot_after_handoff(logs):
    """What a snapshot brings is no copy of what runs."""
    with booted(logs, WORK, **SMALL) as pair:
        Disk(pair, 'disk', 'qcow2')
        said = _hmp(pair.src, 'savevm before')
        check('rror' not in said, said)
        migration = Migration(pair, parameters=HANDOFF)
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        wait_until(lambda: pair.src.status() == 'postmigrate', 'postmigrate')
        audit(pair, 'dst')
        pair.dst.kill()
        pair.src.qmp('blockdev-set-active', {'active': True})
        equal(_hmp(pair.src, 'loadvm before'), '', 'loadvm')
        pair.src.qmp('cont')
        equal(pair.src.audit().right, True, 'its memory is right')
        # That it goes back in time is what was asked for.
        pair.console.faults.clear()
        audit(pair, 'src')


CASES = {f.__name__.replace('_', '-'): f for f in (
    no_copy_after_handoff, no_copy_after_precopy, copy_if_it_never_ran,
    snapshot_after_handoff)}
