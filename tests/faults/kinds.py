"""The faults that are put at a point.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import signal
import socket
import threading
import time
from dataclasses import dataclass
from typing import Callable

from hybridmig.monitor import QmpError, QmpLost
from hybridmig.runs import command

import clients

DIP_S = 1.0
FREEZE_S = 1.5


@dataclass(frozen=True)
class Fault:
    """
    act:     does it; called with the World while the point is held
    kills:   the side that is gone afterwards
    silent:  nothing tells the sides that the link or the peer is dead: the
             operator does, when nothing moves any more
    breaks:  the migration may end by it
    preempt: it needs a second connection
    mends:   undone before the operator recovers, besides the link
    before:  called with the World before its QEMUs are started
    ready:   called with the World when they are
    """
    act: Callable
    kills: str = ''
    silent: bool = False
    breaks: bool = True
    preempt: bool = False
    mends: Callable = None
    before: Callable = None
    ready: Callable = None


def _later(seconds, action, *arguments):
    def body():
        time.sleep(seconds)
        action(*arguments)
    threading.Thread(target=body, daemon=True).start()


def _processes(world, side):
    return [int(pid) for pid in command(
        'ip', 'netns', 'pids', world.pair.link.names[side]).split()]


def _signal(world, side, number):
    for pid in _processes(world, side):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def _cut(mode):
    return lambda world: world.pair.link.cut(mode)


def _dip(world):
    world.pair.link.cut()
    _later(DIP_S, world.pair.link.heal)


def _freeze(side):
    def act(world):
        _signal(world, side, signal.SIGSTOP)
        _later(FREEZE_S, _signal, world, side, signal.SIGCONT)
    return act


def _hang(side):
    return lambda world: _signal(world, side, signal.SIGSTOP)


def _wake(side):
    return lambda world: _signal(world, side, signal.SIGCONT)


def _kill(side):
    return lambda world: world.pair.side(side).kill()


def _ask(side, name, arguments=None, oob=False):
    """
    A command, in a thread: the main loop may be held at the point, so give
    it a moment to be answered, but do not wait for it.
    """
    def act(world):
        done = threading.Event()

        def body():
            try:
                world.said[name] = world.pair.side(side).monitor.command(
                    name, arguments, oob=oob, timeout=20)
            except (QmpError, QmpLost) as exc:
                world.said[name] = exc
            done.set()
        threading.Thread(target=body, daemon=True).start()
        done.wait(0.5)
    return act


def _connections(world):
    """Local ports of the source's connections, oldest (main) first."""
    text = command('ip', 'netns', 'exec', world.pair.link.names['src'],
                   'ss', '-Htn', 'state', 'established', 'dport', '>=', '4444',
                   'and', 'dport', '<=', '4460')
    return sorted(int(line.split()[2].rsplit(':', 1)[1])
                  for line in text.splitlines())


def _break(which):
    def act(world):
        ports = _connections(world)
        if which >= len(ports):
            return              # the other side has closed it by now
        for side, word in (('src', 'sport'), ('dst', 'dport')):
            command('ip', 'netns', 'exec', world.pair.link.names[side],
                    'ss', '-K', '-t', word, '=', str(ports[which]),
                    check=False)
    return act


def _sequence(*acts):
    def act(world):
        for one in acts:
            one(world)
    return act


_CAP = {'capabilities': [{'capability': 'postcopy-ram', 'state': False}]}
_CAP2 = {'capabilities': [{'capability': 'hybrid', 'state': False}]}

