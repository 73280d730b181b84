"""What the guest tests have in common: a pair, the audit, and its twin.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import json
import os
import signal
import time

import replay
from checks import Skip, check, equal   # noqa: F401 the cases ask for them here
from hybridmig import holdings, measure, paths
from hybridmig.guest import GuestConfig
from hybridmig.migrate import Migration
from hybridmig.pair import Pair
from hybridmig.runs import Run, command
from hybridmig.waiting import until

#: More than a 400 Mbit/s link carries, on less than half of the pages.
HOT = 'hot pages=12000 rate=200000'
IDLE = 'idle'
PAGES = 20000
#: Another build in its place: one with a sanitizer, say
PATCHED = os.environ.get('HYBRID_PATCHED', 'qemu')
UNPATCHED = 'qemu-base'


def freeze(pair, frozen=True):
    """Stop the destination's processes, or let them go on."""
    for pid in command('ip', 'netns', 'pids',
                       pair.link.names['dst']).split():
        os.kill(int(pid), signal.SIGSTOP if frozen else signal.SIGCONT)


def wait_until(condition, what, timeout=20):
    """It may ask QEMU, which no condition of EventLog.wait() may."""
    until(condition, timeout, what)


def stands_still(pair, side, quiet=0.5, timeout=20):
    """Wait until its vCPUs wait for pages: the tick has stopped."""
    def silent():
        resumed = pair.log.last(side, 'RESUME')
        heard = [tick.at for tick in pair.console.ticks if tick.side == side]
        return resumed and \
            time.monotonic() - max([resumed.at, *heard[-1:]]) > quiet
    until(silent, timeout, f'the guest at {side} stands still',
          pair.console.seen)


class Waited:
    """
    How long the QEMUs waited for a CPU from the source's STOP to the
    destination's RESUME. Where the machine is busy two stamps of one moment
    are as far apart.
    """
    def __init__(self, pair):
        self._pair = pair
        self._at = {}
        pair.log.on_event(self._see)

    def _see(self, event):
        if (event.side, event.name) in (('src', 'STOP'), ('dst', 'RESUME')):
            self._at[event.side] = sum(
                holdings.waited_us(guest.machine.get_pid())
                for guest in (self._pair.src, self._pair.dst)
                if guest.is_alive())

    def us(self):
        return max(0, self._at.get('dst', 0) - self._at.get('src', 0))


def exits(guest, timeout=10):
    """Wait until that QEMU is gone."""
    return until(lambda: not guest.is_alive(), timeout)


@contextlib.contextmanager
def booted(logs, workload=HOT, smp=1, src=PATCHED, dst=PATCHED,
           rate='400mbit', mem=160, disk=None, boot_timeout=180, extra=(),
           dst_extra=(), link=None, pages=PAGES, replayed=True, **settings):
    """
    A guest that runs; the logs are kept if the test fails.

    disk: names the image to boot, called with the Run
    link: more arguments of Link
    replayed: not if its peers were none of QEMU, or are those of a migration
        among many
    """
    with Run(logs=logs) as run:
        pair = None
        try:
            config = GuestConfig(mem=mem, smp=smp, pages=pages, zero=1000,
                                 untouched=1000, workload=workload,
                                 disk=disk and disk(run), extra=extra,
                                 **settings)
            pair = Pair(run, paths.built(src), paths.built(dst),
                        config=config, rate=rate, dst_extra=dst_extra,
                        **(link or {}))
            pair.waited = Waited(pair)
            pair.start(boot_timeout)
            yield pair
        except BaseException as exc:
            exc.about = f'seen last: {pair.seen()}' if pair else None
            run.keep()
            if pair:
                _keep_state(run, pair)
            raise
        finally:
            if pair and replayed:
                replay.save(pair, os.path.basename(logs))


