"""The points of a migration at which faults are put.

A point is one of migration/common/point.h, in one setting of the migration.

SPDX-License-Identifier: GPL-2.0-or-later
"""
from dataclasses import dataclass

#: How a migration ends, or what it goes through before the point is armed.
HANDOFF, PRECOPY, RECOVERY, DELTAS, IN_STOP = \
    'handoff', 'precopy', 'recovery', 'deltas', 'in-stop'


@dataclass(frozen=True)
class Point:
    """
    name, number: as HYBRID_POINT has them
    owner:   the side whose guest it is there: until the source has decided
             (src-sends-GRANT) it is the source's
    way:     of the migration: HANDOFF, PRECOPY, RECOVERY (a handoff that
             was cut in paging; the point is reached as it is recovered),
             DELTAS (a handoff after which pages go as differences) or
             IN_STOP (completes as precopy, all of them go in the stop)
    holds:   what waits at the point: 'main' (no monitor answers), 'return'
             (the source hears nothing), 'stream' (of that side), 'faults'
    """
    name: str
    owner: str
    way: str
    holds: str = 'stream'
    number: int = 1

    @property
    def side(self):
        return self.name.split('-')[0]

    @property
    def wanted(self):
        return f'{self.name}#{self.number}'

    def __str__(self):
        number = f'#{self.number}' if self.number > 1 else ''
        return f'{self.way}/{self.name}{number}'


def _both(name, owner, **how):
    return [Point(name, owner, way, **how) for way in (HANDOFF, PRECOPY)]


POINTS = [
    # phase 1
    *_both('src-said-hello', 'src'),
    *_both('dst-heard-hello', 'src', holds='main'),
    *_both('src-sent-SETTINGS', 'src'),
    *_both('dst-read-SETTINGS', 'src', holds='main'),
    *_both('dst-sent-READY', 'src', holds='main'),
    *_both('src-read-READY', 'src', holds='return'),
    # phase 2
    *_both('src-in-rounds', 'src'),
    *_both('src-in-rounds', 'src', number=3),
    *_both('dst-in-rounds', 'src', holds='main', number=2000),
    *_both('src-round-ended', 'src'),
    Point('src-discarded', 'src', HANDOFF),
    Point('dst-read-DISCARD', 'src', HANDOFF, holds='main'),
    *_both('src-before-stop', 'src'),
    # phase 3
    *_both('src-stopped', 'src', holds='main'),
    Point('src-in-completion', 'src', PRECOPY),
    *_both('src-saved', 'src'),
    *_both('src-sent-package', 'src'),
    *_both('dst-package', 'src', holds='main'),
    *_both('dst-loaded', 'src', holds='main'),
    *_both('dst-sends-LOADED', 'src', holds='main'),
    *_both('dst-sent-LOADED', 'src', holds='main'),
    *_both('src-read-LOADED', 'src', holds='return'),
    # phase 4: the source has decided
    *_both('src-sends-GRANT', 'dst'),
    *_both('src-sent-GRANT', 'dst'),
    *_both('dst-read-GRANT', 'dst'),
    *_both('dst-started', 'dst', holds='main'),
    *_both('dst-sends-RUNNING', 'dst', holds='main'),
    *_both('dst-sent-RUNNING', 'dst', holds='main'),
    *_both('src-read-RUNNING', 'dst', holds='return'),
    Point('src-awaits-RUNNING', 'dst', PRECOPY),
    # phase 5
    Point('src-in-paging', 'dst', HANDOFF),
    Point('src-in-paging', 'dst', HANDOFF, number=5),
    Point('dst-fault', 'dst', HANDOFF, holds='faults', number=2),
    Point('dst-placed', 'dst', HANDOFF, number=20),
    *_both('dst-stream-ended', 'dst'),
    *_both('dst-sends-STATS', 'dst', holds='main'),
    *_both('dst-sent-STATS', 'dst', holds='main'),
    *_both('src-read-STATS', 'dst', holds='return'),
    # after a cut in paging
    Point('src-paused', 'dst', RECOVERY),
    Point('dst-paused', 'dst', RECOVERY),
    Point('src-recovers', 'dst', RECOVERY),
    Point('src-sends-GRANT', 'dst', RECOVERY, number=2),
    Point('src-sent-GRANT', 'dst', RECOVERY, number=2),
    Point('dst-read-GRANT', 'dst', RECOVERY, number=2),
    Point('dst-sends-RUNNING', 'dst', RECOVERY, number=2),
    Point('dst-stream-ended', 'dst', RECOVERY, number=1),
    # differences: bases before the switch, and what settles them
    Point('src-in-bases', 'src', DELTAS),
    Point('src-in-bases', 'src', DELTAS, number=10),
    Point('dst-read-BASE', 'src', DELTAS, holds='main', number=500),
    Point('dst-placed', 'dst', DELTAS, number=20),
    Point('src-in-paging', 'dst', DELTAS, number=5),
    Point('dst-read-DELTAS', 'dst', DELTAS),
    Point('dst-sends-DELTAS', 'dst', DELTAS),
    Point('src-read-DELTAS', 'dst', DELTAS, holds='return'),
    # all differences in the stop
    Point('dst-read-BASE', 'src', IN_STOP, holds='main', number=500),
    Point('src-stopped', 'src', IN_STOP, holds='main'),
    Point('src-in-completion', 'src', IN_STOP),
    Point('dst-sent-LOADED', 'src', IN_STOP, holds='main'),
    Point('src-sent-GRANT', 'dst', IN_STOP),
]


def find(text):
    for point in POINTS:
        if str(point) == text:
            return point
    raise KeyError(f'no such point: {text}')
