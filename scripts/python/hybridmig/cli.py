"""The harness: boots a guest, migrates it as told, checks its memory.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import argparse
import os
import sys
import time

from . import display, measure, migrate, paths, plot, record
from .console import GuestError
from .guest import DISK_FORMATS, GuestConfig
from .migrate import Migration
from .monitor import QmpError, QmpLost
from .net import CUT_MODES
from .pair import Pair
from .runs import Run

EPILOG = '''
examples:
  scripts/harness
      a guest that writes faster than the link carries, hybrid
  scripts/harness --param hybrid-max-rounds=2 --preempt --workload "random rate=9000"
  scripts/harness --mode postcopy --qemu build/qemu-base/qemu-system-x86_64
  scripts/harness --cut-at paging
      cuts the link in postcopy, waits for both sides to pause, recovers
  scripts/harness --cancel-at rounds:2
  scripts/harness --transport tls --dst-qemu build/qemu-base/qemu-system-x86_64

workloads: idle; hot pages=H rate=R (writes H pages in turn, R pages/s in all,
0: as fast as it can); random; zipf (as random, skew 0.99); moving (as hot, the
H pages move on by an eighth each time); read (checks any page); readmostly
(read, one in 16 is a write as random); mix (hot, each eighth is a read); apart
(the first thread as hot, the second as random); job (compresses 16 KiB of text
a step and checks the output). All but idle take pages=, rate= and threads=.

A phase is one of preparation, rounds[:N], state-transfer, resume, paging. An
unpatched source has rounds, state-transfer and paging, as far as can be seen.

exit status: 0 the migration ended as asked for (completed, cancelled when
--cancel-at says so) and the memory is right, 1 not so, 2 wrong usage.
'''
PHASES = ('preparation', 'rounds', 'state-transfer', 'resume', 'paging')
MODES = ('hybrid', 'precopy', 'postcopy')


class UsageError(Exception):
    """Options that make no sense."""


def arguments(argv):
    parser = argparse.ArgumentParser(
        prog='scripts/harness', epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Boots a Linux guest on a source QEMU, migrates it over a '
        'shaped link\nto a destination QEMU in another network namespace, '
        'checks every page of\nits memory and prints what happened.')
    group = parser.add_argument_group('what is run')
    add = group.add_argument
    add('--qemu', default=paths.built('qemu'), metavar='FILE',
        help='of the source (default: the patched build)')
    add('--dst-qemu', metavar='FILE',
        help='of the destination (default: as the source)')
    add('--qemu-python', metavar='DIR',
        help="QEMU's Python packages (python/ of its source tree)")
    add('--kernel', default=paths.kernel(), metavar='FILE')
    add('--initrd', metavar='FILE')
    add('--disk', metavar='FILE', help='boot this disk image instead, by its '
        'own boot loader; it is written to (scripts/image makes one)')
    add('--disk-format', choices=DISK_FORMATS,
        help="of the disk (default: as its name's ending)")
    add('--network', action='store_true', help='a network card in a LAN with '
        'a namespace for clients, and Redis in the guest')
    add('--machine', default='pc')
    add('--accel', default='tcg')
    add('--mem', type=int, default=256, metavar='MIB')
    add('--smp', type=int, default=1, metavar='N')
    add('--pages', type=int, metavar='N',
        help='pages of the guest that are checked (default: what fits)')
    add('--zero', type=int, default=0, metavar='N',
        help='so many of them are filled with zeros')
    add('--untouched', type=int, default=0, metavar='N',
        help='so many are never touched')
    add('--workload', default='hot pages=12000 rate=60000', metavar='TEXT')
    add('--qemu-arg', action='append', default=[], metavar='ARG',
        help='one more argument for both QEMUs (say --qemu-arg=-foo)')
    group = parser.add_argument_group('how it is migrated')
    add = group.add_argument
    add('--mode', choices=MODES, help='postcopy: migrate-start-postcopy is '
        'sent after the first pass (default: hybrid if the source has it)')
    add('--rate', default='1gbit', help='of the link; "unlimited" for none')
    add('--queue-ms', type=int, default=10, metavar='N', help='what the queue '
        'in front of the link holds, in ms of its rate (default: 10)')
    add('--congestion', metavar='NAME', help="TCP's congestion control, say "
        'cubic (default: what the machine uses)')
    add('--delay', type=float, default=0, metavar='MS',
        help='of the link, one way (default: none)')
    add('--transport', choices=migrate.TRANSPORTS, default='tcp')
    add('--preempt', action='store_true', help='postcopy-preempt, both sides')
    add('--cap', action='append', default=[], metavar='NAME=on|off',
        help='a capability of both sides')
    add('--src-cap', action='append', default=[], metavar='NAME=on|off')
    add('--dst-cap', action='append', default=[], metavar='NAME=on|off')
    add('--param', action='append', default=[], metavar='NAME=VALUE',
        help='a migration parameter of the source')
    add('--dst-param', action='append', default=[], metavar='NAME=VALUE')
    group = parser.add_argument_group('what goes wrong')
    add = group.add_argument
    add('--cut-at', metavar='PHASE', help='cut the link when it begins')
    add('--cut-mode', choices=CUT_MODES,
        default='blackhole', help='packets vanish, perhaps in one direction '
        'only; the cards lose their carrier; connections are reset, too')
    add('--no-recover', action='store_true',
        help='leave a migration that is postcopy-paused as it is')
    add('--kill-dst-at', metavar='PHASE', help='end the destination')
    add('--cancel-at', metavar='PHASE', help='send migrate_cancel')
    add('--corrupt', nargs='?', const=-1, type=int, metavar='PAGE',
        help='corrupt a page after the migration: the check has to fail')
    group = parser.add_argument_group('what is printed and kept')
    add = group.add_argument
    add('--work-before', type=float, default=1, metavar='S',
        help='let the guest work for so long before (default: 1 s)')
    add('--work-after', type=float, default=0.5, metavar='S',
        help='and after, before its memory is checked (default: 0.5 s)')
    add('--picture', metavar='FILE', help='draw what the guest got done')
    add('--record', metavar='FILE',
        help="write the rounds, for the policy's unit test")
    add('--handoff', metavar='FILE', help="write the handoff's steps, for "
        'the model')
    add('--events', action='store_true', help='print all QMP events')
    add('--keep-logs', action='store_true', help='not only after a failure')
    add('--logs', default=os.path.join(paths.BUILD, 'harness'), metavar='DIR',
        help='where logs are kept (default: build/harness)')
    add('--timeout', type=int, default=300, metavar='S')
    return parser.parse_args(argv)


def _value(text):
    """As QMP wants it: true, false, a number, or a string."""
    if text in ('on', 'true', 'yes'):
        return True
    if text in ('off', 'false', 'no'):
        return False
    try:
        return int(text)
    except ValueError:
        return text


def settings(entries):
    values = {}
    for entry in entries:
        name, equals, text = entry.partition('=')
        if not equals or not name:
            raise UsageError(f'not NAME=VALUE: {entry}')
        values[name] = _value(text)
    return values


def phase_event(text, patched):
    """("src", event name, data) that tells that a phase begins."""
    phase, _, number = text.partition(':')
    if phase not in PHASES or (number and phase != 'rounds') or \
       (number and not number.isdigit()):
        raise UsageError(f'not a phase: {text} (one of {", ".join(PHASES)}, '
                         'or rounds:N)')
    if patched:
        data = {'phase': phase}
        if number:
            data['round'] = int(number)
        return 'src', 'MIGRATION_HYBRID_PHASE', data
    if phase == 'rounds':
        return 'src', 'MIGRATION_PASS', {'pass': int(number or 1)}
    known = {'state-transfer': ('src', 'STOP', {}),
             'paging': ('src', 'MIGRATION', {'status': 'postcopy-active'})}
    if phase not in known:
        raise UsageError(f'without hybrid, nothing tells that phase '
                         f'"{phase}" begins')
    return known[phase]


class Harness:
    """One run as the options say."""
    def __init__(self, args, run):
        self.args = args
        self.run = run
        self.pair = None
        self.migration = None
        self.mode = args.mode
        self.until = None       # the end of the picture
        self.start = time.monotonic()

    def say(self, text):
        # In one piece: the progress is printed by another thread.
        sys.stdout.write(f'[{time.monotonic() - self.start:7.2f} s] {text}\n')
        sys.stdout.flush()

    def boot(self):
        args = self.args
        # What is left is the kernel's, the firmware's, a whole system's.
        kept = 240 if args.disk else 80
        pages = args.pages or max(1000, (args.mem - kept) * 256)
        config = GuestConfig(args.kernel, args.initrd, args.mem, args.smp,
                             pages, args.zero, args.untouched, args.workload,
                             args.accel, args.machine, args.qemu_arg,
                             args.network or bool(args.disk), args.disk,
                             args.disk_format)
        self.pair = Pair(self.run, args.qemu, args.dst_qemu, config, args.rate,
                         queue_ms=args.queue_ms, delay_ms=args.delay,
                         congestion=args.congestion)
        self.say(f'boot: {args.mem} MiB, {args.smp} vCPU, {pages} pages to '
                 f'check, workload "{args.workload}", link {args.rate}' +
                 (f', {args.delay:g} ms one way' if args.delay else ''))
        self.pair.start(args.timeout)
        if self.mode is None:
            known = self.pair.src.capabilities()
            self.mode = 'hybrid' if 'hybrid' in known else 'postcopy'
        self.say(f'the guest works; it will be migrated as {self.mode}')
        time.sleep(args.work_before)

    def prepare(self):
        args = self.args
        both = {'events': True}
        if self.mode != 'precopy':
            both['postcopy-ram'] = True
        if args.preempt:
            both['postcopy-preempt'] = True
        both.update(settings(args.cap))
        src, dst = dict(both), dict(both)
        if self.mode == 'hybrid':
            src['hybrid'] = True
        src.update(settings(args.src_cap))
        dst.update(settings(args.dst_cap))
        self.migration = Migration(self.pair, src, dst, settings(args.param),
                                   args.transport)
        self.pair.dst.set_parameters(settings(args.dst_param))
        if self.mode == 'postcopy':
            self.at('rounds:2', 'migrate-start-postcopy', lambda:
                    self.pair.src.qmp('migrate-start-postcopy'))
        self.at(args.cut_at, f'cut the link ({args.cut_mode})',
                lambda: self.pair.link.cut(args.cut_mode))
        self.at(args.kill_dst_at, 'end the destination', self.pair.dst.kill)
        self.at(args.cancel_at, 'migrate_cancel', self.migration.cancel)

    def at(self, phase, what, action):
        if not phase:
            return

        def act():
            self.say(f'{phase}: {what}')
            try:
                action()
            except (QmpError, QmpLost) as exc:
                self.say(f'{what}: {exc}')
        side, name, data = phase_event(phase, self.mode == 'hybrid')
        self.migration.when(act, side, name, **data)

    def migrate(self):
        """Returns the status that the migration ended with."""
        with display.Progress(self.migration):
            self.migration.start()
            ends = migrate.ENDS + ('postcopy-paused',)
            end = self.migration.wait_status('src', *ends,
                                             timeout=self.args.timeout)
            status = end.data['status']
            if status == 'postcopy-paused' and not self.args.no_recover:
                status = self.recover()
        if status == 'completed':
            self.migration.wait_end()
        self.pair.link.heal()
        return status

    def recover(self):
        self.say('the source is paused; wait for the destination, recover')
        self.migration.pause()
        self.migration.wait_status('dst', 'postcopy-paused', timeout=30)
        self.pair.link.heal()
        self.migration.recover()
        return self.migration.wait_end(self.args.timeout)

    def audit(self, side):
        """Returns whether the guest is right; it must run here only."""
        sides = self.pair.running_sides()
        if sides != [side]:
            self.say(f'error: the guest runs at {sides or "neither side"}, '
                     f'not only at {side}')
            return False
        guest, page = self.pair.side(side), self.args.corrupt
        if page is not None:
            if page < 0:
                page = self.pair.config.pages // 2
            self.say(f'corrupt page {page}')
            guest.ask(f'corrupt {page}')
        audit = guest.audit()
        self.say(f'audit at {side}: {audit}')
        for fault in self.pair.console.faults[:10]:
            self.say(f'error: {fault}')
        return audit.right and not self.pair.console.faults

    def report(self):
        args, info = self.args, self.migration.info()
        if 'error-desc' in info:
            print(f'\nerror of the source: {info["error-desc"]}')
        h = info.get('hybrid', {})
        if h and not h['active']:
            print(f'\nhybrid was not active: {h.get("reason")}')
        if h.get('rounds'):
            print('\nrounds')
            print(display.table(*measure.rounds_text(h)))
        print('\nmetrics')
        print(display.pairs(measure.six_metrics(self.migration)))
        self._gaps()
        if args.picture:
            name = plot.draw(self.migration, args.picture,
                             f'{self.mode}, {args.workload}, {args.rate}',
                             self.until)
            print(f'\npicture: {name}')
        self._write(args.record, record.rounds_text(self.pair.src))
        self._write(args.handoff, '\n'.join(
            record.handoff_lines(self.pair.src, self.pair.dst)))

    def _gaps(self):
        gaps = [line for line in self.pair.console.lines
                if line.kind == 'gap' and line.side == 'dst']
        worst = sorted((line.number_of('us') for line in gaps), reverse=True)
        if worst:
            print(f'\nat the destination the guest stood still for more than '
                  f'5 ms {len(worst)} times, for '
                  f'{sum(worst) / 1000:.0f} ms in all; longest: '
                  f'{", ".join(f"{us / 1000:.1f}" for us in worst[:5])} ms')

    @staticmethod
    def _write(name, text):
        if not name:
            return
        if not text:
            print(f'{name}: nothing to write, the source traces no hybrid')
            return
        with open(name, 'w', encoding='ascii') as out:
            out.write(text if text.endswith('\n') else text + '\n')

    def whole(self):
        args = self.args
        self.boot()
        self.prepare()
        status = self.migrate()
        self.say(f'the migration ended as {status}')
        side = 'dst' if status == 'completed' else 'src'
        time.sleep(args.work_after)
        self.until = time.monotonic()
        right = status != 'postcopy-paused' and self.audit(side)
        self.report()
        if args.events:
            print('\nevents')
            for event in self.pair.log.events:
                print(f'  {event}')
        if args.no_recover and args.cut_at and status == 'postcopy-paused':
            return True
        return right and (
            status == 'completed' or
            (status == 'cancelled' and bool(args.cancel_at)) or
            (status == 'failed' and bool(args.kill_dst_at or args.cut_at)))


def check_usage(args):
    """What can be known to be wrong before anything is started."""
    for phase in (args.cut_at, args.kill_dst_at, args.cancel_at):
        if phase:
            phase_event(phase, True)
    for entries in (args.cap, args.src_cap, args.dst_cap, args.param,
                    args.dst_param):
        settings(entries)


def harness(args):
    with Run(logs=args.logs) as run:
        right = False
        one = Harness(args, run)
        try:
            right = one.whole()
        except (QmpError, QmpLost, GuestError, RuntimeError,
                TimeoutError) as exc:
            print(f'error: {exc}', file=sys.stderr)
            for guest in (one.pair.src, one.pair.dst) if one.pair else ():
                if guest.output():
                    print(f'QEMU of {guest.side}: {guest.output()}',
                          file=sys.stderr)
        finally:
            if args.keep_logs or not right:
                print(f'logs: {run.keep()}')
    return 0 if right else 1


def main(argv=None):
    args = arguments(argv)
    try:
        check_usage(args)
        for name, what in ((args.qemu, 'QEMU'),
                           (args.dst_qemu or args.qemu, 'QEMU'),
                           (args.kernel, "the guest's kernel"),
                           (args.initrd, "the guest's initrd"),
                           (args.disk, 'the disk image')):
            if name:
                paths.need_file(name, what)
        paths.use_qemu_python(args.qemu_python, args.qemu)
        return harness(args)
    except UsageError as exc:
        print(f'error: {exc}\nTry scripts/harness --help', file=sys.stderr)
        return 2
    except (paths.SetupError, PermissionError, ValueError) as exc:
        print(f'error: {exc}', file=sys.stderr)
        return 1


if __name__ == '__main__':
    sys.exit(main())
