"""A source and a destination with the link between them.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os

from .console import Console
from .guest import Guest, GuestConfig
from .lan import Lan
from .monitor import EventLog, QmpLost
from .net import DST_ADDRESS, SRC_ADDRESS, Link


class Pair:
    """Boots the guest at "src" and has "dst" wait for it."""
    #: What its handoff does is a path of the model: nobody else connects.
    follows_model = True

    def __init__(self, run, src_binary, dst_binary=None, config=None,
                 rate='1gbit', src_extra=(), dst_extra=(), **link):
        """More keyword arguments are those of Link."""
        self.run = run
        self.config = config or GuestConfig()
        self.binaries = {'src': src_binary, 'dst': dst_binary or src_binary}
        self.extra = {'src': list(src_extra), 'dst': list(dst_extra)}
        self.log = EventLog()
        self.console = Console(os.path.join(run.folder, 'serial.log'))
        run.callback(self.console.close)
        run.callback(self._write_events)
        self.link = Link(run, rate, **link)
        self.lan = Lan(run, self.link) if self.config.network else None
        self.guests = []        # all that there were, also those replaced
        self._ended = {'src': 0, 'dst': 0}
        self._turned = False    # the source is at the link's other end
        self.src = self._guest('src')
        self.dst = self._guest('dst')

    def _guest(self, side):
        before = sum(guest.side == side for guest in self.guests) + \
            self._ended[side]
        guest = Guest(self.run, side, self.binaries[side], self.config,
                      self.console, self.log, self.link.wrapper(
                          {'src': 'dst', 'dst': 'src'}[side]
                          if self._turned else side),
                      self.extra[side],
                      name=f'{side}-{before + 1}' if before else side)
        self.guests.append(guest)
        return guest

    def start(self, timeout=60):
        """Both QEMUs are there and the guest works."""
        self.src.start()
        self.dst.start(incoming=True)
        self.src.wait_ready(timeout)
        return self

    def renew_destination(self):
        """Another destination, after one has exited or was refused."""
        self.dst.stop()
        self.dst = self._guest('dst')
        self.dst.start(incoming=True)

    def turn(self):
        """
        The guest has moved: its QEMU is the source of the next migration, and
        a new destination waits where the source was. Files and records of
        QEMUs that have ended are removed, for there may be a thousand.
        """
        self.src.stop()
        for guest in self.guests:
            if guest is not self.dst:
                self._ended[guest.side] += 1
                guest.remove_files()
        self._ended['dst'] += 1
        self._turned = not self._turned
        self.src, self.guests = self.dst, [self.dst]
        self.src.side = self.src.monitor.side = 'src'
        self.console.turn()
        self.log.forget()
        self.dst = self._guest('dst')
        self.dst.start(incoming=True)

    @property
    def address(self):
        """Where a destination listens."""
        return SRC_ADDRESS if self._turned else DST_ADDRESS

    def side(self, name):
        return {'src': self.src, 'dst': self.dst}[name]

    def running_sides(self):
        """Where the guest runs, as the QEMUs that live say."""
        return [guest.side for guest in (self.src, self.dst)
                if self._runs(guest)]

    @staticmethod
    def _runs(guest):
        try:
            return guest.is_alive() and not guest.monitor.lost and \
                guest.status() == 'running'
        except QmpLost:
            return False        # it has exited just now

    def seen(self):
        """In words, for the log of a test that failed."""
        alive = [guest.side for guest in (self.src, self.dst)
                 if guest.is_alive()]
        return f'QEMU lives at {" and ".join(alive) or "neither side"}; ' \
            f'{self.log.seen()}; {self.console.seen()}'

    def _write_events(self):
        name = os.path.join(self.run.folder, 'events.log')
        with open(name, 'w', encoding='utf-8') as out:
            for event in self.log.events:
                out.write(f'{event}\n')
