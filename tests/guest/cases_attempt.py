"""Attempts to connect that end late, and connections that nobody waits for.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import os
import random
import signal
import socket
import struct
import subprocess
import threading
import time

from channels import Channels, full_queue
from common import IDLE, audit, booted, check, equal, exits, wait_until
from hybridmig.migrate import Migration
from hybridmig.monitor import QmpError, QmpLost

#: Phase 5 takes some seconds, if nobody touches a missing page.
SLOW = {'max-bandwidth': 8 << 20, 'max-postcopy-bandwidth': 4 << 20}
WRITER = 'hot pages=3000 rate=20000'
#: On a machine with much else to do.
PATIENCE = 60


def _wait_times(migration, side, status, times):
    check(migration.pair.log.wait(
        lambda: migration.times(side, status) >= times, PATIENCE),
        f'{side} not {status} {times} times')


@contextlib.contextmanager
def _paused(logs, transport='unix', preempt=False, workload=WRITER):
    """A handoff was cut in phase 5; yields pair, migration."""
    with booted(logs, workload, bare=True, mem=64, pages=7000,
                rate='unlimited') as pair:
        migration = Migration(pair, transport=transport, parameters=SLOW)
        migration.at_both({'postcopy-preempt': preempt})
        migration.prepare()
        channels = Channels(pair.run, migration.listen()[len('unix:'):])
        pair.src.qmp('migrate', {'uri': f'unix:{channels.path}'})
        check(migration.wait_phase('rounds', PATIENCE), 'no rounds')
        pair.src.qmp('migrate-start-postcopy')
        check(migration.wait_status('src', 'postcopy-active',
                                    timeout=PATIENCE), 'no paging')
        channels.close()
        for side in ('src', 'dst'):
            _wait_times(migration, side, 'postcopy-paused', 1)
        yield pair, migration


def _resume(pair, migration, listen=True, **how):
    """Through a proxy, which is returned."""
    if listen:
        migration.address = migration.listen(command='migrate-recover',
                                             oob=True)
    channels = Channels(pair.run, migration.address[len('unix:'):], **how)
    pair.src.qmp('migrate', {'uri': f'unix:{channels.path}', 'resume': True})
    return channels


def _recovers(pair, migration):
    """In time: a connection that nobody waits for may cost an attempt."""
    for _ in range(5):
        paused = migration.times('src', 'postcopy-paused')
        _resume(pair, migration)
        pair.log.wait(lambda before=paused: (
            migration.times('src', 'postcopy-paused') > before or
            migration.status_seen('src', 'completed')), PATIENCE,
            'the recovery ends')
        if migration.status_seen('src', 'completed'):
            break
        wait_until(lambda: migration.last_status('dst') == 'postcopy-paused',
                   'the destination pauses again')
    _ends(pair, migration)


def _completes(pair, migration):
    pair.src.set_parameters({'max-postcopy-bandwidth': 0})
    equal(migration.wait_end(), 'completed', 'ended as')
    check(migration.wait_status('dst', 'completed', timeout=PATIENCE),
          'the destination does not end')


def _ends(pair, migration):
    _completes(pair, migration)
    audit(pair, 'dst')


# ---- the source: an attempt that was given up ends while the next one runs

def _pause_attempt(pair, migration):
    _wait_times(migration, 'src', 'postcopy-recover-setup', 1)
    pair.src.monitor.command('migrate-pause', oob=True)
    _wait_times(migration, 'src', 'postcopy-paused', 2)


def _stale(logs, end, second):
    """
    Nobody accepts, and the queue is full: connect() waits.  After the next
    attempt, second(pair, migration), end(listener).
    """
    with _paused(logs) as (pair, migration):
        with full_queue(pair.run) as (listener, path):
            pair.src.qmp('migrate', {'uri': f'unix:{path}', 'resume': True})
            _pause_attempt(pair, migration)
            second(pair, migration)
            kept = end(listener)
            time.sleep(0.5)
            equal(migration.info()['status'] in (
                'postcopy-active', 'postcopy-recover', 'completed',
                'postcopy-recover-setup', 'device'), True,
                f'source: {migration.info()["status"]}')
            if second is _again_full:
                pair.src.monitor.command('migrate-pause', oob=True)
                _wait_times(migration, 'src', 'postcopy-paused', 3)
                _resume(pair, migration)
            _ends(pair, migration)
            for one in kept:
                one.close()


def _good(pair, migration):
    _resume(pair, migration)
    _wait_times(migration, 'src', 'postcopy-active', 2)


def _again_full(pair, migration):
    """Neither does anybody accept this one."""
    _, path = pair.run.enter_context(full_queue(pair.run))
    pair.src.qmp('migrate', {'uri': f'unix:{path}', 'resume': True})
    _wait_times(migration, 'src', 'postcopy-recover-setup', 2)


def _fail(listener):
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    return []


def _accept(listener):
    listener.settimeout(20)
    return [listener.accept()[0], listener.accept()[0]]


def fails_later(logs):
    _stale(logs, _fail, _good)


def connects_later(logs):
    _stale(logs, _accept, _good)


def fails_in_the_next(logs):
    _stale(logs, _fail, _again_full)


def connects_in_the_next(logs):
    _stale(logs, _accept, _again_full)


def silent_tls(logs):
    """
    A peer that accepts and says nothing: the source's monitor answers, and
    the attempt can be given up.
    """
    with _paused(logs, 'tls-unix') as (pair, migration):
        path = f'{pair.run.folder}/silent.sock'
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(1)
            listener.settimeout(20)
            pair.src.qmp('migrate', {'uri': f'unix:{path}', 'resume': True})
            peer, _ = listener.accept()
            with peer:
                peer.settimeout(20)
                check(peer.recv(1), 'no handshake')
                _pause_attempt(pair, migration)
                _good(pair, migration)
                while peer.recv(4096):
                    pass        # it was told that it is over
            _ends(pair, migration)


def _cancelled(logs, end):
    """Migrate again at once; end(listener) of the first meanwhile."""
    with booted(logs, WRITER, bare=True, mem=64, pages=7000,
                rate='unlimited') as pair:
        migration = Migration(pair, transport='unix', parameters=SLOW)
        migration.prepare()
        address = migration.listen()
        with full_queue(pair.run) as (listener, path):
            pair.src.qmp('migrate', {'uri': f'unix:{path}'})
            equal(migration.info()['status'], 'setup', 'source')
            migration.cancel()
            equal(migration.info()['status'], 'cancelled', 'source')
            migration.first_event = len(pair.log)
            pair.src.qmp('migrate', {'uri': address})
            kept = end(listener)
            check(migration.wait_phase('rounds', PATIENCE), 'no rounds')
            time.sleep(0.5)
            check(migration.info()['status'] in ('active', 'device',
                                                 'postcopy-active'),
                  f'the source is {migration.info()["status"]}')
            pair.src.set_parameters({'max-bandwidth': 0})
            _ends(pair, migration)
            for one in kept:
                one.close()


def cancelled_then_fails(logs):
    _cancelled(logs, _fail)


def cancelled_then_connects(logs):
    _cancelled(logs, _accept)


# ---- the destination: who else connects

def _knock(address, seconds, what):
    """As a port scanner does it, again and again."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), \
                socket.socket(socket.AF_UNIX) as one:
            one.connect(address)
            if what:
                one.sendall(what)
        time.sleep(0.005)


