"""What the guest does while it is migrated, as data.

Rates follow the link, so that "paced" means the same everywhere: half of what
the link carries, which pre-copy can follow.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import dataclasses

from ..guest import GuestConfig

#: Pages per second at most: a guest on an emulated CPU writes not much more.
MOST_PACED = 40000
#: What the guest's kernel and the firmware need, in MiB.
KERNEL_MIB = 96


class Probe:
    """A part of a workload that is outside the guest, such as its clients.

    The times in what it returns are those of time.monotonic().
    """
    def settings(self):
        """Arguments for GuestConfig that the workload needs."""
        return {}

    def begin(self, pair):
        """The guest runs: start, and return when it is in full swing."""
        raise NotImplementedError

    def done(self):
        """[(time, units of work since the entry before)] up to now.

        This is the guest's work, where its own program does none: the rate
        that has to come back, and what work lost is counted in.
        """
        return []

    def end(self):
        """Stop, check what can be checked, and return a dictionary.

        wrong:   number of answers or results that were not right
        text:    what was checked, in one line
        errors:  list of (time, text): requests that failed
        latency: list of (time of the answer, seconds it took)
        """
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Workload:
    """@text is for the guest; {set}, {half}, {quarter}, {few}, {paced}."""
    name: str
    title: str
    text: str
    smp: int = 1
    share: float = 1.0      # of the guest's memory is its set
    probe: object = None    # makes a Probe

    def numbers(self, link, scale):
        pages = int(link.pages * scale)
        carried = link.pages_per_second()
        paced = min(MOST_PACED, carried / 2) if carried else MOST_PACED
        owned = max(1000, int(pages * self.share))
        return {'pages': pages, 'set': owned, 'half': owned // 2,
                'quarter': owned // 4, 'few': owned // 16,
                'paced': int(paced)}

    def config(self, link, scale, accel='tcg', machine='pc'):
        """The guest, for this link."""
        n = self.numbers(link, scale)
        mem = KERNEL_MIB + n['pages'] // 256 * 103 // 100
        return GuestConfig(mem=mem, smp=self.smp, pages=n['set'], accel=accel,
                           machine=machine, workload=self.text.format(**n))


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
    Workload('zipf', 'zipf writer, full speed', 'zipf pages={set} rate=0'),
    Workload('zipf-paced', 'zipf writer, half the link',
             'zipf pages={set} rate={paced}'),
    Workload('read-mostly', 'reads everywhere, few pages written',
             'readmostly pages={few} rate=0'),
    Workload('moving', 'writer whose working set moves',
             'moving pages={few} rate={paced}'),
    Workload('two-vcpus', 'sequential writer on two vCPUs',
             'hot pages={quarter} rate=0 threads=2', smp=2),
]
BY_NAME = {workload.name: workload for workload in WORKLOADS}
