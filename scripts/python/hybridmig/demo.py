"""The demo: boot a Linux guest, migrate it by hybrid, show what happened.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import argparse
import os
import sys
import time

from . import display, measure, paths, plot
from .guest import GuestConfig
from .migrate import Migration
from .pair import Pair
from .runs import Run

WORKLOAD = 'hot pages=24000 rate=60000'


def arguments(argv):
    parser = argparse.ArgumentParser(
        prog='scripts/demo', description='Boots a Linux guest, migrates it '
        'to another network namespace by hybrid migration and shows how.')
    parser.add_argument('--qemu', default=paths.built('qemu'),
                        help='the patched QEMU')
    parser.add_argument('--guest', default=os.path.join(paths.BUILD, 'guest'),
                        help='folder with vmlinuz and initrd.gz')
    parser.add_argument('--out', default=os.path.join(paths.BUILD, 'demo'),
                        help='folder for the picture and the logs')
    parser.add_argument('--rate', default='1gbit', help='of the link')
    parser.add_argument('--pages', type=int, default=131072,
                        help='pages of the guest that are checked')
    parser.add_argument('--workload', default=WORKLOAD,
                        help=f'what the guest does (default: {WORKLOAD})')
    parser.add_argument('--preempt', action='store_true',
                        help='a second channel for requested pages')
    return parser.parse_args(argv)


def show(migration, audit, out, until):
    h = migration.hybrid()
    print('\nphases')
    last = None
    rows = []
    for phase, start, end in measure.phases(migration):
        last = last or start
        rows.append([phase, f'{start - last:.3f} s',
                     '' if end is None else f'{(end - start) * 1000:.1f} ms'])
    print(display.table(['phase', 'from', 'took'], rows))
    print('\nrounds')
    print(display.table(*measure.rounds_text(h)))
    print('\nthe six metrics')
    print(display.pairs(measure.six_metrics(migration)))
    print(f'\nmemory, checked inside the guest: {audit}')
    name = os.path.join(out, 'demo.png')
    plot.draw(migration, name, 'Hybrid migration: what the guest got done',
              until)
    print(f'picture: {os.path.relpath(name)}')


def demo(args):
    os.makedirs(args.out, exist_ok=True)
    config = GuestConfig(os.path.join(args.guest, 'vmlinuz'),
                         os.path.join(args.guest, 'initrd.gz'),
                         mem=256 + args.pages * 4 // 1024,
                         pages=args.pages, workload=args.workload)
    with Run(logs=args.out) as run:
        print(f'boot a guest with {config.mem} MiB, workload '
              f'"{args.workload}", link {args.rate}')
        begin = time.monotonic()
        pair = Pair(run, args.qemu, config=config, rate=args.rate).start()
        print(f'  ready after {time.monotonic() - begin:.1f} s; '
              'let it work for 2 s')
        time.sleep(2)           # for the picture: the guest undisturbed
        caps = {'postcopy-preempt': args.preempt}
        migration = Migration(pair)
        migration.src_caps.update(caps)
        migration.dst_caps.update(caps)
        print('migrate-set-capabilities hybrid=on, migrate')
        with display.Progress(migration):
            migration.start()
            status = migration.wait_end()
        if status != 'completed':
            run.keep()
            print(f'error: the migration ended as {status}: '
                  f'{migration.info().get("error-desc")}', file=sys.stderr)
            return 1
        time.sleep(2)           # and at the destination
        until = time.monotonic()
        audit = pair.dst.audit()
        show(migration, audit, args.out, until)
        faults = pair.console.faults
        if faults or not audit.right:
            run.keep()
            print(f'error: {faults or "memory is wrong"}', file=sys.stderr)
            return 1
    return 0


def main(argv=None):
    args = arguments(argv)
    try:
        paths.use_qemu_python(binary=args.qemu)
        return demo(args)
    except (paths.SetupError, PermissionError, RuntimeError,
            TimeoutError) as exc:
        print(f'error: {exc}', file=sys.stderr)
        return 1


if __name__ == '__main__':
    sys.exit(main())
