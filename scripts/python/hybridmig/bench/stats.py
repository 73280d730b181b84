"""Medians and spread over repetitions, and what is a change beyond noise.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import collections
import dataclasses
import statistics

from . import metrics
from .metrics import METRICS, STATUSES

#: A change is called one if the ranges of both results do not overlap, the
#: medians differ by more than this share and by more than the figure's floor,
#: and there are at least so many repetitions of each.
SHARE = 0.05
LEAST_REPEATS = 3
FIGURED = (metrics.OK, metrics.NO_CONVERGE)


@dataclasses.dataclass
class Spread:
    median: float
    least: float
    most: float
    number: int


def spread(values):
    """None of nothing."""
    values = [value for value in values if value is not None]
    if not values:
        return None
    return Spread(statistics.median(values), min(values), max(values),
                  len(values))


class Summary:
    """All repetitions of one technique, workload and link."""
    def __init__(self, records):
        self.records = sorted(records, key=lambda r: r['repeat'])
        self.technique = records[0]['technique']
        self.statuses = collections.Counter(r['status'] for r in records)
        self.status = max(self.statuses, key=STATUSES.index)
        # Figures of a cell that went wrong say nothing.
        self.good = [r for r in self.records if r['status'] in FIGURED and
                     r['status'] == self.main_status()]

    def main_status(self):
        """Of the figures: completed, if any repetition was."""
        return next((s for s in FIGURED if s in self.statuses), self.status)

    def spread(self, key, part='figures'):
        return spread([r[part].get(key) for r in self.good])

    def status_text(self):
        parts = []
        for status in reversed(STATUSES):
            number = self.statuses.get(status)
            if number == len(self.records):
                return status
            if number:
                parts.append(f'{status} {number} of {len(self.records)}')
        return ', '.join(parts)

    def reasons(self):
        return [(r['key'], r['status'], r['reason']) for r in self.records
                if r.get('reason')]

    def flags(self):
        return [(r['key'], text) for r in self.records for text in r['flags']]


def groups(cells):
    """{(workload, link): {technique: Summary}} in the order of the cells."""
    found = {}
    for record in cells:
        group = found.setdefault((record['workload'], record['link']), {})
        group.setdefault(record['technique'], []).append(record)
    return {key: {name: Summary(records) for name, records in group.items()}
            for key, group in found.items()}


def bad_cells(results):
    """Keys of cells that are wrong, failed or there twice."""
    return [r['key'] for r in results.cells
            if r['status'] in (metrics.WRONG, metrics.FAILED)] + \
        list(results.duplicates)


# Comparing.

@dataclasses.dataclass
class Change:
    where: str
    what: str
    before: str
    after: str
    worse: bool


def _text(metric, s):
    return (f'{metric.text(s.median)} [{metric.text(s.least)} to '
            f'{metric.text(s.most)}]')


def _judge(metric, a, b):
    """Whether b differs from a beyond noise: None, "better" or "worse"."""
    apart = a.most < b.least or b.most < a.least
    difference = abs(b.median - a.median)
    if not apart or difference <= metric.floor or \
       difference <= SHARE * max(abs(a.median), abs(b.median)):
        return None
    return 'worse' if b.median > a.median else 'better'


class Comparison:
    """What changed from one result to another."""
    def __init__(self, before, after):
        self.changes = []
        self.unjudged = []      # too few repetitions
        self.missing = []       # only in one of them
        self.compared = 0
        old, new = groups(before.cells), groups(after.cells)
        for group in sorted(set(old) | set(new)):
            techniques = {**old.get(group, {}), **new.get(group, {})}
            for name in techniques:
                a = old.get(group, {}).get(name)
                b = new.get(group, {}).get(name)
                self._pair('/'.join((name,) + group), a, b)
        for results, side in ((before, False), (after, True)):
            for key in results.duplicates:
                self.changes.append(Change(key, 'recorded twice', '-', '-',
                                           side))

    def _pair(self, where, a, b):
        if a is None or b is None:
            self.missing.append(f'{where}: only in the '
                                f'{"second" if a is None else "first"}')
            return
        self.compared += 1
        if a.status != b.status:
            worse = STATUSES.index(b.status) > STATUSES.index(a.status)
            self.changes.append(Change(where, 'status', a.status_text(),
                                       b.status_text(), worse))
        if a.main_status() != b.main_status():
            return              # figures of different things
        for metric in METRICS:
            self._figure(where, metric, a.spread(metric.key),
                         b.spread(metric.key))

    def _figure(self, where, metric, x, y):
        if x is None or y is None:
            if x is not y:
                self.missing.append(f'{where}: {metric.title} only in the '
                                    f'{"second" if x is None else "first"}')
            return
        verdict = _judge(metric, x, y)
        if verdict is None:
            return
        if min(x.number, y.number) < LEAST_REPEATS:
            self.unjudged.append(f'{where}: {metric.title} {_text(metric, x)}'
                                 f' -> {_text(metric, y)}')
            return
        self.changes.append(Change(where, metric.title, _text(metric, x),
                                   _text(metric, y), verdict == 'worse'))

    def exit_code(self):
        """0 no change, 1 something is worse, 3 only better, 4 nothing to
        compare."""
        if not self.compared:
            return 4
        if any(change.worse for change in self.changes):
            return 1
        return 3 if self.changes else 0

    def text(self):
        lines = []
        for change in self.changes:
            lines.append(f'{"WORSE " if change.worse else "better"} '
                         f'{change.where}: {change.what} {change.before} -> '
                         f'{change.after}')
        if not self.changes:
            lines.append('no change beyond noise')
        if self.unjudged:
            lines.append(f'not judged, fewer than {LEAST_REPEATS} '
                         'repetitions:')
            lines += ['  ' + text for text in self.unjudged]
        if self.missing:
            lines.append('not compared:')
            lines += ['  ' + text for text in self.missing]
        lines.append(f'{self.compared} compared; a change is one if ranges '
                     f'do not overlap and medians differ by more than '
                     f'{SHARE:.0%}')
        return '\n'.join(lines)
