"""Puts faults at points of migrations, one after the other, and prints TAP.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import argparse
import json
import os
import random
import sys
import time
import traceback

from hybridmig import paths
from hybridmig.runs import Run

import failures
import judge
import kinds
import points
from world import World

LOGS = os.path.join(paths.BUILD, 'test-logs', 'faults')
RESULTS = os.path.join(LOGS, 'outcomes.json')
#: Of the default run; the others need --full.
DEFAULT = 60
FULL = 600
SEED = 1
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


def run_cell(point, name, preempt):
    """Returns the outcome."""
    fault = kinds.FAULTS[name]
    logs = os.path.join(LOGS, title(point, name, preempt).replace('/', '_')
                        .replace(' ', '_'))
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
        return outcome


def report(point, name, preempt):
    begin = time.monotonic()
    label = title(point, name, preempt)
    try:
        outcome = run_cell(point, name, preempt)
    except Exception as exc:
        print(f'not ok - faults: {label}')
        text = ''.join(traceback.format_exception(exc)).rstrip()
        print('\n'.join('# ' + line for line in text.splitlines()[-8:]),
              flush=True)
        return None
    print(f'ok - faults: {label}: the guest {outcome} '
          f'# {time.monotonic() - begin:.1f} s', flush=True)
    return outcome


def remember(outcomes):
    """For docs/failures.md; what was found before stays."""
    try:
        with open(RESULTS, encoding='utf-8') as old:
            known = json.load(old)
    except OSError:
        known = {}
    known.update(outcomes)
    os.makedirs(LOGS, exist_ok=True)
    with open(RESULTS, 'w', encoding='utf-8') as out:
        json.dump(known, out, indent=1, sort_keys=True)


def arguments():
    parser = argparse.ArgumentParser(prog='tests/faults/run')
    parser.add_argument('--only', action='append', metavar='TEXT',
                        help='cells whose title holds this, repeatable')
    parser.add_argument('--count', type=int, metavar='N',
                        help=f'so many cells (default: {DEFAULT}; {FULL} with '
                        'HYBRID_FULL=1)')
    parser.add_argument('--seed', type=int, default=SEED, metavar='N',
                        help=f'chooses them (default: {SEED})')
    parser.add_argument('--part', metavar='K/N',
                        help='the K-th of N parts of them')
    parser.add_argument('--repeat', type=int, default=1)
    parser.add_argument('--list', action='store_true')
    parser.add_argument('--docs', action='store_true', help='write docs/'
                        'failures.md from the outcomes of all runs so far')
    return parser.parse_args()


def wanted(args):
    if args.only:
        return [cell for cell in cells()
                if any(text in title(*cell) for text in args.only)]
    full = os.environ.get('HYBRID_FULL') == '1'
    found = choose(args.count or (FULL if full else DEFAULT),
                   args.seed)
    found += [cell for cell in cells()
              if title(*cell).startswith(ALWAYS) and cell not in found]
    if args.part:
        part, parts = map(int, args.part.split('/'))
        found = found[part - 1::parts]
    return found


def main():
    args = arguments()
    chosen = wanted(args)
    if args.docs:
        failures.write(RESULTS)
        return 0
    if args.list:
        print('\n'.join(title(*cell) for cell in chosen))
        return 0
    if os.geteuid() != 0:
        print('ok - faults # SKIP needs root for network namespaces')
        return 0
    paths.need_file(paths.built('qemu-points'), 'the QEMU with points')
    paths.use_qemu_python()
    print(f'# seed {args.seed}, {len(chosen)} of {len(cells())} cells')
    outcomes, broken = {}, False
    for _ in range(args.repeat):
        for point, name, preempt in chosen:
            outcome = report(point, name, preempt)
            if outcome:
                outcomes[f'{point} {name}'] = outcome
            broken |= not outcome
    remember(outcomes)
    return int(broken)


if __name__ == '__main__':
    sys.exit(main())