FAULTS = {
    'link-cut': Fault(_cut('blackhole'), silent=True),
    'link-to-src': Fault(_cut('to-src'), silent=True),
    'link-to-dst': Fault(_cut('to-dst'), silent=True),
    'link-down': Fault(_cut('down'), silent=True),
    'link-reset': Fault(_cut('reset')),
    'link-dip': Fault(_dip),
    'main-broken': Fault(_break(0)),
    'preempt-broken': Fault(_break(1), preempt=True),
    'dst-killed': Fault(_kill('dst'), kills='dst'),
    'src-killed': Fault(_kill('src'), kills='src'),
    'dst-frozen': Fault(_freeze('dst')),
    'src-frozen': Fault(_freeze('src')),
    'dst-hangs': Fault(_hang('dst'), silent=True, mends=_wake('dst')),
    'cancel': Fault(_ask('src', 'migrate_cancel')),
    'pause-src': Fault(_ask('src', 'migrate-pause', oob=True)),
    'pause-dst': Fault(_ask('dst', 'migrate-pause', oob=True)),
    'yank-src': Fault(_ask('src', 'yank', {'instances': [
        {'type': 'migration'}]}, oob=True)),
    'yank-dst': Fault(_ask('dst', 'yank', {'instances': [
        {'type': 'migration'}]}, oob=True)),
    'quit-dst': Fault(_ask('dst', 'quit'), kills='dst'),
    'quit-src': Fault(_ask('src', 'quit'), kills='src'),
    'powerdown-src': Fault(_ask('src', 'system_powerdown'), breaks=False),
    'stop-cont-src': Fault(_sequence(_ask('src', 'stop'),
                                     _ask('src', 'cont')), breaks=False),
    'cont-dst': Fault(_ask('dst', 'cont'), breaks=False),
    'migrate-again': Fault(_ask('src', 'migrate',
                                {'uri': 'tcp:10.99.0.2:4999'}), breaks=False),
    'caps-src': Fault(_sequence(
        _ask('src', 'migrate-set-capabilities', _CAP),
        _ask('src', 'migrate-set-capabilities', _CAP2)), breaks=False),
    'caps-dst': Fault(_ask('dst', 'migrate-set-capabilities', _CAP),
                      breaks=False),
    'params-src': Fault(_ask('src', 'migrate-set-parameters', {
        'downtime-limit': 0, 'max-bandwidth': 30000000}), breaks=False),
    'device-src': Fault(_ask('src', 'device_add', {
        'driver': 'virtio-rng-pci', 'id': 'late'}), breaks=False),
    'device-dst': Fault(_ask('dst', 'device_add', {
        'driver': 'virtio-rng-pci', 'id': 'late'}), breaks=False),
    'half-closed-src': Fault(clients.half_close('src', socket.SHUT_WR)),
    'half-closed-dst': Fault(clients.half_close('dst', socket.SHUT_WR)),
    'deaf-src': Fault(clients.half_close('src', socket.SHUT_RD)),
    'deaf-dst': Fault(clients.half_close('dst', socket.SHUT_RD)),
    'client-gone-src': Fault(clients.vanishes('src'), breaks=False,
                             before=clients.second_monitor),
    'client-gone-dst': Fault(clients.vanishes('dst'), breaks=False,
                             before=clients.second_monitor),
    'monitor-full-src': Fault(clients.reads_nothing('src'), breaks=False,
                              before=clients.second_monitor),
    'monitor-full-dst': Fault(clients.reads_nothing('dst'), breaks=False,
                              before=clients.second_monitor),
    'dst-out-of-memory': Fault(clients.out_of_memory, kills='dst',
                               mends=clients.memory_again),
    'dst-no-mapping': Fault(clients.no_more_memory, kills='dst',
                            mends=clients.memory_unlimited),
    'snapshot-src': Fault(_ask('src', 'snapshot-save', clients.SNAPSHOT),
                          breaks=False, ready=clients.snapshot_disk),
    'snapshot-dst': Fault(_ask('dst', 'snapshot-save', clients.SNAPSHOT),
                          breaks=False, ready=clients.snapshot_disk),
}

#: They are put at the main connection.
MAIN = ('main-broken', 'half-closed-src', 'half-closed-dst', 'deaf-src',
        'deaf-dst')


def why_empty(point, name):
    """Why a fault is not put at a point, or None."""
    fault = FAULTS[name]
    if name in MAIN and point.name.endswith('-paused'):
        return 'there is no connection'
    if name in MAIN and point.name.endswith('-STATS') and \
       not point.name.startswith('dst-sends'):
        return 'the destination closes the connection then'
    if fault.preempt and point.way == 'recovery':
        return 'the second connection may not be made again yet'
    if fault.preempt and point.way in ('precopy', 'in-stop') and \
       point.name.split('-')[1] in ('said', 'heard', 'read', 'sent', 'in'):
        return 'the second connection is made only for a handoff'
    if fault.preempt and point.owner == 'src' and \
       point.name not in ('src-sent-package', 'dst-sent-LOADED'):
        return 'the second connection may not be there yet'
    if fault.preempt and point.name in ('dst-stream-ended', 'dst-sends-STATS',
                                        'dst-sent-STATS', 'src-read-STATS'):
        return 'the second connection may have ended by then'
    if name in ('device-src', 'powerdown-src') and point.owner == 'dst':
        return 'the source has given the guest away'
    return None
