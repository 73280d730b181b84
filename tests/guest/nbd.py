"""A disk of an NBD server that flushes slowly.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import struct
import time

from forward import listener, serve

_OPTION = 0x49484156454f5054
_OPT_REPLY = 0x3e889045565a9
_REQUEST, _REPLY = 0x25609513, 0x67446698
_READ, _WRITE, _DISC, _FLUSH = range(4)
#: of an export: has flags, can flush
_FLAGS = 1 | 4


class SlowDisk:
    """flushes: how many have ended."""
    def __init__(self, path, size=1 << 20, flush_takes=0.0):
        self.path, self.size, self.flush_takes = path, size, flush_takes
        self.flushes, self.writes = 0, 0
        self._listener = listener(path)
        serve(self._listener, self._client)

    def _client(self, connection):
        with connection, connection.makefile('rb') as stream:
            try:
                self._handshake(connection, stream)
                self._requests(connection, stream)
            except (OSError, struct.error):
                pass            # the client is gone

    def _handshake(self, connection, stream):
        connection.sendall(b'NBDMAGIC' + struct.pack('>QH', _OPTION, 3))
        stream.read(4)
        while True:
            _, option, length = struct.unpack('>QII', stream.read(16))
            stream.read(length)
            if option in (6, 7):        # INFO, GO
                info = struct.pack('>HQH', 0, self.size, _FLAGS)
                connection.sendall(struct.pack('>QIII', _OPT_REPLY, option, 3,
                                               len(info)) + info)
                connection.sendall(struct.pack('>QIII', _OPT_REPLY, option, 1,
                                               0))
                if option == 7:
                    return
            else:
                connection.sendall(struct.pack('>QIII', _OPT_REPLY, option,
                                               0x80000001, 0))

    def _requests(self, connection, stream):
        while True:
            _, _, kind, cookie, _, length = struct.unpack(
                '>IHHQQI', stream.read(28))
            data = b''
            if kind == _DISC:
                return
            if kind == _READ:
                data = bytes(length)
            elif kind == _WRITE:
                stream.read(length)
                self.writes += 1
            elif kind == _FLUSH:
                time.sleep(self.flush_takes)
                self.flushes += 1
            connection.sendall(struct.pack('>IIQ', _REPLY, 0, cookie) + data)

    def close(self):
        self._listener.close()
        os.unlink(self.path)
