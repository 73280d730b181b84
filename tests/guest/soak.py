"""Many migrations of one guest, there and back, with faults in between.

What happens in migration N follows from the seed and N, so that it can be had
again by itself; when its fault comes is a matter of time, though.

After each, the guest has to run at exactly one side and all of its memory has to
be right; and what that QEMU holds has to be what it held before.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import argparse
import collections
import os
import random
import sys
import threading
import time

from cases_kvm import LOGS
from common import IDLE, booted, check, equal
from hybridmig import holdings, paths
from hybridmig.migrate import ENDS, Migration
from hybridmig.monitor import QmpError, QmpLost
from hybridmig.waiting import until

PAGES = 6000
MEM = 48
RATES = ('100mbit', '200mbit', '400mbit', '1gbit')
WORK = ('idle', 'hot pages=500 rate=20000', 'hot pages=3000 rate=60000',
        'random pages=4000 rate=30000', 'mix pages=2000 rate=40000',
        'read rate=20000', 'hot pages=4000')
CUTS = ('blackhole', 'down', 'reset', 'to-src', 'to-dst')
#: What happens, how often, and in which phase it may begin.
FAULTS = {
    'none': (6, ()),
    'cancel': (2, ('preparation', 'rounds', 'state-transfer')),
    'kill': (1, ('rounds',)),
    'cut': (4, ('preparation', 'rounds', 'state-transfer', 'resume',
                'paging')),
    'blip': (2, ('rounds', 'state-transfer', 'paging')),
    'pause': (1, ('paging',)),
}
#: How long an operator looks on after a fault.
PATIENCE = 0.4
#: Nothing that a migration does may take longer.
LIMIT = 60
#: What a QEMU's memory may grow by, beyond the guest's, in KiB.
GROWTH = 24 << 10


class Lost(Exception):
    """The destination was killed when it had the guest: start again."""


class Plan:
    """One migration; all of it from the seed and its number."""
    def __init__(self, seed, number, smp):
        r = random.Random(f'{seed}-{number}')
        self.number = number
        self.rate = r.choice(RATES)
        self.work = r.choice(WORK)
        if smp > 1 and 'rate' in self.work and r.random() < 0.5:
            self.work += ' threads=2'
        self.preempt = r.random() < 0.5
        self.parameters = {
            'hybrid-handoff-timeout': 1000,
            'hybrid-max-rounds': r.choice((1, 2, 3, 32)),
            'hybrid-max-precopy-time': r.choice((50, 200, 1000)),
            'hybrid-hot-threshold': r.choice((0, 2, 3)),
            'hybrid-push-policy': r.choice(('bubble', 'linear')),
            'downtime-limit': r.choice((1, 20, 300)),
        }
        self.fault = r.choices(list(FAULTS), [f[0] for f in
                                              FAULTS.values()])[0]
        phases = FAULTS[self.fault][1]
        self.phase = r.choice(phases) if phases else None
        self.delay = r.choice((0, 0.002, 0.02)) * r.random() * \
            r.choice((1, 10))
        self.cut = r.choice(CUTS)
        self.blip = r.uniform(0.05, 0.6)

    def __str__(self):
        text = f'{self.number}: {self.work}, {self.rate}'
        if self.preempt:
            text += ', preempt'
        text += ''.join(f', {name.removeprefix("hybrid-")}={value}'
                        for name, value in self.parameters.items())
        if self.phase:
            text += f'; {self.fault} {self.delay * 1000:.1f} ms into ' \
                f'{self.phase}'
        if self.fault == 'cut':
            text += f', {self.cut}'
        return text


class Soak:
    """One guest and its QEMUs."""
    def __init__(self, pair, seed):
        self.pair = pair
        self.seed = seed
        self.counts = collections.Counter()
        #: What a QEMU holds whose guest has only come in; it opens this once.
        self.fresh = self._hold()
        self.fresh.files['/dev/userfaultfd'] = 1
        self.untried = True
        self.least = None           # memory of this one after a migration

    def _hold(self):
        return holdings.Holdings(self.pair.src.machine.get_pid())

    def migrate(self, number):
        """One migration, whatever becomes of it, and the checks."""
        pair = self.pair
        plan = Plan(self.seed, number, pair.config.smp)
        pair.link.set_rate(plan.rate)
        pair.src.ask(f'work {plan.work}')
        before = self._hold()
        if self.untried:            # it opens one, once, when it is a source
            before.files['anon_inode:[eventfd]'] += 1
        migration = Migration(pair, parameters=plan.parameters)
        migration.at_both({'postcopy-preempt': plan.preempt})
        fault = Fault(pair, migration, plan)
        migration.start()
        end = self._operate(migration, fault)
        self.counts[end] += 1
        if plan.phase:
            self.counts[plan.fault if fault.came.is_set() else
                        'faults too late'] += 1
        pair.link.heal()
        if end == 'completed':
            self.counts[migration.hybrid().get('action') or 'unknown'] += 1
            self._right(pair.dst)
            pair.turn()
            self._leaks('came in', self.fresh)
            self.least, self.untried = None, True
        else:
            until(lambda: pair.src.status() == 'running', 10,
                  'the guest runs at the source', pair.src.status)
            self._right(pair.src)
            pair.renew_destination()
            self._leaks(end, before)
            self.untried = False
        return plan, end

    def _right(self, guest):
        equal(self.pair.running_sides(), [guest.side], 'the guest runs at')
        found = guest.audit()
        equal(found.pages, PAGES, 'pages checked')
        check(found.right, f'memory: {found}')
        equal(self.pair.console.faults, [], 'what the guest said')

    def _leaks(self, what, before):
        now, more = holdings.settle(self.pair.src.machine.get_pid(), before)
        check(not more, f'{what}, and QEMU holds on to {more}')
        if self.least is None:
            self.least = now.rss_kib
        grown = now.rss_kib - self.least
        check(grown <= GROWTH, f'{what}, and memory has grown by {grown} KiB')

    def _operate(self, migration, fault):
        """Do as the operator's guide says until it is over; say how."""
        start = time.monotonic()
        recovering = False
        while True:
            status = migration.info()['status']
            if status in ENDS:
                break
            check(time.monotonic() - start < LIMIT,
                  f'{status} for {LIMIT} s; destination: '
                  f'{migration.last_status("dst")}')
            if status == 'postcopy-paused' and fault.killed:
                raise Lost
            if status == 'postcopy-paused' or (
                    fault.is_old() and status == 'postcopy-active' and
                    not recovering):
                self._recover(migration)
                recovering = True
                if migration.last_status('dst') == 'completed':
                    # All memory is there, and the source need not know it.
                    self.counts['source left paused'] += 1
                    status = 'completed'
                    break
            elif fault.is_old() and status in ('setup', 'active',
                                               'pre-switchover'):
                self._try(migration.cancel)
            time.sleep(0.02)
        if status == 'completed':
            until(lambda: self.pair.dst.status() == 'running', 20,
                  'the guest runs at the destination', self.pair.dst.status)
        return status

    @staticmethod
    def _try(command, *args, **how):
        try:
            return command(*args, **how)
        except (QmpError, QmpLost):
            return None

    def _recover(self, migration):
        pair = self.pair
        migration.pause()
        for side in ('src', 'dst'):
            pair.log.wait(lambda s=side: migration.last_status(s) in
                          ('postcopy-paused', 'completed'), 20,
                          f'{side} pauses')
        pair.link.heal()
        if {migration.last_status(side) for side in ('src', 'dst')} == \
           {'postcopy-paused'}:
            migration.recover()
            self.counts['recoveries'] += 1


