"""The links, as data, and the check that this machine can hold them.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import dataclasses
import os
import socket
import threading
import time

from ..net import rate_bits
from .metrics import PAGE_BYTES

#: What has to pass, as a share of the rate; TCP's own headers are 4 %.
LEAST, MOST = 0.90, 1.02
TRIES = 3


@dataclasses.dataclass(frozen=True)
class BenchLink:
    """A rate in each direction, a delay one way, and how big a guest fits."""
    name: str
    rate: str
    pages: int          # of the guest's set: some seconds of copying
    delay_ms: int = 0
    queue_ms: int = 10
    warm: bool = False  # needs warm host memory: a CPU benchmark

    @property
    def bits(self):
        return rate_bits(self.rate)

    def pages_per_second(self):
        """What the link carries; None without a limit."""
        return self.bits / 8 / PAGE_BYTES if self.bits else None

    def copy_seconds(self, pages):
        """The least time for so many pages; a guess without a limit."""
        return pages * PAGE_BYTES * 8 / min(self.bits or 4e9, 4e9)

    def arguments(self):
        """For net.Link."""
        return {'rate': self.rate, 'queue_ms': self.queue_ms,
                'delay_ms': self.delay_ms}

    def text(self):
        delay = f', {self.delay_ms} ms one way' if self.delay_ms else ''
        queue = f', queue {self.queue_ms} ms' if self.bits else ''
        return f'{self.rate}{delay}{queue}'


LINKS = [
    BenchLink('1gbit', '1gbit', 131072),
    BenchLink('10gbit', '10gbit', 262144),
    BenchLink('unlimited', 'unlimited', 262144, warm=True),
    # A queue as long as a round trip, as routers have.
    BenchLink('wan', '200mbit', 49152, delay_ms=20, queue_ms=40),
    BenchLink('slow', '100mbit', 24576),
]
BY_NAME = {link.name: link for link in LINKS}


class LinkError(Exception):
    """The machine cannot hold the shape that was asked for."""


def _receive(sock, counts, chunk):
    while True:
        got = sock.recv(chunk)
        if not got:
            return
        counts.append((time.monotonic(), len(got)))


def transfer_rate(link, seconds=1.0):
    """Bits per second that TCP gets through from "src" to "dst".

    The first quarter, in which the connection gets up to speed, is left out.
    """
    source, destination = link.connected_pair()
    counts, block = [], bytes(256 * 1024)
    reader = threading.Thread(target=_receive,
                              args=(destination, counts, 1 << 20))
    reader.start()
    begin = time.monotonic()
    try:
        source.settimeout(30)
        while time.monotonic() < begin + seconds:
            source.sendall(block)
        source.shutdown(socket.SHUT_WR)
        reader.join(60)
    finally:
        source.close()
        destination.close()
    counts = [(at, n) for at, n in counts if at > begin + seconds / 4]
    if len(counts) < 2:
        return 0.0
    span = counts[-1][0] - counts[0][0]
    return sum(n for _, n in counts[1:]) * 8 / span if span else 0.0


def round_trip_ms(link, times=20):
    """The median time of one byte there and back."""
    source, destination = link.connected_pair()
    took = []
    with source, destination:
        for sock in (source, destination):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(times):
            begin = time.monotonic()
            source.sendall(b'.')
            destination.recv(1)
            destination.sendall(b'.')
            source.recv(1)
            took.append((time.monotonic() - begin) * 1000)
    return sorted(took)[len(took) // 2]


def judge(spec, bits, rtt):
    """Raises LinkError if what was measured is not the link of @spec."""
    wanted = spec.bits
    if wanted and not LEAST * wanted <= bits <= MOST * wanted:
        raise LinkError(
            f'link {spec.name}: {bits / 1e6:.0f} Mbit/s got through, it has '
            f'to be {LEAST * wanted / 1e6:.0f} to {MOST * wanted / 1e6:.0f}: '
            'this machine cannot hold the shape now')
    least = 2 * spec.delay_ms
    if not least <= rtt <= least + 5:
        raise LinkError(f'link {spec.name}: the round trip takes {rtt:.1f} '
                        f'ms, it has to be {least} to {least + 5}')


def check(run, spec, make_link):
    """Transfer something over the link; returns what was measured.

    Some tries, for another process may have had the CPU just then.
    """
    link = make_link(run, **spec.arguments())
    for left in reversed(range(TRIES)):
        rtt = round_trip_ms(link)
        bits = transfer_rate(link, 3.0 if spec.delay_ms else 1.0)
        try:
            judge(spec, bits, rtt)
            break
        except LinkError:
            if not left:
                raise
    return {'mbit_s': round(bits / 1e6, 1), 'round_trip_ms': round(rtt, 3)}


def available_mib():
    """What the host says can be allocated."""
    with open('/proc/meminfo', encoding='ascii') as info:
        for line in info:
            if line.startswith('MemAvailable:'):
                return int(line.split()[1]) // 1024
    raise LinkError('no MemAvailable in /proc/meminfo')


def check_machine(mem_mib, warm_mib):
    """Two guests of that size and warm memory, with something to spare."""
    need = 2 * mem_mib + warm_mib + 512
    have = available_mib()
    if need > have:
        raise LinkError(f'the cells need {need} MiB of memory, {have} MiB '
                        'are available: use --scale to make guests smaller')
    if os.cpu_count() < 2:
        raise LinkError('a source and a destination need two CPUs, there is '
                        'one: they would measure each other')
