"""What no hybrid migration costs is what it costs with an unpatched QEMU.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os

from common import PATCHED, UNPATCHED, audit, booted, check, equal, wait_until
from hybridmig.migrate import Migration

SMALL = {'bare': True, 'mem': 64, 'pages': 8192, 'rate': '200mbit'}
WORK = 'hot pages=4000 rate=100000'
EVENTS = {'events': True}


def _calls(guest, kind):
    """Of read() and its like ("syscr"), or write() ("syscw"), by now."""
    with open(f'/proc/{guest.machine.get_pid()}/io', encoding='ascii') as file:
        return int(dict(line.split(': ') for line in file)[kind])


def _about(patched, unpatched, what, times):
    print(f'# {what}: {patched}, unpatched {unpatched}')
    check(unpatched > 500, f'no more {what} than {unpatched}')
    check(unpatched / times < patched < unpatched * times,
          f'{what}: {patched}, unpatched {unpatched}')


def _snapshot(pair):
    """Of a guest that writes meanwhile: each first write waits for its page."""
    caps = {**EVENTS, 'background-snapshot': True}
    migration = Migration(pair, caps, EVENTS, {'max-bandwidth': 16 << 20})
    path = os.path.join(pair.run.folder, 'snapshot')
    before = _calls(pair.src, 'syscw')
    migration.start(f'exec:cat > {path}')
    check(migration.wait_status('src', 'completed'), 'no snapshot')
    calls = _calls(pair.src, 'syscw') - before
    equal(pair.src.status(), 'running', 'the guest is')
    return migration, path, calls


def _snapshot_writes(logs, binary):
    with booted(logs, WORK, src=binary, **SMALL) as pair:
        calls = _snapshot(pair)[2]
        audit(pair, 'src')
        return calls


def background_snapshot_writes(logs):
    """
    A page that a vCPU waits to write is sent by one write, not by more: it is
    flushed before it may be written, and need not be once it was requested.
    """
    _about(_snapshot_writes(logs, PATCHED), _snapshot_writes(logs, UNPATCHED),
           'writes', 1.5)


def background_snapshot_restored(logs):
    """Its stream has no end of RAM, and devices behind it; old ones, too."""
    for binary in (PATCHED, UNPATCHED):
        with booted(logs, WORK, src=binary, **SMALL) as pair:
            migration, path, _ = _snapshot(pair)
            pair.src.qmp('stop')
            pair.dst.qmp('migrate-incoming', {'uri': f'exec:cat {path}'})
            check(migration.wait_status('dst', 'completed'), 'not loaded')
            wait_until(lambda: pair.dst.status() == 'running',
                       'it does not run')
            found = pair.dst.audit()
            check(found.right, f'memory: {found}')
            equal(found.pages, pair.config.pages, 'pages checked')
            # It goes on where it was then, and says what it said a second time
            pair.console.faults.clear()
            audit(pair, 'dst')


def _load(logs, binary):
    with booted(logs, 'idle', dst=binary, **SMALL) as pair:
        migration = Migration(pair, EVENTS, EVENTS, {'max-bandwidth': 0})
        path = os.path.join(pair.run.folder, 'stream')
        migration.prepare()
        # A file is read as far as there is room, a pipe as far as it is full
        pair.src.qmp('migrate', {'uri': f'file:{path}'})
        check(migration.wait_status('src', 'completed'), 'not saved')
        before = _calls(pair.dst, 'syscr')
        pair.dst.qmp('migrate-incoming', {'uri': f'file:{path}'})
        check(migration.wait_status('dst', 'completed'), 'not loaded')
        calls = _calls(pair.dst, 'syscr') - before
        wait_until(lambda: pair.dst.status() == 'running', 'it does not run')
        audit(pair, 'dst')
        return calls


def buffers_as_they_were(logs):
    """A stream that is not hybrid is read through a buffer as before."""
    _about(_load(logs, PATCHED), _load(logs, UNPATCHED), 'reads', 1.2)


CASES = {f.__name__.replace('_', '-'): f for f in (
    background_snapshot_writes, background_snapshot_restored,
    buffers_as_they_were)}
