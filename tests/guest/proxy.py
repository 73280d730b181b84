"""Stands between source and destination and knows the return path.

So that a test can act at the very message after which it wants something to
happen, and lose, hold back or add messages of the destination.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import socket
import struct
import threading

from forward import Forwarder, listener

SHUT, PONG, REQ_PAGES_ID, REQ_PAGES = 'SHUT', 'PONG', 'REQ_PAGES_ID', \
    'REQ_PAGES'
_UPSTREAM = {1: SHUT, 2: PONG, 3: REQ_PAGES_ID, 4: REQ_PAGES}
_HYBRID_TYPE = 0x6879
_HYBRID = {16: 'READY', 17: 'REFUSE', 18: 'LOADED', 19: 'RUNNING',
           20: 'STATS', 22: 'PLACED', 25: 'DELTAS', 26: 'RAW',
           27: 'DROPPED'}


def page_request(offset, length=4096, block=b'pc.ram'):
    """A MIG_RP_MSG_REQ_PAGES_ID for the page at an offset in a block."""
    body = struct.pack('>QIB', offset, length, len(block)) + block
    return struct.pack('>HH', 3, len(body)) + body


class Proxy(Forwarder):
    """Forwards unix sockets; on_message(name) sees each message of the return
    path and says what comes instead of it: None: itself, bytes: these first;
    False: nothing. stall() lets nothing through any more, silently.
    """
    def __init__(self, run, target, on_message):
        self.path = f'{run.folder}/proxy.sock'
        super().__init__(target, listener(self.path))
        self._on_message = on_message
        self._going = threading.Event()
        self._going.set()
        run.callback(self.close)
        self._start(self._accept)

    def stall(self):
        self._going.clear()

    def go_on(self):
        self._going.set()

    def close(self):
        self.go_on()
        super().close()

    def _accept(self):
        back = self._back
        while True:
            source = self._take()
            destination = self._connect()
            self._start(self._pass, self._forward, source, destination)
            self._start(self._pass, back, destination, source)
            back = self._forward        # of others: preempt, recovery

    def _pass(self, function, from_, to):
        with contextlib.suppress(OSError):
            function(from_, to)
        self._going.wait()
        for one in (from_, to):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _forward(self, from_, to):
        while data := from_.recv(65536):
            self._going.wait()
            to.sendall(data)

    def _back(self, from_, to):
        stream = from_.makefile('rb')
        while len(head := stream.read(4)) == 4:
            kind, length = struct.unpack('>HH', head)
            body = stream.read(length)
            name = _UPSTREAM.get(kind, hex(kind))
            if kind == _HYBRID_TYPE:
                name = _HYBRID.get(struct.unpack('>H', body[:2])[0], 'other')
            said = self._on_message(name)
            self._going.wait()
            if said is not False:
                to.sendall((said or b'') + head + body)
