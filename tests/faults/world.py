"""One migration with one fault, what an operator does then, and what must hold.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import re
import socket
import time

from hybridmig import paths
from hybridmig.guest import GuestConfig
from hybridmig.migrate import ENDS, Migration
from hybridmig.monitor import QmpError, QmpLost
from hybridmig.pair import Pair

import points

TIMEOUT_MS = 3000           # hybrid-handoff-timeout
#: Nothing has moved for so long: the operator steps in.
QUIET_S = TIMEOUT_MS / 1000 + 2
PATIENCE_S = 60
PAUSE_S = 1.0               # migrate-pause has to work within
RATE = '400mbit'
PAUSED = 'postcopy-paused'
HOT = 'hot pages=6000 rate=100000'
IDLE = 'idle'
SMALL = f'{HOT} bytes=24'
WORK = {points.PRECOPY: IDLE, points.DELTAS: SMALL, points.IN_STOP: SMALL}


class Broken(Exception):
    """Something that must hold does not."""


def need(condition, what):
    if not condition:
        raise Broken(what)


class PointSocket:
    """Where a QEMU says that it has reached the point, and waits."""
    def __init__(self, run, name):
        self.path = os.path.join(run.folder, f'{name}.point')
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(1)
        self._held = None
        run.callback(self.release)
        run.callback(self._listener.close)

    def reached(self, timeout):
        self._listener.settimeout(timeout)
        try:
            self._held, _ = self._listener.accept()
        except TimeoutError:
            return False
        self._held.settimeout(5)
        return bool(self._held.recv(200))

    def release(self):
        if self._held:
            self._held.close()
            self._held = None


class World:
    """A pair of QEMUs with points, and the migration between them."""
    def __init__(self, run, point, preempt=False, config=None, fault=None):
        self.run = run
        self.point = point
        self.fault = fault
        self.preempt = preempt
        self.said = {}          # what commands were answered
        self.socket = PointSocket(run, point.side)
        binary = paths.built('qemu-points')
        self.config = config or GuestConfig(
            bare=True, mem=64, pages=12000, zero=1000, untouched=1000,
            workload=WORK.get(point.way, HOT))
        # So that threads can be told apart
        self.config.extra += ['-name', 'guest,debug-threads=on']
        self.pair = Pair(run, binary, binary, config=self.config, rate=RATE)
        self.pair.side(point.side).wrapper += [
            'env', f'HYBRID_POINT={point.wanted}',
            f'HYBRID_POINT_SOCKET={self.socket.path}']
        if fault and fault.before:
            fault.before(self)
        self.migration = None
        self.before = {}
        self._resumed = None

    # ---- the run ----

    def start(self):
        self.pair.start()
        if self.fault and self.fault.ready:
            self.fault.ready(self)
        self.before = {side: Resources(self.pair.side(side))
                       for side in ('src', 'dst')}
        parameters = {'hybrid-handoff-timeout': TIMEOUT_MS}
        if self.point.way != points.PRECOPY:
            parameters['hybrid-max-rounds'] = 2
        if self.point.way in (points.DELTAS, points.IN_STOP):
            # Rounds of some length, so that the sample has something to say
            parameters |= {'hybrid-max-rounds': 3, 'hybrid-min-gain': 0}
            # All of them go in the stop, or none
            parameters['downtime-limit'] = \
                300 if self.point.way == points.IN_STOP else 5
        self.migration = Migration(self.pair, parameters=parameters)
        if self.preempt:
            self.migration.at_both({'postcopy-preempt': True})
        if self.point.way == points.RECOVERY:
            self.migration.when(self.pair.link.cut, 'src',
                                'MIGRATION_HYBRID_PHASE', phase='paging')
        self.migration.start()
        if self.point.way == points.RECOVERY:
            self._until_recovery()

    def _until_recovery(self):
        self.pair.log.wait(lambda: self.pair.link.cut_mode, PATIENCE_S,
                           'paging, to be cut')
        self.pause_both()
        if self.point.name in ('src-paused', 'dst-paused'):
            return              # the point is held in this very pause
        self.wait_paused()
        self.pair.link.heal()
        self.migration.recover()

    def put(self, fault):
        """Hold the migration at the point, do the fault, let it go on."""
        need(self.socket.reached(PATIENCE_S),
             f'the point {self.point.wanted} was not reached')
        fault.act(self)
        self.socket.release()

    # ---- what can be seen without asking ----

    def alive(self, side):
        guest = self.pair.side(side)
        return guest.is_alive() and not guest.monitor.lost

    def status(self, side):
        event = self._last(side, 'MIGRATION')
        return event.data['status'] if event else None

    def _last(self, side, *names):
        found = [e for e in self.pair.log.events[self.migration.first_event:]
                 if e.side == side and e.name in names]
        return found[-1] if found else None

    def runs(self, side):
        """By its events: a held main loop answers no question."""
        if not self.alive(side):
            return False
        event = self._last(side, 'STOP', 'RESUME')
        return side == 'src' if event is None else event.name == 'RESUME'

    def settled(self):
        """There is nothing left that happens by itself."""
        src, dst = self.status('src'), self.status('dst')
        if not self.alive('src'):
            return not self.alive('dst') or dst in (PAUSED, 'completed')
        if src in ENDS:
            return True
        return src == PAUSED and (not self.alive('dst') or
                                  dst in (PAUSED, 'completed') or
                                  self.stopped('dst'))

    # ---- the operator ----

    def settle(self, fault):
        """
        Wait until nothing happens any more.  Where nobody can tell the sides
        that the other one is dead, the operator does, as the guide says.
        """
        end = time.monotonic() + PATIENCE_S
        asked = False
        while time.monotonic() < end:
            before = len(self.pair.log)
            if self.pair.log.wait(self.settled, QUIET_S):
                return
            if len(self.pair.log) == before and not asked:
                need(fault.silent or not self.alive('src') or
                     not self.alive('dst'),
                     f'nothing moves, and nothing is dead: {self}')
                asked = True
                self.break_off()
        raise Broken(f'it does not settle: {self}')

    def break_off(self):
        """The link is dead: cancel until GRANT, pause afterwards."""
        if self.alive('src'):
            try:
                self.pair.src.qmp('migrate_cancel')
            except (QmpError, QmpLost):
                pass            # too late, or it is just ending
        self.pause_both()

    def pause_both(self):
        for side in ('src', 'dst'):
            if not self.alive(side):
                continue
            begin = time.monotonic()
            try:
                self.pair.side(side).monitor.command('migrate-pause', oob=True,
                                                     timeout=10)
            except QmpError:
                pass            # it has noticed, or has nothing to pause
            except QmpLost:
                if self.stopped(side) or not self.alive(side):
                    continue    # it is just ending
                raise
            took = time.monotonic() - begin
            need(took <= PAUSE_S + 1, f'migrate-pause took {took:.1f} s')

    def stopped(self, side):
        """The process was stopped by a fault."""
        try:
            with open(f'/proc/{self.pair.side(side).machine.get_pid()}/stat',
                      encoding='ascii') as stat:
                return stat.read().rpartition(')')[2].split()[0] == 'T'
        except OSError:
            return False

    def wait_paused(self):
        for side in ('src', 'dst'):
            self.pair.log.wait(lambda s=side: self.status(s) == PAUSED, 20,
                               f'{side} {PAUSED}')

    def recover(self):
        """Both live and are paused; as often as it takes."""
        self.pair.link.heal()
        for _ in range(3):
            after = len(self.pair.log)
            self.migration.recover()

            def over():
                return any(e.name == 'MIGRATION' and e.side == 'src' and
                           e.data['status'] in ENDS + (PAUSED,)
                           for e in self.pair.log.events[after:])
            self.pair.log.wait(over, PATIENCE_S, 'the recovery ends')
            if self.status('src') == 'completed':
                return
            self.pause_both()
            self.wait_paused()
        raise Broken(f'three recoveries failed: {self}')

    def __str__(self):
        words = []
        for side in ('src', 'dst'):
            words.append(f'{side} ' + (
                f'{self.status(side)}, '
                f'{"runs" if self.runs(side) else "stands"}'
                if self.alive(side) else 'gone'))
        return '; '.join(words)


class Resources:
    """What a QEMU must not have more of afterwards."""
    def __init__(self, guest):
        self.pid = guest.machine.get_pid()
        self.userfaultfds = self._links('fd').count('anon_inode:[userfaultfd]')
        self.descriptors = len(os.listdir(f'/proc/{self.pid}/fd'))
        self.threads = [name for name in self._threads() if
                        re.match(r'(mig|fault|listen|preempt|postcopy)', name)]

    def _links(self, folder):
        found = []
        for name in os.listdir(f'/proc/{self.pid}/{folder}'):
            try:
                found.append(os.readlink(f'/proc/{self.pid}/{folder}/{name}'))
            except OSError:
                pass
        return found

    def _threads(self):
        for task in os.listdir(f'/proc/{self.pid}/task'):
            try:
                with open(f'/proc/{self.pid}/task/{task}/comm',
                          encoding='utf-8', errors='replace') as comm:
                    yield comm.read().strip()
            except OSError:
                pass
