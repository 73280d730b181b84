"""Stands between source and destination and holds a lot, as tunnels do.

What a source sends is taken at once, as long as there is room for it, and
leaves at a rate that all connections share. What comes back passes at once.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import collections
import socket
import threading
import time

from forward import Forwarder, listener
from hybridmig.net import SRC_ADDRESS, in_namespace

PIECE = 16384
PORT = 4555


class _Pace:
    """A line that all connections share: what comes first goes first."""
    def __init__(self, rate):
        self.rate = rate        # bytes per second
        self._lock = threading.Lock()
        self._free_at = 0

    def cross(self, size):
        with self._lock:
            begin = max(time.monotonic(), self._free_at)
            self._free_at = begin + size / self.rate
        # A sleep is too long rather than too short: the next one is shorter.
        time.sleep(max(0, self._free_at - time.monotonic() - 0.0005))


class _Store:
    """What was taken and did not leave yet: at most so many bytes."""
    def __init__(self, depth):
        self._depth = depth
        self._held = 0
        self._pieces = collections.deque()
        self._change = threading.Condition()
        self.most = 0

    def put(self, data):
        with self._change:
            self._change.wait_for(lambda: self._held < self._depth)
            self._pieces.append(data)
            self._held += len(data)
            self.most = max(self.most, self._held)
            self._change.notify_all()

    def get(self):
        with self._change:
            self._change.wait_for(lambda: self._pieces)
            data = self._pieces.popleft()
            self._held -= len(data)
            self._change.notify_all()
            return data


class Relay(Forwarder):
    """
    Listens at .uri for the source, connects to the UNIX socket target.

    tcp: the source comes by TCP, which acknowledges what the relay has taken
    """
    def __init__(self, pair, target, depth, rate, tcp=False):
        self._depth = depth
        self._pace = _Pace(rate)
        self.stores = []
        if tcp:
            taken_at = in_namespace(
                pair.link.names['src'],
                lambda: socket.create_server((SRC_ADDRESS, PORT)))
            self.uri = f'tcp:{SRC_ADDRESS}:{PORT}'
        else:
            path = f'{pair.run.folder}/relay.sock'
            taken_at = listener(path)
            self.uri = f'unix:{path}'
        super().__init__(target, taken_at)
        pair.run.callback(self.close)
        self._start(self._accept)

    def _accept(self):
        while True:
            source = self._take()
            if source.family == socket.AF_INET:
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            destination = self._connect()
            store = _Store(self._depth)
            self.stores.append(store)
            self._start(self._fill, source, store)
            self._start(self._leave, store, destination)
            self._start(self._back, destination, source)

    @staticmethod
    def _fill(source, store):
        try:
            while data := source.recv(PIECE):
                store.put(data)
        finally:
            store.put(b'')

    def _leave(self, store, destination):
        while data := store.get():
            self._pace.cross(len(data))
            destination.sendall(data)
        destination.shutdown(socket.SHUT_WR)

    @staticmethod
    def _back(destination, source):
        while data := destination.recv(65536):
            source.sendall(data)
        source.shutdown(socket.SHUT_WR)