def _keep_state(run, pair):
    """What both say of the migration, and why it ended, if they answer."""
    with open(os.path.join(run.folder, 'state.log'), 'w',
              encoding='utf-8') as log:
        for side in ('src', 'dst'):
            for command in ('query-status', 'query-migrate'):
                try:
                    said = pair.side(side).monitor.command(command, timeout=5)
                except Exception as exc:    # any: it is for the log only
                    said = repr(exc)
                print(side, command, json.dumps(said, default=str), file=log)


def audit(pair, side):
    """
    The guest runs on that side only, every page is right, it was never
    heard twice; and the twin: one page corrupted on purpose is found.
    """
    equal(pair.running_sides(), [side], 'the guest runs at')
    found = pair.side(side).audit()
    equal(found.pages, pair.config.pages, 'pages checked')
    check(found.right, f'memory: {found}')
    equal(pair.console.faults, [], 'what the guest said')
    pair.side(side).ask('corrupt 4711')
    twin = pair.side(side).audit()
    check(not twin.right, 'the audit does not find a corrupted page')
    equal(twin.first, [4711], 'pages that the audit found')


def paging_slowly(pair, rate):
    """A migration whose guest runs at the destination, and misses pages."""
    migration = Migration(pair, parameters={'max-postcopy-bandwidth': rate})
    migration.start()
    pair.src.qmp('migrate-start-postcopy')
    check(migration.wait_phase('paging'), 'no paging')
    return migration


def cut_in_paging(migration):
    """The link breaks as soon as the guest runs at the destination."""
    migration.when(migration.pair.link.cut, 'src', 'MIGRATION_HYBRID_PHASE',
                   phase='paging')


def pause_both(migration):
    migration.pause()
    for side in ('src', 'dst'):
        migration.wait_status(side, 'postcopy-paused', timeout=30)


def recover_cut(migration):
    """The link is cut in paging: as the operator's guide says, to the end."""
    link = migration.pair.link
    migration.pair.log.wait(lambda: link.cut_mode, 60, 'paging')
    pause_both(migration)
    link.heal()
    migration.recover()
    equal(migration.wait_end(), 'completed', 'ended as')


def ends_hybrid(migration, action):
    """Completed, by what both sides had agreed; returns what it says."""
    equal(migration.wait_end(), 'completed', 'ended as')
    h = migration.hybrid()
    check(h['active'] and h['agreed'], f'not hybrid: {h}')
    equal(h['action'], action, 'action')
    pages_add_up(migration)
    return h


def pages_add_up(migration, lost=False):
    """First sends and re-sends are all sends, and all were received."""
    p = migration.hybrid()['pages']
    refused = migration.hybrid().get('deltas', {}).get('refused', 0)
    equal(p['first-sends'] + p['resends'], p['total'], 'first + resends')
    equal(p['received'] + refused + p['lost'], p['total'],
          'received + refused + lost')
    if not lost:
        equal(p['lost'], 0, 'lost pages')
    check(p['on-demand'] + p['pushed'] <= p['total'], f'too many: {p}')
    equal(p['received'],
          migration.hybrid('dst')['pages']['received'], 'both sides say')


def downtime_true(migration):
    """Within 5 ms of STOP to RESUME, and no longer than the guest's silence;
    and how long the machine has kept the QEMUs waiting.
    """
    h = migration.hybrid()
    slack = 5000 + migration.pair.waited.us()
    check(not h['downtime-estimated'], 'downtime is an estimate')
    outside = measure.stop_to_resume_us(migration)
    check(abs(h['downtime-us'] - outside) <= slack,
          f'downtime {h["downtime-us"]} us, STOP to RESUME {outside} us, '
          f'may differ by {slack} us')
    pair = migration.pair
    gap = pair.console.wait(lambda: measure.tick_gap_us(pair), 20,
                            'a tick on either side of the stop')
    check(gap + slack >= h['downtime-us'],
          f'downtime {h["downtime-us"]} us, guest silent for {gap} us')
