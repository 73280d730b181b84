"""Stands between source and destination and breaks single connections.

Each connection, and each direction of it, can be stalled (nothing comes
through any more, silently) or closed by itself.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import itertools
import socket
import threading

from forward import Forwarder, listener

TO_DST, TO_SRC = 'to-dst', 'to-src'
MAIN, PREEMPT = 0, 1
_NUMBER = itertools.count(1)


class Connection:
    """One connection through the proxy."""
    def __init__(self, source, destination, stalled=False, to_dst=None,
                 room=None):
        self._to_dst = to_dst
        if room:
            for one in (source, destination):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, room)
        self._at_once = room or 65536
        self._ends = {TO_DST: (source, destination),
                      TO_SRC: (destination, source)}
        self._going = {way: threading.Event() for way in self._ends}
        self._swallows = False
        for way in self._ends:
            if not stalled:
                self._going[way].set()
            threading.Thread(target=self._forward, args=(way,),
                             daemon=True).start()

    def _forward(self, way):
        from_, to = self._ends[way]
        with contextlib.suppress(OSError):
            while data := from_.recv(self._at_once):
                self._going[way].wait()
                if self._to_dst and way == TO_DST:
                    data = self._to_dst(data)
                if not self._swallows:
                    to.sendall(data)
        self._going[way].wait()
        with contextlib.suppress(OSError):
            to.shutdown(socket.SHUT_WR)

    def stall(self, *ways):
        for way in ways or self._ends:
            self._going[way].clear()

    def go_on(self):
        for going in self._going.values():
            going.set()

    def swallow(self):
        """Take all that comes, as a link does that loses it, silently."""
        self._swallows = True

    def half_close(self, way):
        """Who reads sees the end, who writes an error; nobody else."""
        from_, to = self._ends[way]
        with contextlib.suppress(OSError):
            from_.shutdown(socket.SHUT_RD)
        with contextlib.suppress(OSError):
            to.shutdown(socket.SHUT_WR)

    def close(self):
        for one in self._ends[TO_DST]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self.go_on()


class Channels(Forwarder):
    """Unix sockets, forwarded. lose: numbers of the connections that lead
    nowhere: accepted, and then silent, or closed if close_lost. stalled: no
    connection lets anything through. to_dst(data) says what the destination
    gets of what the source sends. room: how many bytes it holds, as far as the
    kernel can be told. before[number] is called when that one has
    come, before the destination sees it.
    """
    def __init__(self, run, target, lose=(), close_lost=False, stalled=False,
                 to_dst=None, room=None):
        self.path = f'{run.folder}/channels{next(_NUMBER)}.sock'
        super().__init__(target, listener(self.path))
        self._lose = lose
        self._close_lost = close_lost
        self._stalled = stalled
        self._to_dst = to_dst
        self._room = room
        self.connections = []
        self.accepted = 0
        self.before = {}
        run.callback(self.close)
        self._start(self._accept)

    def close(self):
        for connection in self.connections:
            if connection:
                connection.close()
        super().close()

    def _accept(self):
        while True:
            source = self._take()
            connection = None
            self.before.get(self.accepted, lambda: None)()
            if self.accepted not in self._lose:
                connection = Connection(source, self._connect(),
                                        self._stalled, self._to_dst,
                                        self._room)
            elif self._close_lost:
                source.close()
            self.connections.append(connection)
            self.accepted += 1


def through(pair, migration, command='migrate-incoming', **lost):
    """Begin, or recover, through Channels; returns them."""
    oob = command == 'migrate-recover'
    target = migration.listen(command=command, oob=oob)[len('unix:'):]
    channels = Channels(pair.run, target, **lost)
    pair.src.qmp('migrate', {'uri': f'unix:{channels.path}', 'resume': oob})
    return channels


@contextlib.contextmanager
def full_queue(run):
    """Nobody accepts, and the queue is full: connect() waits; yields where."""
    path = f'{run.folder}/full{next(_NUMBER)}.sock'
    with socket.socket(socket.AF_UNIX) as taken_at, \
            socket.socket(socket.AF_UNIX) as queued:
        taken_at.bind(path)
        taken_at.listen(0)
        queued.connect(path)
        yield taken_at, path
