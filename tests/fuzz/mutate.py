"""Migrations through a proxy that changes one of their streams at one place.

What is changed follows from the seed and the number of the migration, so that
it can be had again (--seed S --only N); where it falls in time does not. What
must hold, whatever it is:

  - No QEMU dies of a signal. A destination that has not been given the guest
    may die of one while it loads the state of devices: that is QEMU's own code
    for each of them, which trusts its source. These are counted and named.
  - Each of them answers, and ends within seconds of "quit".
  - The migration ends, or pauses, by itself or when it is told to.
  - The guest never runs at both.
  - It is never lost silently: it runs at the source, where its memory is
    right; or the destination has it; or the source says postcopy-paused, or
    failed after a handoff to a peer that it takes for an unpatched one.
  - If only what the destination says was changed, or bytes of bases, the guest's
    memory is right wherever it runs, after a recovery, too.
  - Neither QEMU has grown by more than --bound beyond its guest.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import argparse
import collections
import contextlib
import os
import re
import sys
import time
import traceback

import tap
from hybridmig import paths
from hybridmig.console import Console, GuestError
from hybridmig.guest import Guest, GuestConfig
from hybridmig.monitor import EventLog, QmpError, QmpLost
from hybridmig.runs import Run
from hybridmig.waiting import until
from mutations import Mutation
from wire import Wire

MEM = 32
PAGES = 1500
#: An operator's patience, and how long what he then does may take.
PATIENCE, LIMIT = 4, 20
ENDS = ('completed', 'failed', 'cancelled')
LOGS = os.path.join(paths.BUILD, 'test-logs', 'fuzz')


class Wrong(Exception):
    """What must not be."""


def demand(condition, what):
    if not condition:
        raise Wrong(what)


def peak_kib(pid):
    """The most memory that a process had, its guest's included."""
    with contextlib.suppress(OSError):
        with open(f'/proc/{pid}/status', encoding='ascii') as status:
            found = re.search(r'VmHWM:\s*(\d+)', status.read())
            return int(found[1]) if found else 0    # it ends just now
    return 0


class Fate:
    """One QEMU, and what becomes of it."""
    def __init__(self, guest):
        self.guest = guest
        self.signal = None
        self.peak = 0

    def alive(self):
        guest = self.guest
        if guest.machine and guest.is_alive():
            self.peak = max(self.peak, peak_kib(guest.machine.get_pid()))
            return True
        code = guest.machine.exitcode() if guest.machine else None
        if code is not None and code < 0 and not guest._killed:
            self.signal = -code
        return False

    def ask(self, name, default=None, **arguments):
        """None if it is gone; hangs are errors."""
        if not self.alive():
            return default
        try:
            return self.guest.monitor.command(name, arguments or None,
                                              timeout=15)
        except QmpError:
            return default
        except QmpLost as exc:
            time.sleep(0.2)
            demand(not self.alive() or 'answer' not in str(exc),
                   f'{self.guest.side} does not answer {name}')
            return default

    def runs(self):
        """By its events if it is in postcopy: it may wait for a page then."""
        events = [e for e in self.guest.log.events if e.side == self.guest.side]
        if any(e.name == 'MIGRATION' and e.data['status'].startswith('postcopy')
               for e in events):
            seen = [e.name for e in events if e.name in ('RESUME', 'STOP')]
            return self.alive() and seen[-1:] == ['RESUME']
        return (self.ask('query-status') or {}).get('status') == 'running'

    def last_status(self):
        event = self.guest.log.last(self.guest.side, 'MIGRATION')
        return event and event.data['status']

    def status(self):
        return (self.ask('query-migrate') or {}).get('status')

    def quit(self):
        """Within seconds, whatever it does."""
        if not self.alive():
            return
        with contextlib.suppress(QmpLost, QmpError):
            self.guest.monitor.command('quit', oob=True, timeout=10)
        demand(until(lambda: not self.alive(), 10),
               f'{self.guest.side} does not end by quit')


class World:
    """A source whose guest works, until a migration takes it away."""
    def __init__(self, run, args):
        self.run = run
        self.binary = args.qemu or paths.built(args.build)
        self.bound = args.bound     # MiB
        self.config = GuestConfig(mem=MEM, pages=PAGES, zero=200,
                                  untouched=200, bare=True,
                                  workload='hot pages=700 rate=20000 bytes=24')
        self.console = self.log = self.src = None
        self.count = 0

    def guest(self, side, **how):
        self.count += 1
        guest = Guest(self.run, side, self.binary, self.config, self.console,
                      self.log, name=f'{side}-{self.count}')
        guest.start(**how)
        # What QEMU logs of the stream need not be UTF-8.
        guest.machine._load_io_log = lambda: None
        return Fate(guest)

    def source(self):
        if self.src is None:
            if self.console:
                self.console.close()
            self.log = EventLog()
            self.console = Console(os.path.join(self.run.folder, 'serial.log'))
            self.src = self.guest('src')
            self.src.guest.wait_ready(60)
        return self.src

    def drop(self, fate):
        """It has been judged: away with it and its files."""
        if fate:
            with contextlib.suppress(RuntimeError):
                fate.guest.stop()
            fate.guest.remove_files()
        if fate is self.src:
            self.src = None


