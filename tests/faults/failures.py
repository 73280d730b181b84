"""docs/failures.md: what became of the guest, point by fault.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import json
import os

from hybridmig import paths

import judge
import kinds
import points

PAGE = os.path.join(paths.ROOT, 'docs', 'failures.md')

SIGNS = {judge.STAYS: 'S', judge.MOVES: 'M', judge.RECOVERS: 'R',
         judge.LOST: 'L', judge.ENDED: 'E', judge.WITHOUT: 'W',
         judge.ENDED_THERE: 'D'}

TABLES = {
    'The link': ('link-cut', 'link-to-src', 'link-to-dst', 'link-down',
                 'link-reset', 'link-dip', 'main-broken', 'preempt-broken',
                 'half-closed-src', 'half-closed-dst', 'deaf-src', 'deaf-dst'),
    'The hosts': ('dst-killed', 'src-killed', 'dst-frozen', 'src-frozen',
                  'dst-hangs', 'quit-dst', 'quit-src', 'dst-out-of-memory',
                  'dst-no-mapping'),
    'Commands': tuple(name for name in kinds.FAULTS if not name.startswith(
        ('link-', 'dst-', 'src-', 'quit-', 'half-', 'deaf-')) and
        not name.endswith('-broken')),
}

HEAD = """# What became of the guest

Written by `tests/faults/run --docs` from runs of the fault harness: at a named
point of a real migration (rows) one thing goes wrong (columns), and an operator
does what [the operator's guide](operators-guide.md#failures) says. Whatever came
out, the guest ran on one side only, each page of its memory was checked, nothing
was left open, and where it had stayed at the source a second migration worked.

| | the guest |
|---|---|
| S | stays at the source, which runs it |
| M | moves: the migration completes |
| R | pauses with the migration, and runs at the destination after `migrate-recover` |
| L | is lost with the destination; the source says so and never runs it |
| E | has ended with the source that owned it; the destination never runs it |
| W | runs on at the destination, whose source is gone |
| D | has moved whole, and ended with the destination's QEMU |
| · | not run in what this page was made from |
| – | makes no sense, see the end |

A point is named after the side and what has just happened there; `#3` is the
third time. Up to `src-sends-GRANT` the guest is the source's.
`link-to-src` and `link-to-dst` cut one direction only, `link-dip` one second,
`-frozen` stops a process for 1.5 s, `-hangs` for good. `half-closed-` ends what
that side sends on the main connection, `deaf-` what it hears. `client-gone-` is a
second client of the monitor that leaves in the middle of a command,
`monitor-full-` one that reads nothing; `-out-of-memory` is a control group that
allows no page more, `-no-mapping` a process that gets no mapping more.
"""


def _cell(known, point, name):
    if kinds.why_empty(point, name):
        return '–'
    return SIGNS.get(known.get(f'{point} {name}'), '·')


def _table(known, way, names):
    yield '| ' + ' | '.join(['point', *names]) + ' |'
    yield '|' + '---|' * (len(names) + 1)
    for point in points.POINTS:
        if point.way == way:
            label = str(point).partition('/')[2]
            yield '| ' + ' | '.join([f'`{label}`'] + [
                _cell(known, point, name) for name in names]) + ' |'


def _reasons():
    found = {}
    for point in points.POINTS:
        for name in kinds.FAULTS:
            reason = kinds.why_empty(point, name)
            if reason:
                found.setdefault((name, reason), []).append(f'`{point}`')
    for (name, reason), where in found.items():
        yield f'* {name}: {reason} ({", ".join(where)})'


WAYS = {points.HANDOFF: 'The guest is handed over (postcopy)',
        points.PRECOPY: 'The migration completes as precopy',
        points.RECOVERY: 'A recovery after a cut in phase 5',
        points.DELTAS: 'The guest is handed over, pages go as differences',
        points.IN_STOP: 'The migration completes as precopy, pages go as '
                        'differences'}


def write(results):
    with open(results, encoding='utf-8') as file:
        known = json.load(file)
    cells = [f'{point} {name}' for point in points.POINTS
             for name in kinds.FAULTS if not kinds.why_empty(point, name)]
    ran = sum(cell in known for cell in cells)
    lines = [HEAD, f'Made from {ran} of {len(cells)} cells.\n']
    for way, title in WAYS.items():
        lines.append(f'## {title}\n')
        for name, faults in TABLES.items():
            lines += [f'### {name}\n', *_table(known, way, faults), '']
    lines += ['## Empty cells\n', *_reasons(), '']
    with open(PAGE, 'w', encoding='utf-8') as out:
        out.write('\n'.join(lines))
