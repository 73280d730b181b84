"""What all have that stand between a source and a destination.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import socket
import threading


def listener(path):
    """A UNIX socket that takes connections."""
    one = socket.socket(socket.AF_UNIX)
    one.bind(path)
    one.listen(8)
    return one


def start(function, *args):
    """In a thread of its own, until a connection ends."""
    def body():
        with contextlib.suppress(OSError):
            function(*args)
    threading.Thread(target=body, daemon=True).start()


def serve(listening, client):
    """Calls client(connection) for each, in its thread, until it is closed."""
    def body():
        while True:
            start(client, listening.accept()[0])
    start(body)


def shut(one):
    """So that a thread that waits for it, or in it, goes on."""
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


class Forwarder:
    """
    Takes a source's connections and connects to the UNIX socket target for
    each. What passes, and how, is its heir's: _accept() takes one after another.
    """
    def __init__(self, target, taken_at):
        self._target = target
        self._listener = taken_at
        self._sockets = []

    def close(self):
        """Also what the kernel would deliver yet."""
        for one in [self._listener, *self._sockets]:
            shut(one)

    _start = staticmethod(start)

    def _take(self):
        """The next connection of the source."""
        source, _ = self._listener.accept()
        self._sockets.append(source)
        return source

    def _connect(self):
        """Its other end."""
        destination = socket.socket(socket.AF_UNIX)
        self._sockets.append(destination)
        destination.connect(self._target)
        return destination