class Fault:
    """Comes once, in its phase."""
    def __init__(self, pair, migration, plan):
        self.pair, self.migration, self.plan = pair, migration, plan
        self.came = threading.Event()
        self.killed = False
        self._at = None
        if plan.phase:
            migration.when(self._act, 'src', 'MIGRATION_HYBRID_PHASE',
                           phase=plan.phase)

    def _act(self):
        plan, link = self.plan, self.pair.link
        time.sleep(plan.delay)
        self.came.set()
        if plan.fault == 'cancel':
            self.migration.cancel()
        elif plan.fault == 'kill':
            self.killed = True
            self.pair.dst.kill()
        elif plan.fault == 'pause':
            self.migration.pause()
        elif plan.fault == 'cut':
            link.cut(plan.cut)
            self._at = time.monotonic()
        else:
            link.cut()
            time.sleep(plan.blip)
            link.heal()

    def is_old(self):
        """The link is cut, and the operator has seen enough of it."""
        return self._at is not None and \
            time.monotonic() - self._at > PATIENCE


def soak(logs, count, seed, log='tcg', smp=1, first=1, say=None):
    """Returns how often what happened."""
    counts, number = collections.Counter(), first

    def go_on(pair):
        nonlocal number
        guest = Soak(pair, seed)
        try:
            while number < first + count:
                begin = time.monotonic()
                plan, end = guest.migrate(number)
                number += 1
                if say:
                    say(f'{plan} -> {end}, {time.monotonic() - begin:.1f} s')
        except Lost:
            number += 1
            guest.counts['lost, as it was killed with the guest'] += 1
        finally:
            counts.update(guest.counts)
    while number < first + count:
        try:
            with booted(logs, IDLE, bare=True, accel=LOGS[log].accel, smp=smp,
                        mem=MEM, pages=PAGES, replayed=False,
                        **LOGS[log].settings) as pair:
                go_on(pair)
        except Exception as exc:
            raise AssertionError(
                f'{exc}\nmigration {Plan(seed, number, smp)}\nagain: '
                f'tests/guest/soak --log {log} --smp {smp} --seed {seed} '
                f'--first {number} --count 1') from exc
    return counts


def main():
    parser = argparse.ArgumentParser(prog='tests/guest/soak')
    parser.add_argument('--count', type=int, default=1000)
    parser.add_argument('--first', type=int, default=1,
                        help='number of the first one')
    parser.add_argument('--seed', type=int, default=int(time.time()))
    parser.add_argument('--log', default='tcg', choices=LOGS,
                        help='kind of dirty log, and with it the accelerator')
    parser.add_argument('--smp', type=int, default=1, choices=(1, 2))
    args = parser.parse_args()
    paths.use_qemu_python()
    logs = os.path.join(paths.BUILD, 'test-logs', f'soak-{args.log}')
    print(f'seed {args.seed}', flush=True)
    begin = time.monotonic()
    counts = soak(logs, args.count, args.seed, args.log, args.smp, args.first,
                  lambda text: print(text, flush=True))
    for name, number in sorted(counts.items()):
        print(f'{number:6} {name}')
    print(f'{time.monotonic() - begin:.0f} s')
    return 0


if __name__ == '__main__':
    sys.exit(main())
