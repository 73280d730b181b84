"""Puts faults at points of migrations, one after the other.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import functools
import json
import os
import random
import sys

import suite
import tap
from hybridmig import paths
from hybridmig.runs import Run

import failures
import judge
import kinds
import points
from world import World

RESULTS = os.path.join(paths.BUILD, 'test-logs', 'faults', 'outcomes.json')
#: Of the default run; the others need --full.
DEFAULT = 60
FULL = 600
SEED = 1
#: What is told of a cell begins so; the outcome follows.
THE_GUEST = 'the guest '
#: And always: the destination has loaded the package, and is about to say so.
ALWAYS = ('handoff/dst-loaded link-cut', 'handoff/dst-loaded cancel')


def cells():
    """All of (point, name of the fault, preempt), in a fixed order."""
    found = []
    for point in points.POINTS:
        for name, fault in kinds.FAULTS.items():
            if kinds.why_empty(point, name) is None:
                # A second connection at every other one, or where it is all
                preempt = fault.preempt or bool(len(found) % 2)
                found.append((point, name, preempt))
    return found


def choose(count, seed):
    """
    So many cells, each point and each fault as evenly as it goes: a run of
    the same seed is the same run.
    """
    rest = cells()
    random.Random(seed).shuffle(rest)
    used = {}
    chosen = []
    while rest and len(chosen) < count:
        best = min(rest, key=lambda c: used.get(c[0], 0) + used.get(c[1], 0))
        rest.remove(best)
        chosen.append(best)
        for key in best[:2]:
            used[key] = used.get(key, 0) + 1
    return chosen


def title(point, name, preempt):
    return f'{point} {name}' + (' preempt' if preempt else '')


def run_cell(cell, logs):
    """Returns the outcome."""
    point, name, preempt = cell
    fault = kinds.FAULTS[name]
    with Run(logs=logs) as run:
        world = World(run, point, preempt, fault=fault)
        try:
            world.start()
            world.put(fault)
            world.settle(fault)
            outcome = judge.judge(world, fault, name)
            judge.replays(world)
        except BaseException:
            run.keep()
            raise
        return THE_GUEST + outcome


def remember(outcomes):
    """For docs/failures.md; what was found before stays."""
    try:
        with open(RESULTS, encoding='utf-8') as old:
            known = json.load(old)
    except OSError:
        known = {}
    known.update(outcomes)
    os.makedirs(os.path.dirname(RESULTS), exist_ok=True)
    with open(RESULTS, 'w', encoding='utf-8') as out:
        json.dump(known, out, indent=1, sort_keys=True)


class Faults(suite.Suite):
    name = 'faults'

    def __init__(self, runner):
        super().__init__(runner)
        self.cells = {title(*cell): cell for cell in cells()}

    def cases(self):
        return {label: suite.Case(label, functools.partial(run_cell, cell))
                for label, cell in self.cells.items()}

    def options(self, parser):
        parser.add_argument('--count', type=int, metavar='N',
                            help=f'so many cells (default: {DEFAULT}; {FULL} '
                            'with HYBRID_FULL=1)')
        parser.add_argument('--seed', type=int, default=SEED, metavar='N',
                            help=f'chooses them (default: {SEED})')
        parser.add_argument('--part', metavar='K/N',
                            help='the K-th of N parts of them')

    def chosen(self, cases, args):
        full = os.environ.get('HYBRID_FULL') == '1'
        found = [title(*cell) for cell in
                 choose(args.count or (FULL if full else DEFAULT), args.seed)]
        found += [label for label in cases
                  if label.startswith(ALWAYS) and label not in found]
        if args.part:
            part, parts = map(int, args.part.split('/'))
            found = found[part - 1::parts]
        tap.note(f'seed {args.seed}, {len(found)} of {len(cases)} cells')
        return found

    def why_not(self):
        return None if os.geteuid() == 0 else \
            'needs root for network namespaces'

    @contextlib.contextmanager
    def session(self, _args):
        paths.need_file(paths.built('qemu-points'), 'the QEMU with points')
        paths.use_qemu_python()
        yield

    def ended(self, said):
        outcomes = {}
        for label, text in said.items():
            point, name, _ = self.cells[label]
            outcomes[f'{point} {name}'] = text[len(THE_GUEST):]
        remember(outcomes)


if __name__ == '__main__':
    if sys.argv[1:] == ['--docs']:  # from the outcomes of all runs so far
        failures.write(RESULTS)
    else:
        suite.run(Faults(__file__))