class Attempt:
    """One migration, and its judgement."""
    def __init__(self, world, mutation):
        self.m = mutation
        self.src = world.source()
        self.dst = world.guest('dst', incoming=True)
        self.world = world
        self.note = ''              # what became of it

    def _run_states(self):
        """The destination first: a guest that it has, it had at once."""
        there = self.dst.runs()
        here = self.src.runs()
        demand(not (there and here), 'the guest runs at both sides')
        return here, there

    def _begin(self):
        r = self.m.random
        both = {'events': True, 'postcopy-ram': True,
                'postcopy-preempt': self.m.preempt}
        self.dst.guest.set_capabilities(both)
        self.src.guest.set_capabilities({**both, 'hybrid': True})
        parameters = {
            'hybrid-handoff-timeout': 1000,
            'hybrid-max-rounds': r.choice((1, 2)),
            'downtime-limit': r.choice((1, 1, 1, 2000)),
            'max-bandwidth': r.choice((20, 200)) << 20,
            'hybrid-delta-cache': r.choice((0, 1, 8, 8)) << 20}
        if self.m.place == 'bases':
            # There shall be some: rounds of some length, so that the sample
            # has something to say. Half of them go in the stop
            parameters |= {'downtime-limit': r.choice((1, 60)),
                           'hybrid-max-rounds': 4, 'hybrid-min-gain': 0,
                           'max-bandwidth': 10 << 20,
                           'hybrid-delta-cache': 8 << 20}
        self.src.guest.set_parameters(parameters)
        folder = self.world.run.folder
        target = f'{folder}/in.sock'
        path = f'{folder}/out.sock'
        for name in (target, path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
        self.dst.guest.qmp('migrate-incoming', {'uri': f'unix:{target}'})
        self.wire = Wire(path, target, self.m)
        self.src.guest.qmp('migrate', {'uri': f'unix:{path}'})

    def _settled(self):
        return self.src.status() in (*ENDS, 'postcopy-paused')

    def _wait(self, seconds):
        def over():
            if self._settled() or not self.src.alive():
                return True
            self._run_states()
            return False
        until(over, seconds)

    def _operate(self):
        """Until it has ended, or is paused."""
        self._wait(PATIENCE)
        if self.src.alive() and not self._settled():
            self.note = 'had to be paused: '
            for fate in (self.src, self.dst):
                if fate.alive():
                    with contextlib.suppress(QmpError, QmpLost):
                        fate.guest.monitor.command('migrate-pause', oob=True)
            self._wait(PATIENCE)
        if self.src.alive() and not self._settled():
            self.note = 'had to be cancelled: '
            self.src.ask('migrate_cancel')
            self._wait(LIMIT)
        demand(not self.src.alive() or self._settled(),
               f'the migration does not end: {self.src.status()}')

    def _crashes(self):
        demand(not self.src.alive() and self.src.signal is None or
               self.src.alive(),
               f'the source died of signal {self.src.signal}')
        self.dst.alive()
        if self.dst.signal is None:
            return
        text = self.dst.guest.output()[-400:]
        demand(not self.m.back, 'the destination died of signal '
               f'{self.dst.signal}: {text}')
        self.note += f'destination died of signal {self.dst.signal}: '
        self.upstream = f'signal {self.dst.signal}: {text}'

    upstream = None

    def _audit(self, fate, what):
        try:
            found = fate.guest.audit(timeout=30)
        except GuestError as exc:
            raise Wrong(f'{what}: {exc}') from exc
        demand(found.right and found.pages == PAGES, f'{what}: {found}')

    def _recover(self):
        """What an operator would do; whether it comes back is not judged."""
        target = f'{self.world.run.folder}/again.sock'
        with contextlib.suppress(FileNotFoundError):
            os.unlink(target)
        try:
            self.dst.guest.monitor.command('migrate-recover',
                                           {'uri': f'unix:{target}'}, oob=True)
            self.src.guest.qmp('migrate', {'uri': f'unix:{target}',
                                           'resume': True})
        except (QmpError, QmpLost) as exc:
            self.note += f'no recovery ({str(exc)[:60]}) '
            return
        end = time.monotonic() + LIMIT
        while self.src.status() not in ENDS and time.monotonic() < end:
            self._run_states()
            if self.src.status() == 'postcopy-paused' and \
               time.monotonic() > end - LIMIT + 3:
                break
            time.sleep(0.02)

    def _dst_gone(self):
        return until(lambda: not self.dst.alive(), 3)

    def _judge(self):
        here, there = self._run_states()
        status = self.src.status()
        info = self.src.ask('query-migrate') or {}
        run_state = (self.src.ask('query-status') or {}).get('status')
        agreed = info.get('hybrid', {}).get('agreed')
        if status == 'postcopy-paused':
            self.note += 'paused'
            demand(not here, 'paused, and the guest runs at the source')
            if self.dst.last_status() == 'postcopy-paused':
                self._recover()
                here, there = self._run_states()
                status = self.src.status()
                self.note += f', recovered as {status}: '
                demand(status == 'completed' or not self.m.back,
                       f'a recovery of a good guest ends as {status}')
            if status != 'completed':
                return False
        if status == 'completed':
            demand(not here, 'completed, and the guest runs at the source')
            if self.m.back or self.m.checked:
                until(self.dst.runs, 5)
                self._audit(self.dst, 'at the destination')
            self.note += 'completed' + ('' if there else
                                        ', not running there')
            return False
        demand(status in ('failed', 'cancelled'), f'status {status}')
        if here:
            demand(not there, 'both run')
            self._audit(self.src, 'at the source')
            self.note += f'{status}, at the source'
            return True
        demand(not agreed and run_state == 'postmigrate',
               f'{status}, and the guest is {run_state} at the source, '
               f'error {info.get("error-desc")}')
        self.note += 'failed after a plain package'
        return False

    def run(self):
        """Whether the source can be used again."""
        self.wire = None
        try:
            self._begin()
            self._operate()
            self._crashes()
            again = self._judge()
            self._crashes()
            for fate in (self.src, self.dst):
                demand(fate.peak < MEM + self.world.bound << 10,
                       f'{fate.guest.side} had {fate.peak} KiB')
        finally:
            if self.wire:
                self.wire.close()
        if again:
            self._dst_gone()
        self.dst.quit()
        if not again:
            self.src.quit()
        return again


def one(world, seed, number):
    """Returns what became of it; raises what must not be."""
    mutation = Mutation(seed, number)
    attempt = Attempt(world, mutation)
    again = False
    try:
        again = attempt.run()
    except Exception as exc:
        exc.about = f'{mutation} -> {attempt.note}'
        raise
    finally:
        world.drop(attempt.dst)
        if not again:
            world.drop(attempt.src)
    return mutation, attempt


def many(args):
    counts, upstream, bad = collections.Counter(), [], 0
    begin = time.monotonic()
    number = args.first
    while args.only is not None or (number < args.first + args.count and
                                    time.monotonic() - begin < args.seconds):
        number = number if args.only is None else args.only
        with Run(logs=LOGS) as run:
            world = World(run, args)
            while True:
                try:
                    mutation, attempt = one(world, args.seed, number)
                except Exception as exc:
                    bad += 1
                    run.keep()
                    text = ''.join(traceback.format_exception(exc)) \
                        if not isinstance(exc, Wrong) else str(exc)
                    tap.note(f'--seed {args.seed} --only {number}: {text}\n  '
                             f'{getattr(exc, "about", "")}')
                    break
                finally:
                    number += 1
                counts[attempt.note if mutation.done else
                       'nothing was changed'] += 1
                if attempt.upstream:
                    upstream.append(f'{number - 1}: {attempt.upstream}')
                if args.verbose:
                    tap.note(f'{number - 1}: {mutation} -> {attempt.note}')
                if args.only is not None or \
                   number >= args.first + args.count or world.count > 200 or \
                   time.monotonic() - begin >= args.seconds:
                    break
        if args.only is not None:
            break
    for note, n in counts.most_common():
        tap.note(f'{n} x {note}')
    for text in upstream:
        tap.note(text.replace('\n', '\n  '))
    total = sum(counts.values()) + bad
    ok = not bad and sum(counts.values()) - counts['nothing was changed'] > 0
    tell = tap.ok if ok else tap.not_ok
    tell(f'fuzz: {total} mutated migrations, seed {args.seed}',
         remark=f'{time.monotonic() - begin:.1f} s')
    return 0 if ok else 1


def main():
    parser = argparse.ArgumentParser(prog='tests/fuzz/run --mutate')
    parser.add_argument('--seed', default='1')
    parser.add_argument('--first', type=int, default=1)
    parser.add_argument('--count', type=int, default=1 << 30)
    parser.add_argument('--seconds', type=float, default=1e9)
    parser.add_argument('--only', type=int, help='this migration of the seed')
    parser.add_argument('--build', default='qemu')
    parser.add_argument('--bound', type=int, default=128, help='MiB')
    parser.add_argument('--qemu', help='this program instead')
    parser.add_argument('--verbose', action='store_true')
    args = parser.parse_args()
    if os.geteuid() != 0:
        tap.skip('fuzz: mutated migrations', 'needs root')
        return 0
    os.makedirs(LOGS, exist_ok=True)
    paths.use_qemu_python()
    return many(args)


if __name__ == '__main__':
    sys.exit(main())