def _scanned(logs, transport, preempt, what=b''):
    with _paused(logs, transport, preempt) as (pair, migration):
        pair.follows_model = False      # there only the source connects
        migration.address = migration.listen(command='migrate-recover',
                                             oob=True)
        threads = [threading.Thread(target=_knock, args=(
            migration.address[len('unix:'):], 1, what)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait_until(lambda: migration.last_status('dst') == 'postcopy-paused',
                   'the destination is paused')
        _recovers(pair, migration)


def scanned(logs):
    _scanned(logs, 'unix', False)


def scanned_preempt(logs):
    _scanned(logs, 'unix', True)


def scanned_tls(logs):
    _scanned(logs, 'tls-unix', False, b'GET / HTTP/1.0\r\n\r\n')


def scanned_garbage_preempt(logs):
    _scanned(logs, 'unix', True, b'GET / HTTP/1.0\r\n\r\n')


def silent_client_tls(logs):
    """The guest and the monitor go on while somebody says nothing."""
    with _paused(logs, 'tls-unix') as (pair, migration):
        migration.address = migration.listen(command='migrate-recover',
                                             oob=True)
        with socket.socket(socket.AF_UNIX) as silent:
            silent.connect(migration.address[len('unix:'):])
            _resume(pair, migration, listen=False)
            _ends(pair, migration)


@contextlib.contextmanager
def _late_client(pair, address):
    """
    Somebody who has the key as well, and whose handshake takes until the
    first thing that is sent to the function that this yields.
    """
    with socket.socket() as listener, socket.socket(socket.AF_UNIX) as to:
        listener.bind(('127.0.0.1', 0))
        listener.listen(1)
        listener.settimeout(20)
        with open(f'{pair.run.folder}/tls/keys.psk', encoding='ascii') as keys:
            key = keys.read().strip().split(':')[1]
        with subprocess.Popen(
                ['gnutls-cli', '--insecure', '--priority',
                 'NORMAL:-KX-ALL:+ECDHE-PSK:+DHE-PSK:+PSK',
                 '--pskusername', 'qemu', '--pskkey', key, '-p',
                 str(listener.getsockname()[1]), '127.0.0.1'],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL) as client:
            from_, _ = listener.accept()
            to.connect(address)
            hello = from_.recv(65536)
            check(hello, 'the client says nothing')

            def forward(one, other):
                with contextlib.suppress(OSError):
                    while data := one.recv(65536):
                        other.sendall(data)

            def go_on():
                to.sendall(hello)
                for ends in ((from_, to), (to, from_)):
                    threading.Thread(target=forward, args=ends,
                                     daemon=True).start()
            try:
                yield go_on
            finally:
                client.kill()
                from_.close()


@contextlib.contextmanager
def _resumed(logs):
    """A client's handshake is held back when the source connects."""
    with _paused(logs, 'tls-unix') as (pair, migration):
        migration.address = migration.listen(command='migrate-recover',
                                             oob=True)
        with _late_client(pair, migration.address[len('unix:'):]) as go_on:
            _resume(pair, migration, listen=False)
            yield pair, migration, go_on


def two_handshakes(logs):
    """The second to end finds the main channel there."""
    with _resumed(logs) as (pair, migration, go_on):
        _wait_times(migration, 'dst', 'postcopy-active', 2)
        go_on()
        time.sleep(1)
        _ends(pair, migration)


def handshake_after_the_end(logs):
    """It must not begin a migration over the guest that runs."""
    with _resumed(logs) as (pair, migration, go_on):
        _completes(pair, migration)
        go_on()
        time.sleep(1)
        equal(migration.info('dst')['status'], 'completed', 'destination')
        audit(pair, 'dst')


def no_credentials(logs):
    """The destination's were taken away: refused, but no reason to end."""
    with _paused(logs, 'tls-unix', workload=IDLE) as (pair, migration):
        wait_until(lambda: pair.dst.qmp('object-del', {'id': 'tls'}) == {},
                   'the credentials go')
        _resume(pair, migration)
        _wait_times(migration, 'src', 'postcopy-paused', 2)
        time.sleep(0.5)
        check(pair.dst.is_alive(), 'the destination has ended')
        pair.dst.qmp('object-add', {
            'qom-type': 'tls-creds-psk', 'id': 'tls', 'endpoint': 'server',
            'dir': os.path.join(pair.run.folder, 'tls')})
        _recovers(pair, migration)


def multifd_silent(logs):
    """The main thread waits for what does not come: migrate-pause ends it."""
    with booted(logs, IDLE, bare=True, mem=64, pages=7000, rate='unlimited',
                extra=('-global', 'migration.multifd-flush-after-each-section='
                       'on')) as pair:
        migration = Migration(pair, transport='unix', parameters={
            'max-bandwidth': 4 << 20})
        migration.at_both({'multifd': True, 'postcopy-ram': False,
                           'return-path': True})
        migration.src_caps['hybrid'] = False
        migration.prepare()
        channels = Channels(pair.run, migration.listen()[len('unix:'):])
        pair.src.qmp('migrate', {'uri': f'unix:{channels.path}'})
        check(migration.wait_status('dst', 'active', timeout=PATIENCE),
              'not active')
        for connection in channels.connections[1:]:
            connection.swallow()
        time.sleep(3)           # what is sent by the main one gets there
        with contextlib.suppress(QmpLost):      # it may end before it answers
            pair.dst.monitor.command('migrate-pause', oob=True)
        check(exits(pair.dst, 20), 'the destination does not end')
        channels.close()
        equal(migration.wait_end(), 'failed', 'ended as')
        audit(pair, 'src')


def pause_at_the_end_of_precopy(logs):
    """Once the destination has the guest it is too late: one runs, not two."""
    with booted(logs, IDLE, bare=True, mem=64, pages=7000,
                rate='unlimited') as pair:
        migration = Migration(pair, transport='unix')
        migration.at_both({'postcopy-ram': False, 'return-path': True})
        migration.src_caps['hybrid'] = False

        def pause():
            with contextlib.suppress(QmpLost):
                while not migration.event('dst', 'RESUME'):
                    with contextlib.suppress(QmpError):
                        time.sleep(random.uniform(0, 0.01))
                        pair.dst.monitor.command('migrate-pause', oob=True)
        migration.when(pause, 'src', 'STOP')
        migration.start()
        if migration.wait_end() == 'completed':
            check(migration.wait_status('dst', 'completed', timeout=PATIENCE),
                  'the destination does not end')
            audit(pair, 'dst')
        else:
            check(exits(pair.dst, 20), 'the destination does not end')
            audit(pair, 'src')


def pause_of_a_command(logs):
    """The load waits for what a command says, in a coroutine: it is woken."""
    with booted(logs, IDLE, bare=True, mem=64, pages=7000,
                rate='unlimited') as pair:
        migration = Migration(pair, {'events': True}, {'events': True},
                              {'max-bandwidth': 1 << 20})
        migration.prepare()
        fifo = os.path.join(pair.run.folder, 'fifo')
        os.mkfifo(fifo)
        pair.dst.qmp('migrate-incoming', {'uri': f'exec:cat {fifo}',
                                          'exit-on-error': False})
        pair.src.qmp('migrate', {'uri': f'exec:cat > {fifo}'})
        check(migration.wait_status('dst', 'active', timeout=PATIENCE),
              'nothing comes')
        pid = pair.src.machine.get_pid()
        os.kill(pid, signal.SIGSTOP)    # nothing comes any more
        try:
            time.sleep(0.2)             # what is on its way
            pair.dst.monitor.command('migrate-pause', oob=True)
            check(migration.wait_status('dst', 'failed', timeout=10),
                  'the destination waits for the command')
        finally:
            os.kill(pid, signal.SIGCONT)
        check(migration.wait_status('src', 'failed', timeout=PATIENCE),
              'the source does not notice')
        audit(pair, 'src')


def multifd_one_too_many(logs):
    """A channel with a number that is none of theirs; they begin with 0."""
    with booted(logs, IDLE, bare=True, mem=64, pages=7000,
                rate='unlimited') as pair:
        migration = Migration(pair, {'events': True}, {'events': True},
                              transport='unix')
        migration.dst_caps['multifd'] = True
        migration.prepare()
        pair.dst.set_parameters({'multifd-channels': 2})
        path = os.path.join(pair.run.folder, 'incoming')
        pair.dst.qmp('migrate-incoming', {'uri': f'unix:{path}',
                                          'exit-on-error': False})
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(path)
            sock.sendall(struct.pack('>II16sB39x', 0x11223344, 1, b'', 2))
            check(migration.wait_status('dst', 'failed', timeout=PATIENCE),
                  'it is taken')
        error = migration.info('dst')['error-desc']
        check('channel id 2' in error, f'error: {error}')
        audit(pair, 'src')


CASES = {'attempt-' + f.__name__.replace('_', '-'): f for f in (
    fails_later, connects_later, fails_in_the_next, connects_in_the_next,
    silent_tls, cancelled_then_fails, cancelled_then_connects, scanned, scanned_preempt, scanned_tls, scanned_garbage_preempt,
    silent_client_tls, two_handshakes, handshake_after_the_end,
    no_credentials, multifd_silent, multifd_one_too_many,
    pause_at_the_end_of_precopy, pause_of_a_command)}
