"""The bench: scripts/bench.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import argparse
import contextlib
import os
import sys

from .. import paths
from . import (docs, links, matrix, report, runner, stats, store, techniques,
               workloads)
from .cell import Settings

REPEATS = {'quick': 1, 'deltas': 5}
EPILOG = '''
PATTERN is TECHNIQUE[/WORKLOAD[/LINK]], each with * and ? as in file names:
  scripts/bench --only 'hybrid*/zipf*/1gbit' --only 'precopy/zipf*/1gbit'

exit status: 0 all cells are right; 1 a cell is wrong or failed, or the machine
cannot hold the shape; 2 wrong usage. With --compare: 0 no change beyond noise,
1 something is worse, 3 something is better and nothing worse, 4 the results
have no cell in common.
'''


def arguments(argv):
    parser = argparse.ArgumentParser(
        prog='scripts/bench', epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Migrates the same guests by every technique over the '
        'same links, measures\nfrom outside, has each guest check all its '
        'memory, and draws a report.')
    what = parser.add_argument_group('what to do (default: run the matrix)')
    what = what.add_mutually_exclusive_group()
    what.add_argument('--list', action='store_true',
                      help='print techniques, workloads, links, and the cells '
                      'that would be run')
    what.add_argument('--report', action='store_true',
                      help='only write the report, from the results in --out')
    what.add_argument('--docs', action='store_true',
                      help='write docs/results.md and its pictures from the '
                      'results in --out')
    what.add_argument('--compare', nargs=2, metavar=('A', 'B'),
                      help='what has changed from results A to results B, '
                      'beyond noise')
    group = parser.add_argument_group('which cells')
    plan = group.add_mutually_exclusive_group()
    plan.add_argument('--quick', dest='plan', action='store_const',
                      const='quick', help='some cells with small guests, in '
                      'less than 10 minutes')
    plan.add_argument('--deltas', dest='plan', action='store_const',
                      const='deltas', help='where few bytes of a page '
                      'change, five times')
    plan.add_argument('--all', dest='plan', action='store_const', const='all',
                      help='every combination (default: all on the first '
                      'link, the main techniques and workloads elsewhere)')
    group.add_argument('--only', action='append', default=[],
                       metavar='PATTERN', help='only these (repeatable); any '
                       'combination can be named')
    group.add_argument('--repeat', type=int, metavar='N',
                       help='so often (default: 3, with --quick 1, with '
                       '--deltas 5)')
    group.add_argument('--scale', type=float, metavar='X',
                       help="size of the guests' memory (default: 1, with "
                       f'--quick {matrix.QUICK_SCALE})')
    group = parser.add_argument_group('how')
    group.add_argument('--out', metavar='DIR',
                       default=os.path.join(paths.BUILD, 'bench'),
                       help='for results, report and logs (default: '
                       'build/bench)')
    group.add_argument('--resume', action='store_true',
                       help='go on with the results in --out')
    group.add_argument('--bad-links', choices=('refuse', 'skip', 'run'),
                       default='refuse', help='what to do when the machine '
                       'cannot hold a link: refuse to run (default), leave '
                       'the link out, or run anyway; the report says so')
    group.add_argument('--accel', default='tcg', help='of QEMU: tcg or kvm')
    group.add_argument('--machine', default='pc', help='of QEMU')
    group.add_argument('--no-fault-trace', action='store_true',
                       help='do not have the destination log its faults')
    args = parser.parse_args(argv)
    quick = args.plan == 'quick'
    if args.plan is None:
        args.plan = 'all' if args.only else 'standard'
    args.repeat = args.repeat or REPEATS.get(args.plan, 3)
    args.scale = args.scale or (matrix.QUICK_SCALE if quick else 1.0)
    if args.repeat < 1 or not 0.01 <= args.scale <= 64:
        parser.error(f'--repeat {args.repeat} has to be at least 1, --scale '
                     f'{args.scale:g} 0.01 to 64')
    return args


def show_list(cells, scale):
    for title, things in (('techniques', techniques.TECHNIQUES),
                          ('workloads', workloads.WORKLOADS)):
        print(f'{title}:')
        for thing in things:
            print(f'  {thing.name:20} {thing.title}')
    print('links:')
    for link in links.LINKS:
        print(f'  {link.name:20} {link.text()}')
    left = matrix.Clock(scale).left(cells)
    print(f'cells ({len(cells)}, roughly {matrix.duration(left)}):')
    for cell in cells:
        print(f'  {cell.key}')


def run(args, cells):
    settings = Settings(args.scale, args.accel, args.machine,
                        not args.no_fault_trace,
                        os.path.join(args.out, 'logs'))
    binaries = runner.default_binaries()
    paths.use_qemu_python(binary=binaries['qemu'])
    one = runner.Runner(cells, settings, binaries, args.out, args.resume,
                        args.bad_links, runner.say)
    try:
        results = one.run()
    except SystemExit:
        if one.writer:
            print('ended; --resume goes on with what is missing',
                  file=sys.stderr)
        raise
    return show(results, args.out)


def show(results, out):
    """Write the report; returns the exit status."""
    name = report.write(results, out)
    print(f'report: {os.path.relpath(name)}')
    if results.torn is not None:
        print('warning: the last line of the results is torn and left out')
    bad = stats.bad_cells(results)
    for key in bad:
        print(f'bad: {key}')
    return 1 if bad else 0


def compare(names):
    comparison = stats.Comparison(*map(store.load, names))
    print(comparison.text())
    return comparison.exit_code()


def main(argv=None):
    args = arguments(argv)
    try:
        if args.compare:
            return compare(args.compare)
        if args.report:
            return show(store.load(args.out), args.out)
        if args.docs:
            name = docs.write(store.load(args.out))
            print(f'written: {os.path.relpath(name)}')
            return 0
        cells = matrix.cells(args.plan, args.only, args.repeat)
        if args.list:
            with contextlib.suppress(BrokenPipeError):
                show_list(cells, args.scale)
                sys.stdout.flush()
                return 0
            # Its reader has seen enough, as "head" does.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        return run(args, cells)
    except matrix.MatrixError as exc:
        print(f'error: {exc}', file=sys.stderr)
        return 2
    except (paths.SetupError, store.StoreError, links.LinkError,
            PermissionError, RuntimeError) as exc:
        print(f'error: {exc}', file=sys.stderr)
        return 1


if __name__ == '__main__':
    sys.exit(main())
