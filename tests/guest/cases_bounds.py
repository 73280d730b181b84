"""What a peer that has proved nothing can make the other side hold: little.

The peer is this program. It says what it likes, at either side; what the QEMU
holds by then is bounded, and a source goes on with its guest.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import os
import re
import socket
import struct
import threading
import time

from common import audit, booted, check, equal, wait_until
from hybridmig.migrate import SRC_CAPABILITIES

PAGES = 6000
MEM = 64
#: What may come on top, in MiB: memory that is in use, and that is reserved.
RESIDENT, RESERVED = 48, 256
HELLO, ACK = b'HyB\x01', b'HyB\x81'
PRIVATE = 0x6879


def _memory(guest):
    """The most so far that a QEMU had in use and reserved, in MiB."""
    with open(f'/proc/{guest.machine.get_pid()}/status',
              encoding='ascii') as status:
        text = status.read()
    return [int(re.search(rf'{name}:\s*(\d+)', text)[1]) >> 10
            for name in ('VmHWM', 'VmPeak')]


def _bounded(guest, before, reserved=RESERVED):
    now = _memory(guest)
    check(now[0] - before[0] < RESIDENT,
          f'{now[0] - before[0]} MiB more are in use')
    check(now[1] - before[1] < reserved,
          f'{now[1] - before[1]} MiB more are reserved')


def _private(kind, body):
    return struct.pack('>HH', kind, 1) + body


# ---- a source that lies ----

def _command(number, body=b''):
    return b'\x08' + struct.pack('>HH', number, len(body)) + body


def _settings(flags, rest=b''):
    return _command(PRIVATE, _private(1, struct.pack('>IIQ', 0, flags, 7) +
                                      rest))


def _begin(pair):
    """The header and the machine, as the source's QEMU says them."""
    ours, theirs = socket.socketpair()
    pair.src.monitor.give_fd(theirs.fileno(), 'begin')
    theirs.close()
    pair.src.set_capabilities(SRC_CAPABILITIES)
    pair.src.qmp('migrate', {'uri': 'fd:begin'})
    data = b''
    while b'\x08\0\x01\0\0' not in data:
        more = ours.recv(4096)
        check(more, 'the source closed the connection')
        data += more
    ours.close()
    pair.log.wait(lambda: pair.log.find('src', 'MIGRATION', status='failed'),
                  20, 'src failed')
    return data[:data.index(b'\x08\0\x01\0\0')]


def _base(slot):
    return _command(PRIVATE, _private(7, struct.pack('>IIH', slot, 1, 6) +
                                      b'pc.ram' + struct.pack('>Q', 0) +
                                      bytes(4096)))


_OPEN = _command(1) + _command(2, struct.pack('>I', 1)) + _command(2, HELLO)
_HUGE = b'\xff\xff\xff\xff'


