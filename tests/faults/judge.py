"""What must hold when a migration with a fault is over.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import glob
import os
import subprocess
import tempfile

from hybridmig import paths, record
from hybridmig.migrate import Migration
from hybridmig.monitor import QmpError, QmpLost
from hybridmig.waiting import until

import points
from world import PAUSED, Resources, need

LEDGER = '/dev/shm/qemu-hybrid'
#: What stays open after a migration: the log of QEMU's own clients, caches.
SPARE_DESCRIPTORS = 2

#: Outcomes
STAYS = 'stays at the source'
MOVES = 'moves'
RECOVERS = 'pauses, recovers'
LOST = 'is lost, and said to be'
ENDED = 'has ended with its source'
WITHOUT = 'runs on without its source'
ENDED_THERE = 'has moved, and ended with its destination'


def judge(world, fault, fault_name):
    """Returns the outcome; raises Broken where something is wrong."""
    pair = world.pair
    pair.link.heal()
    if fault.mends and (fault.kills != 'dst' or world.alive('dst')):
        fault.mends(world)
    if not world.alive('src'):
        return _source_gone(world, fault)
    status = world.status('src')
    need(fault.breaks or status == 'completed' or
         world.point.way == points.RECOVERY,
         f'{fault_name} has made it {status}: {_error(world)}')
    if status == PAUSED:
        return _paused(world, fault)
    if status == 'completed':
        if fault.kills == 'dst' and not world.alive('dst'):
            need(not world.runs('src'), 'given away, and the source runs it')
            return ENDED_THERE  # by who ended its QEMU, it was whole
        _moved(world)
        return MOVES
    need(status in ('failed', 'cancelled'), f'the source is {status}')
    need(world.point.owner == 'src' or fault_name == 'cancel' or
         not _granted(world), f'given away, and {status}')
    _stayed(world, fault)
    return STAYS


def _error(world):
    return world.migration.info().get('error-desc')


def _granted(world):
    return any('-> GRANTED' in line
               for line in record.handoff_lines(world.pair.src))


# ---- outcomes ----

def _stayed(world, fault):
    """The guest runs at the source, right, and can be migrated again."""
    pair = world.pair
    need(not _granted(world), 'the guest was given away and runs here')
    pair.log.wait(lambda: world.runs('src'), 10, 'the source runs the guest')
    need(not world.runs('dst'), 'both sides run the guest')
    _error_said(world, fault)
    if world.alive('dst'):
        _quits(pair.dst)
    _nothing_left(world, 'src')
    pair.renew_destination()
    again = Migration(pair)
    if world.preempt:
        again.at_both({'postcopy-preempt': True})
    again.start()
    end = again.wait_end()
    need(end == 'completed', f'the second migration ended as {end}: '
         f'{again.info().get("error-desc")}')
    world.migration = again
    _moved(world)


def _moved(world):
    pair = world.pair
    pair.log.wait(lambda: world.runs('dst'), 20,
                  'the destination runs the guest')
    need(not world.runs('src'), 'both sides run the guest')
    pair.log.wait(lambda: world.status('dst') == 'completed', 20,
                  'the destination completes')
    _audit(world, 'dst')
    _nothing_left(world, 'dst')


def _paused(world, fault):
    pair = world.pair
    need(_granted(world), 'paused, but the guest was never given away')
    need(not world.runs('src'), 'paused, and the source runs the guest')
    if fault.kills == 'dst' and _powered_off(world):
        until(lambda: not world.alive('dst'), 20)   # it is just ending
    if not world.alive('dst'):
        need(fault.kills == 'dst' or _powered_off(world),
             f'the destination died: {pair.dst.output()[-300:]}')
        _quits(pair.src)
        return LOST
    if world.status('dst') not in (PAUSED, 'completed'):
        world.pause_both()      # it was stopped when the source was paused
        pair.log.wait(lambda: world.status('dst') in (PAUSED, 'completed'), 20)
    if world.status('dst') == 'completed':
        # SHUT was lost: it runs there, whole
        _audit(world, 'dst')
        _quits(pair.src)
        return MOVES
    world.wait_paused()
    world.recover()
    _moved(world)
    return RECOVERS


def _powered_off(world):
    return bool(world.migration.event('dst', 'SHUTDOWN'))


def _source_gone(world, fault):
    pair = world.pair
    need(fault.kills == 'src', 'the source died: ' +
         pair.src.output()[-300:])
    if world.alive('dst') and world.runs('dst'):
        need(_granted(world), 'the destination runs what was not given away')
        if world.status('dst') == 'completed':
            _audit(world, 'dst')
        _quits(pair.dst)
        return WITHOUT
    if world.alive('dst'):
        _quits(pair.dst)
    return ENDED


# ---- checks ----

def _audit(world, side):
    guest = world.pair.side(side)
    found = guest.audit()
    need(found.right, f'memory: {found}')
    need(found.pages == world.config.pages, f'checked {found.pages} pages')
    need(not world.pair.console.faults,
         f'the guest said: {world.pair.console.faults[:3]}')


def _error_said(world, fault):
    """A migration that failed says why, and not just that it did."""
    info = world.migration.info()
    if info['status'] == 'failed':
        error = info.get('error-desc', '')
        need(error, 'failed, without a word')
        need('Sibling indicated error' not in error, f'says only: {error}')


def _quits(guest):
    """quit ends it, within some seconds, whatever it waits for."""
    try:
        guest.monitor.command('quit', timeout=8)
    except (QmpError, QmpLost):
        pass
    until(lambda: not guest.is_alive(), 10, f'quit ends {guest.side}')
    code = guest.machine.exitcode()
    need(code is None or code >= 0 or guest._killed,
         f'{guest.side} died of signal {-(code or 0)}')


def _nothing_left(world, side):
    """No descriptor, thread, userfaultfd or claim more than before."""
    before = world.before.get(side)
    guest = world.pair.side(side)

    def held():
        now = Resources(guest)
        left = []
        if before and now.pid == before.pid and \
           now.descriptors > before.descriptors + SPARE_DESCRIPTORS:
            left.append(f'{now.descriptors - before.descriptors} descriptors')
        if now.userfaultfds:
            left.append(f'{now.userfaultfds} userfaultfds')
        if now.threads:
            left.append(f'threads {now.threads}')
        claims = glob.glob(f'{LEDGER}/**/claim-*{now.pid}*', recursive=True)
        if claims:
            left.append(f'claims {claims}')
        return ', '.join(left)
    until(lambda: not held(), 5, f'{side} keeps nothing', held, every=0.1)


def replays(world):
    """The handoff's trace is a run of the model."""
    with tempfile.NamedTemporaryFile('w', suffix='.log',
                                     encoding='utf-8') as log:
        lines = [line for guest in world.pair.guests
                 for line in record.trace_lines(guest)]
        if not any(record.STEP.search(line) for line in lines):
            return
        log.write('\n'.join(lines) + '\n')
        log.flush()
        done = subprocess.run(
            [os.path.join(paths.ROOT, 'tests/model/replay'), log.name],
            capture_output=True, text=True, check=False)
    need(done.returncode == 0, 'the trace is no run of the model: ' +
         (done.stdout + done.stderr)[-400:])
