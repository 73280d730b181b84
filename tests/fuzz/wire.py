"""The proxy between two QEMUs that live: changes one stream, once.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import socket

from forward import Forwarder, listener
from mutations import BACK_HEAD, Forward


class Wire(Forwarder):
    """Listens at path for a source and connects it to target."""
    def __init__(self, path, target, mutation):
        super().__init__(target, listener(path))
        self._mutation = mutation
        self._count = 0             # connections
        self._messages = 0
        self._start(self._accept)

    def _accept(self):
        while True:
            source = self._take()
            destination = self._connect()
            second = self._count > 0
            self._count += 1
            self._start(self._forward, source, destination, second)
            back = self._plain if second else self._back
            self._start(back, destination, source)

    @staticmethod
    def _end(*sockets):
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _forward(self, source, destination, second):
        change = Forward(self._mutation, second)
        try:
            while data := source.recv(65536):
                data = change.piece(data)
                if data is None:
                    break
                destination.sendall(data)
        finally:
            self._end(source, destination)

    def _plain(self, destination, source):
        try:
            while data := destination.recv(65536):
                source.sendall(data)
        finally:
            self._end(source, destination)

    def _back(self, destination, source):
        try:
            stream = destination.makefile('rb')
            before = []
            while len(head := stream.read(BACK_HEAD)) == BACK_HEAD:
                message = head + stream.read(int.from_bytes(head[2:], 'big'))
                data = self._say(before, message)
                if data is None:
                    break
                source.sendall(data)
        finally:
            self._end(source, destination)

    def _say(self, before, message):
        m = self._mutation
        self._messages += 1
        if not m.back or m.done or self._messages < m.count:
            return message
        return m.change_message([*before, message])