def _lies(begin):
    """Name, what is said, what may be reserved besides."""
    name = struct.unpack('>I', begin[9:13])[0]
    machine = begin[:13 + name]
    caps = b'\x05' + bytes([len('configuration/capabilities')]) + \
        b'configuration/capabilities' + struct.pack('>I', 1) + _HUGE
    block = struct.pack('>QH', 4096, 65535)
    yield 'the name of the machine', begin[:9] + _HUGE + bytes(4096), RESERVED
    yield 'its capabilities', machine + caps + b'\x04zero' * 9, RESERVED
    yield 'a private message', begin + _OPEN + b'\x08' + struct.pack(
        '>HH', PRIVATE, 65535) + _private(1, bytes(40000)), RESERVED
    yield 'settings', begin + _OPEN + _settings(
        0xffffffff, bytes(16) + b'\xff' * 8 + block * 3000), RESERVED
    # Half of the guest's memory, and as long as it is asked for twice as much
    yield 'bases', begin + _OPEN + _settings(
        1 << 6, struct.pack('>HH', 0, 0) + _HUGE) + b''.join(
            _base(slot) for slot in range((MEM << 8) // 2)), \
        RESERVED + 2 * MEM
    yield 'a package', begin + _command(7, _HUGE) + bytes(1 << 20), 5000
    yield 'a package to be loaded', begin + _OPEN + _settings(0) + \
        _command(7, _HUGE) + bytes(1 << 20), 5000


def source(logs):
    """At the destination, and connections that say nothing."""
    with _booted(logs) as pair:
        begin = _begin(pair)
        for name, said, reserved in _lies(begin):
            print(f'# {name}', flush=True)
            path = f'{pair.run.folder}/lie.sock'
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            pair.dst.set_capabilities({'postcopy-ram': True})
            pair.dst.qmp('migrate-incoming', {'uri': f'unix:{path}',
                                              'exit-on-error': False})
            before = _memory(pair.dst)
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(path)
                with contextlib.suppress(OSError):
                    peer.sendall(said)
                time.sleep(0.3)
                _bounded(pair.dst, before, reserved)
            wait_until(lambda: pair.dst.qmp('query-migrate').get('status') ==
                       'failed', 'failed')
            equal(pair.dst.status(), 'inmigrate', 'the destination is')
            _bounded(pair.dst, before, reserved)
            pair.renew_destination()
        audit(pair, 'src')


def silent(logs):
    """Those that connect and say nothing are let in as far as one migration
    has use for them.
    """
    with _booted(logs) as pair:
        path = f'{pair.run.folder}/silent.sock'
        pair.dst.set_capabilities({'postcopy-ram': True,
                                   'postcopy-preempt': True})
        pair.dst.qmp('migrate-incoming', {'uri': f'unix:{path}'})
        before = _memory(pair.dst)
        folder = f'/proc/{pair.dst.machine.get_pid()}/fd'
        files = len(os.listdir(folder))
        with contextlib.ExitStack() as stack:
            for _ in range(200):
                peer = stack.enter_context(socket.socket(socket.AF_UNIX))
                peer.setblocking(False)
                with contextlib.suppress(OSError):
                    peer.connect(path)
            time.sleep(0.5)
            equal(pair.dst.status(), 'inmigrate', 'the destination is')
            more = len(os.listdir(folder)) - files
            check(more <= 4, f'{more} connections were let in')
            _bounded(pair.dst, before)
        audit(pair, 'src')


# ---- a destination that lies ----

class _Peer:
    """Agrees, takes the guest, swallows what comes; then says what it likes."""
    def __init__(self, pair, ready=None, when=b'', says=()):
        self._says = list(says)
        self._when = when
        self._ready = ready if ready is not None else \
            _private(16, struct.pack('>QQIH', 0, 0, 0x3f, 0))
        self._sock, theirs = socket.socketpair()
        pair.src.monitor.give_fd(theirs.fileno(), 'peer')
        theirs.close()
        self.said = threading.Event()
        pair.run.callback(self._sock.close)
        threading.Thread(target=self._read, daemon=True).start()
        pair.src.qmp('migrate', {'uri': 'fd:peer'})

    def _say(self, kind, body):
        self._sock.sendall(struct.pack('>HH', kind, len(body)) + body)

    def _read(self):
        tail, agreed, ready = b'', False, False
        with contextlib.suppress(OSError):
            while data := self._sock.recv(1 << 16):
                seen = tail + data
                tail = seen[-64:]
                if not agreed and HELLO in seen:
                    self._say(2, ACK)
                    agreed = True
                if not ready and _command(PRIVATE)[:3] in seen:
                    self._say(PRIVATE, self._ready)
                    ready = True
                if ready and not self.said.is_set() and self._when in seen:
                    with contextlib.suppress(OSError):
                        for kind, body in self._says:
                            self._say(kind, body)
                    self.said.set()
                for probe in re.findall(rb'\x08\0\x02\0\x04(HyR.)', seen,
                                        re.DOTALL):
                    self._say(2, probe)


def _requests(pair):
    """More than are kept, of pages all over; each is a be64 and a be32."""
    pages = (MEM << 8) - 1
    first = struct.pack('>QIB', 0, 4096, 6) + b'pc.ram'
    return [(3, first)] + [(4, struct.pack('>QI', n % pages << 12, 4096))
                           for n in range(400_000)]


def _says(pair, name, peer, told):
    print(f'# {name}', flush=True)
    before = _memory(pair.src)
    first = len(pair.log)
    peer = peer()
    end = pair.log.wait(lambda: pair.log.find('src', 'MIGRATION', after=first,
                                              status='failed'), 60)
    check(end, 'the migration goes on')
    error = pair.src.qmp('query-migrate').get('error-desc', '')
    check(re.search(told, error), f'the error is {error!r}')
    check(len(error.encode()) < 1400, f'an error of {len(error)} bytes')
    check(error.isprintable(), f'the error is {error!r}')
    _bounded(pair.src, before)
    wait_until(lambda: pair.running_sides() == ['src'], 'it runs at the source')


def destination(logs):
    with _booted(logs) as pair:
        pair.src.set_capabilities(SRC_CAPABILITIES)
        pair.src.set_parameters({'hybrid-handoff-timeout': 3000,
                                 'hybrid-max-rounds': 1,
                                 'downtime-limit': 1})
        sizes = struct.pack('>QH', 4096, 8) + b'/objects'
        text = b'\x1b[2J\n\xff\x00' * 4000
        long = struct.pack('>H', len(text)) + text
        package = b'\x08\0\x07\0\x04'
        for name, peer, told in (
                ('page sizes', lambda: _Peer(pair, _private(
                    16, struct.pack('>QQIH', 0, 0, 0x3f, 0xffff) +
                    sizes * 1700)), 'too short'),
                ('a refusal', lambda: _Peer(pair, _private(
                    17, bytes(16) + long)), 'refuses the migration: .?.2J'),
                ('a reason', lambda: _Peer(pair, says=[
                    (PRIVATE, _private(23, long))]), 'failed.*: .?.2J'),
                ('statistics', lambda: _Peer(pair, says=[
                    (PRIVATE, _private(20, bytes(8) + _HUGE + bytes(30000)))]),
                 'STATS in'),
                ('too long', lambda: _Peer(pair, says=[
                    (PRIVATE, bytes(60000))]), 'hybrid message of 60000'),
                ('a bitmap', lambda: _Peer(pair, says=[
                    (5, b'\x06pc.ram' + bytes(40000))]),
                 'RECV_BITMAP|Received'),
                ('requests', lambda: _Peer(pair, when=package,
                                           says=_requests(pair)),
                 'requests|handoff')):
            _says(pair, name, peer, told)
        audit(pair, 'src')


def _booted(logs):
    return booted(logs, 'hot pages=700 rate=20000', bare=True, mem=MEM,
                  pages=PAGES, replayed=False)


def _named(*functions):
    return {'bounds-' + f.__name__: f for f in functions}


CASES = _named(source, silent, destination)
