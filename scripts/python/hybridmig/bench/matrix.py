"""Which cells, in which order, and how long they take.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import fnmatch
import statistics

from . import links, techniques, workloads
from .cell import Cell
from .metrics import PAGING_TECHNIQUES

QUICK_TECHNIQUES = ('non-live', 'precopy', 'postcopy', 'postcopy-preempt',
                    'first-pass-preempt', 'hybrid', 'hybrid-preempt')
#: What a full run has on other links than the first, besides all there.
ELSEWHERE_TECHNIQUES = ('non-live', 'precopy', 'postcopy-preempt',
                        'first-pass', 'first-pass-preempt', 'hybrid',
                        'hybrid-preempt')
ELSEWHERE = ('idle-full', 'sequential', 'redis')
#: Where few bytes of a page change: what deltas are for, beside what else there
#: is. The more of them, and with all that overwrites pages, only with --deltas.
DELTA_TECHNIQUES = ('non-live', 'precopy-xbzrle', 'first-pass-preempt',
                    'hybrid', 'hybrid-no-deltas', 'hybrid-preempt')
DELTA_WORKLOADS = ('small', 'small-zipf', 'redis-patches', 'sqlite',
                   'compile')
MORE_DELTA_TECHNIQUES = ('non-live', 'precopy-xbzrle', 'hybrid',
                         'hybrid-no-deltas')
MORE_DELTA_WORKLOADS = ('small-paced', 'small-uniform-paced', 'write-8',
                        'write-64', 'write-512', 'write-8-spread',
                        'write-64-spread', 'write-512-spread')
WHOLE_WORKLOADS = ('sequential', 'uniform', 'zipf')
DELTA_WAN = ('small-paced', 'small-uniform-paced', 'sequential-paced',
             'uniform-paced')
#: A handoff now against further rounds, over the WAN: it pays to send again.
FAR_WORKLOADS = ('uniform-near',)
FAR_TECHNIQUES = ('non-live', 'first-pass-preempt', 'hybrid-no-deltas',
                  'hybrid-handoff-now', 'hybrid-no-budget')
QUICK_WORKLOADS = ('idle-full', 'sequential', 'zipf-paced')
QUICK_SCALE = 0.25
PLANS = ('standard', 'quick', 'deltas', 'all')


class MatrixError(Exception):
    """Nothing is selected."""


def _for_deltas(technique, workload, link):
    if link == 'wan' and workload in FAR_WORKLOADS:
        return technique in FAR_TECHNIQUES
    if link == 'wan':
        return workload in DELTA_WAN and technique in MORE_DELTA_TECHNIQUES
    return link == links.LINKS[0].name and (
        (workload in DELTA_WORKLOADS and technique in DELTA_TECHNIQUES) or
        (workload in MORE_DELTA_WORKLOADS + WHOLE_WORKLOADS and
         technique in MORE_DELTA_TECHNIQUES))


def _planned(plan, technique, workload, link):
    first = links.LINKS[0].name
    if plan == 'quick':
        return link == first and technique in QUICK_TECHNIQUES and \
            workload in QUICK_WORKLOADS
    if plan == 'deltas':
        return _for_deltas(technique, workload, link)
    if plan == 'standard':
        if workload in MORE_DELTA_WORKLOADS + FAR_WORKLOADS or \
                technique == 'hybrid-handoff-now' or (
                workload in DELTA_WORKLOADS and
                technique not in DELTA_TECHNIQUES) or (
                technique == 'hybrid-no-deltas' and
                workload not in DELTA_WORKLOADS + WHOLE_WORKLOADS):
            return False
        # Where CPU time is what limits, paging alone: ours beside upstream's
        return link == first or (
            workload in ELSEWHERE and
            (technique in ELSEWHERE_TECHNIQUES or
             (links.BY_NAME[link].warm and technique in PAGING_TECHNIQUES)))
    return True


def matches(pattern, technique, workload, link):
    """@pattern: TECHNIQUE[/WORKLOAD[/LINK]], each a glob."""
    parts = pattern.split('/')
    if len(parts) > 3:
        raise MatrixError(f'not TECHNIQUE/WORKLOAD/LINK: {pattern}')
    return all(fnmatch.fnmatchcase(name, part or '*')
               for part, name in zip(parts, (technique, workload, link)))


def cells(plan='standard', only=(), repeat=1):
    """The cells in their order: A B C, A B C, ... so that what drifts on the
    machine hits all techniques alike."""
    found = [Cell(t.name, w.name, l.name, number)
             for number in range(repeat)
             for l in links.LINKS
             for w in workloads.WORKLOADS
             for t in techniques.TECHNIQUES
             if _planned(plan, t.name, w.name, l.name) and
             (not only or any(matches(pattern, t.name, w.name, l.name)
                              for pattern in only))]
    for pattern in only:
        if not any(matches(pattern, c.technique, c.workload, c.link)
                   for c in found):
            raise MatrixError(f'nothing matches {pattern}: '
                              'scripts/bench --list has the names')
    return found


class Clock:
    """Estimates how long the cells take that are left."""
    def __init__(self, scale):
        self._scale = scale
        self._took = {}         # (technique, link) -> [seconds]
        self._share = []        # seconds, over the first guess

    def _guess(self, cell):
        """Before anything is known: boot, window, copying, audit."""
        link = links.BY_NAME[cell.link]
        workload = workloads.BY_NAME[cell.workload]
        mem = workload.config(link, self._scale).mem
        return 8 + 2 * link.copy_seconds(mem * 256) + mem / 100

    def add(self, cell, seconds):
        if seconds:
            self._took.setdefault((cell.technique, cell.link),
                                  []).append(seconds)
            self._share.append(seconds / self._guess(cell))

    def estimate(self, cell):
        known = self._took.get((cell.technique, cell.link))
        if known:
            return statistics.mean(known)
        share = statistics.mean(self._share) if self._share else 1
        return share * self._guess(cell)

    def left(self, remaining):
        return sum(self.estimate(cell) for cell in remaining)


def duration(seconds):
    """"3 min 20 s"; coarse, for people."""
    seconds = round(seconds)
    if seconds >= 3600:
        return f'{seconds // 3600} h {seconds % 3600 // 60} min'
    if seconds >= 60:
        return f'{seconds // 60} min {seconds % 60} s'
    return f'{seconds} s'
