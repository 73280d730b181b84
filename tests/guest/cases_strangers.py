"""A connection of somebody else, and a peer that never says a word.

Neither holds a main loop, with it the guest and the monitor, and neither keeps
a migration from being cancelled, recovered or tried again.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import socket
import time

from channels import PREEMPT, Channels
from common import audit, booted, check, equal
from hybridmig.migrate import Migration
from hybridmig.net import DST_ADDRESS, in_namespace

#: Phase 5 takes long enough for a cut.
SLOW_PUSH = {'hybrid-max-rounds': 1, 'max-postcopy-bandwidth': 4 << 20}
WRITER = 'hot pages=5000 rate=200000'
SILENT_PORT = 4999
PATIENCE = 60


def _booted(logs):
    return booted(logs, WRITER, bare=True, mem=64, pages=12000)


def _migration(pair, transport='tcp', preempt=False):
    migration = Migration(pair, transport=transport, parameters=SLOW_PUSH)
    migration.at_both({'postcopy-preempt': preempt})
    migration.prepare()
    return migration


@contextlib.contextmanager
def _silent_peer(pair):
    """Somebody listens there, whom the kernel has accept."""
    with in_namespace(pair.link.names['dst'], lambda: socket.create_server(
            (DST_ADDRESS, SILENT_PORT))):
        yield f'tcp:{DST_ADDRESS}:{SILENT_PORT}'


def _stranger(pair, uri):
    """Connects and says nothing."""
    port = int(uri.rpartition(':')[2])
    return in_namespace(pair.link.names['src'], lambda:
                        socket.create_connection((DST_ADDRESS, port), 10))


def _answers(guest):
    begin = time.monotonic()
    status = guest.status()
    took = time.monotonic() - begin
    check(took < 5, f'the monitor of {guest.side} took {took:.1f} s')
    return status


def _ticks(pair):
    """The guest works."""
    seen = len(pair.console.ticks)
    check(pair.console.wait(lambda: len(pair.console.ticks) > seen + 10, 10),
          'the guest stands still')


def _paging(migration):
    migration.wait_status('src', 'postcopy-active', timeout=PATIENCE)


def _moves(migration):
    """To its end, and all is right."""
    pair = migration.pair
    pair.src.set_parameters({'max-postcopy-bandwidth': 0})
    equal(migration.wait_end(), 'completed', 'ended as')
    migration.wait_status('dst', 'completed', timeout=PATIENCE)
    audit(pair, 'dst')


def _pauses(migration, times=1):
    log = migration.pair.log

    def paused(side):
        return migration.times(side, 'postcopy-paused') >= times
    check(log.wait(lambda: paused('src'), PATIENCE), 'source: no pause')
    check(log.wait(lambda: paused('dst'), PATIENCE), 'destination: no pause')


def _cut(migration):
    _paging(migration)
    migration.pair.link.cut('reset')
    _pauses(migration)
    migration.pair.link.heal()


def tls_peer_silent(logs):
    with _booted(logs) as pair, _silent_peer(pair) as uri:
        _migration(pair, 'tls')
        pair.src.qmp('migrate', {'uri': uri})
        time.sleep(0.5)         # for the handshake to begin
        equal(_answers(pair.src), 'running', 'the source')
        _ticks(pair)
        pair.src.qmp('migrate_cancel')
        equal(pair.src.qmp('query-migrate')['status'], 'cancelled', 'status')
        audit(pair, 'src')


def tls_preempt_silent(logs):
    with _booted(logs) as pair:
        migration = _migration(pair, 'tls', preempt=True)
        migration.transport = 'unix'
        channels = Channels(pair.run, migration.listen()[len('unix:'):],
                            lose=[PREEMPT])
        pair.src.qmp('migrate', {'uri': f'unix:{channels.path}'})
        check(pair.log.wait(lambda: channels.accepted > PREEMPT, PATIENCE),
              'no channel for preemption')
        time.sleep(0.5)         # for the handshake to begin
        equal(_answers(pair.src), 'running', 'the source')
        _ticks(pair)
        pair.src.qmp('migrate_cancel')
        equal(migration.wait_end(20), 'cancelled', 'ended as')
        audit(pair, 'src')


def _stranger_in_pause(logs, preempt):
    """At the address of before: nobody has said migrate-recover."""
    with _booted(logs) as pair:
        migration = _migration(pair, preempt=preempt)
        uri = migration.listen()
        pair.src.qmp('migrate', {'uri': uri})
        _cut(migration)
        with _stranger(pair, uri):
            time.sleep(0.5)     # for it to be taken for the source
            equal(migration.last_status('dst'), 'postcopy-paused', 'status')
            migration.recover()
            _moves(migration)


def stranger_in_pause(logs):
    _stranger_in_pause(logs, False)


def stranger_in_pause_preempt(logs):
    _stranger_in_pause(logs, True)


CASES = {f.__name__.replace('_', '-'): f for f in (
    tls_peer_silent, tls_preempt_silent, stranger_in_pause,
    stranger_in_pause_preempt)}
