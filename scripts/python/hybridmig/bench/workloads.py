"""What the guest does while it is migrated, as data.

Rates follow the link, so that "paced" means the same everywhere: half of what
the link carries, which precopy can follow.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import dataclasses
import re

from ..guest import GuestConfig
from .probes import (CompileProbe, JobProbe, RedisPatchProbe, RedisProbe,
                     SqliteProbe)

#: Pages per second at most: a guest on an emulated CPU writes not much more.
MOST_PACED = 40000
#: What the guest's kernel and the firmware need, in MiB.
KERNEL_MIB = 96


@dataclasses.dataclass(frozen=True)
class Workload:
    """@text is for the guest: {set}, {half}, {quarter}, {few}, {paced},
    {near}."""
    name: str
    title: str
    text: str
    smp: int = 1
    share: float = 1.0      # of the guest's memory is its set
    probe: type = None      # a Probe, for what is outside the guest's program
    least_mib: int = 0      # of guest memory, however small the link

    def numbers(self, link, scale):
        pages = int(link.pages * scale)
        carried = link.pages_per_second()
        paced = min(MOST_PACED, carried / 2) if carried else MOST_PACED
        near = min(MOST_PACED, carried * 0.8) if carried else MOST_PACED
        owned = max(1000, int(pages * self.share))
        return {'pages': pages, 'set': owned, 'half': owned // 2,
                'quarter': owned // 4, 'few': owned // 16,
                'paced': int(paced), 'near': int(near)}

    def most(self, link, scale):
        """The pace that it is told to keep, in units a second, or None."""
        if self.probe and self.probe.RATE:
            return self.probe.RATE
        found = re.search(r'rate=(\d+)', self.text.format(
            **self.numbers(link, scale)))
        return int(found[1]) or None if found else None

    def config(self, link, scale, accel='tcg', machine='pc'):
        """The guest, for this link."""
        n = self.numbers(link, scale)
        mem = max(KERNEL_MIB + n['pages'] // 256 * 106 // 100, self.least_mib)
        more = self.probe.guest_settings if self.probe else {}
        return GuestConfig(mem=mem, smp=self.smp, pages=n['set'], accel=accel,
                           machine=machine, workload=self.text.format(**n),
                           **more)


WORKLOADS = [
    Workload('idle-free', 'idle, most memory free', 'idle', share=0.125),
    Workload('idle-full', 'idle, memory full', 'idle'),
    Workload('sequential', 'sequential writer, full speed',
             'hot pages={quarter} rate=0'),
    Workload('sequential-paced', 'sequential writer, half the link',
             'hot pages={quarter} rate={paced}'),
    Workload('uniform', 'uniform writer, full speed',
             'random pages={half} rate=0'),
    Workload('uniform-paced', 'uniform writer, half the link',
             'random pages={half} rate={paced}'),
    Workload('uniform-near', 'uniform writer over few pages, 4/5 of the link',
             'random pages={few} rate={near}'),
    Workload('zipf', 'zipf writer, full speed', 'zipf pages={set} rate=0'),
    Workload('zipf-paced', 'zipf writer, half the link',
             'zipf pages={set} rate={paced}'),
    Workload('read-mostly', 'reads everywhere, few pages written',
             'readmostly pages={few} rate=0'),
    Workload('moving', 'writer whose working set moves',
             'moving pages={few} rate={paced}'),
    Workload('two-vcpus', 'sequential writer on two vCPUs',
             'hot pages={quarter} rate=0 threads=2', smp=2),
    Workload('two-vcpus-random', 'uniform writer on two vCPUs',
             'random pages={half} rate=0 threads=2', smp=2),
    # Redis has its keys beside the guest's set.
    Workload('redis', 'Redis, 300 requests a second from outside', 'idle',
             share=0.375, probe=RedisProbe, least_mib=176),
    Workload('redis-patches', 'Redis, 24 bytes of 200 values in a request, '
             '100 a second', 'idle', share=0.25, probe=RedisPatchProbe,
             least_mib=256),
    Workload('sqlite', 'SQLite, transactions of 8 rows from outside', 'idle',
             share=0.375, probe=SqliteProbe, least_mib=224),
    Workload('compile', 'a compiler, its output checked', 'compile',
             share=0.5, probe=CompileProbe, least_mib=176),
    # A few bytes of a page are written, at full speed unless it says so.
    Workload('small', 'sequential writer, 24 bytes of a page',
             'hot pages={quarter} rate=0 bytes=24'),
    Workload('small-zipf', 'zipf writer over half, 24 bytes of a page',
             'zipf pages={half} rate=0 bytes=24'),
    Workload('small-paced', 'sequential writer, 24 bytes, half the link',
             'hot pages={few} rate={paced} bytes=24'),
    Workload('small-uniform-paced', 'uniform writer, 24 bytes, half the link',
             'random pages={few} rate={paced} bytes=24'),
    *[Workload(f'write-{size}{"-spread" if spread else ""}',
               f'sequential writer, {size} bytes of a page at '
               f'{"other places each time" if spread else "a fixed place"}',
               f'hot pages={{quarter}} rate=0 bytes={size} spread={spread}')
      for spread in (0, 1) for size in (8, 64, 512)],
    Workload('job', 'compression, its output checked', 'job', share=0.5,
             probe=JobProbe),
]
BY_NAME = {workload.name: workload for workload in WORKLOADS}
