"""The link itself: rate, delay, queue, order, and the ways to cut it.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import os
import random
import socket
import statistics
import struct
import threading
import time

from common import check, equal
from hybridmig.net import DST_ADDRESS, Link, in_namespace
from hybridmig.runs import Run

#: TCP's share of an Ethernet frame without its checksum: 1448 of 1514 bytes.
PAYLOAD = 1448 / 1514
DATAGRAM = 1400
MIB = 1 << 20
#: As Linux has them; Python does not name them.
SO_SNDBUFFORCE, SO_RCVBUFFORCE, SO_TIMESTAMPNS = 32, 33, 35


@contextlib.contextmanager
def _link(rate, delay_ms):
    # What is measured is the link, not who else wants the CPU.
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    try:
        with Run() as run:
            yield Link(run, rate, delay_ms=delay_ms)
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _receive(sock, pieces):
    while True:
        data = sock.recv(1 << 18)
        if not data:
            return
        pieces.append((time.monotonic(), data))


def _transfer(link, size):
    """Returns the rate of the second half, in bits per second of payload."""
    source, destination = link.connected_pair()
    pieces, block = [], random.Random(1).randbytes(MIB)
    thread = threading.Thread(target=_receive, args=(destination, pieces))
    with source, destination:
        thread.start()
        for _ in range(size // MIB):
            source.sendall(block)
        source.shutdown(socket.SHUT_WR)
        thread.join(60)
    received = b''.join(data for _, data in pieces)
    check(received == block * (size // MIB), 'what was sent did not arrive')
    total, half = 0, []
    for at, data in pieces:
        total += len(data)
        if total > size // 2:
            half.append((at, total))
    return (half[-1][1] - half[0][1]) * 8 / (half[-1][0] - half[0][0])


def _round_trip_ms(link, count=20):
    """The shortest of some."""
    source, destination = link.connected_pair()
    times = []
    with source, destination:
        for sock in (source, destination):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count):
            begin = time.monotonic()
            source.sendall(b'.')
            destination.sendall(destination.recv(1))
            source.recv(1)
            times.append(time.monotonic() - begin)
    return min(times) * 1000


def _body(number):
    return random.Random(number).randbytes(DATAGRAM - struct.calcsize('<Id'))


def _take(receiver):
    """A datagram, and when the kernel had it: Python may have been late."""
    data, extra, _, _ = receiver.recvmsg(2048, 64)
    return data, sum(part / 10 ** (9 * place) for place, part in
                     enumerate(struct.unpack('qq', extra[0][2])))


def _flood(link, seconds):
    """
    Numbered datagrams, twice as many as pass. Returns how long those of the
    second half that came were under way, in ms; checks their order and
    content.
    """
    def bound():
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 * MIB)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.bind((DST_ADDRESS, 0))
        sock.settimeout(1)
        return sock
    receiver = in_namespace(link.names['dst'], bound)
    sender = in_namespace(link.names['src'], lambda: socket.socket(
        socket.AF_INET, socket.SOCK_DGRAM))
    sender.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 64 * MIB)
    came, dropped = [], link.drops()

    def receive():
        with contextlib.suppress(TimeoutError):
            while True:
                came.append(_take(receiver))
    thread = threading.Thread(target=receive)
    with sender, receiver:
        count = int(link.rate * seconds * 2 / 8 / (DATAGRAM + 42))
        address = receiver.getsockname()
        bodies = [_body(number) for number in range(count)]
        thread.start()
        begin = time.monotonic()
        for number, body in enumerate(bodies):
            wait = begin + seconds * number / count - time.monotonic()
            if wait > 0.001:
                time.sleep(wait)
            sender.sendto(struct.pack('<Id', number, time.time()) + body,
                          address)
        thread.join(60)
    last, times = -1, []
    for data, at in came:
        number, sent = struct.unpack_from('<Id', data)
        check(number > last, f'datagram {number} came after {last}')
        check(data[12:] == bodies[number], f'datagram {number} is damaged')
        last = number
        times.append((at - sent) * 1000)
    equal(link.drops() - dropped + len(came), count, 'dropped and received')
    return times[len(times) // 2:]


def _behaves(rate, delay_ms):
    with _link(rate, delay_ms) as link:
        trip = _round_trip_ms(link)
        check(2 * delay_ms <= trip <= 2 * delay_ms + 3,
              f'round trip {trip:.2f} ms, delay {delay_ms} ms')
        bits = _transfer(link, int(link.rate / 8 * 3) // MIB * MIB)
        full = link.rate * PAYLOAD
        check(0.85 * full <= bits <= 1.03 * full,
              f'{bits / 1e6:.1f} Mbit/s, the link has {full / 1e6:.1f}')
        link.set_rate('20mbit')     # Python can flood this one
        # Not the median: the sender may have paused, and the queue drained.
        way = statistics.quantiles(_flood(link, 1), n=10)[-1]
        limit = link.queue_limit_ms()
        check(delay_ms + 0.7 * limit <= way <= delay_ms + limit + 5,
              f'{way:.2f} ms under way with a full queue; delay {delay_ms} '
              f'ms, the queue with its burst holds {limit:.1f} ms')
        if link.line:
            equal([link.line.counters()[side]['dropped']
                   for side in ('src', 'dst')], [0, 0], 'lost in the line')


def link_veth(_logs):
    _behaves('200mbit', 0)


def link_delay(_logs):
    _behaves('200mbit', 20)


def _passes(source, destination, seconds):
    """Whether a byte that is sent now arrives in time."""
    source.sendall(b'.')
    destination.settimeout(seconds)
    try:
        return destination.recv(1) == b'.'
    except TimeoutError:
        return False


def _cuts(delay_ms):
    """Each way of cutting stops what it should, and heal() undoes it."""
    with _link('200mbit', delay_ms) as link:
        for mode, forth, back in (
                ('blackhole', False, False), ('down', False, False),
                ('to-dst', False, True), ('to-src', True, False)):
            source, destination = link.connected_pair()
            with source, destination:
                check(_passes(source, destination, 5), 'nothing passes')
                link.cut(mode)
                # Acknowledgements pass the other way: one direction at a time.
                first = _passes(source, destination, 5 if forth else 0.3)
                second = _passes(destination, source, 5 if back else 0.3)
                equal((first, second), (forth, back), f'passes when {mode}')
                link.heal()
                if not forth:
                    check(_passes(destination, source, 10) or back,
                          f'{mode}: nothing passes after healing')
                link.heal()
        source, destination = link.connected_pair()
        with source, destination:
            link.cut('reset')
            destination.settimeout(5)
            try:
                equal(destination.recv(1), b'', 'received after a reset')
            except ConnectionError:
                pass
            link.heal()
        before = link.bytes_sent()
        link.set_rate('100mbit')
        bits = _transfer(link, 24 * MIB)
        check(bits <= 1.03 * 100e6 * PAYLOAD, f'{bits / 1e6:.1f} Mbit/s')
        check(link.bytes_sent() - before >= 24 * MIB, 'too few bytes counted')


def link_cuts(_logs):
    _cuts(0)


def link_cuts_delay(_logs):
    _cuts(10)


CASES = {f.__name__.replace('_', '-'): f for f in (
    link_veth, link_delay, link_cuts, link_cuts_delay)}
