"""Ports and memory of a QEMU from outside: its qtest protocol, and by it a
device for a queue of virtio.

For a guest that does something which no program in it need be written for.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import socket
import struct

PCI_ADDRESS, PCI_DATA = 0xcf8, 0xcfc
PORTS = 0xc000              # where the device's are put
FEATURES, QUEUE_PAGE, QUEUE_SIZE, QUEUE, NOTIFY, STATUS = 4, 8, 12, 14, 16, 18
ALL_SET = 7                 # driver found, loaded, ready
PAGE = 4096


class Qtest:
    """Of a QEMU with the arguments of arguments()."""
    def __init__(self, run, side):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(self._path(run, side))
        run.callback(self._socket.close)
        self._answers = self._socket.makefile()

    @staticmethod
    def _path(run, side):
        return os.path.join(run.folder, f'{side}.qtest')

    @classmethod
    def arguments(cls, run, side):
        return ['-chardev', f'socket,id=qtest,path={cls._path(run, side)},'
                'server=on,wait=off', '-qtest', 'chardev:qtest',
                '-qtest-log', 'none']

    def do(self, *words):
        """Returns the number that it answers, if any."""
        line = ' '.join(f'{w:#x}' if isinstance(w, int) else w for w in words)
        self._socket.sendall(line.encode() + b'\n')
        answer = self._answers.readline().split()
        if answer[:1] != ['OK']:
            raise RuntimeError(f'{line}: {answer}')
        return int(answer[1], 16) if len(answer) > 1 else None

    def write(self, address, data):
        self.do('write', address, len(data), f'0x{data.hex()}')

    def configure(self, slot, register, value, size='l'):
        self.do('outl', PCI_ADDRESS, 1 << 31 | slot << 11 | register & ~3)
        self.do(f'out{size}', PCI_DATA + register % 4, value)


class Queue:
    """The only one that is used, of a legacy virtio device on PCI."""
    def __init__(self, qtest, slot, number, features, address):
        self._qtest, self._number, self._address = qtest, number, address
        qtest.configure(slot, 0x10, PORTS)
        qtest.configure(slot, 0x04, 5, 'w')     # ports, and it reads memory
        qtest.do('outl', PORTS + FEATURES, features)
        qtest.do('outw', PORTS + QUEUE, number)
        self._size = qtest.do('inw', PORTS + QUEUE_SIZE)
        qtest.do('outl', PORTS + QUEUE_PAGE, address // PAGE)
        qtest.do('outb', PORTS + STATUS, ALL_SET)
        self._added = 0

    def add(self, data, at):
        """A buffer for the device to read."""
        index = self._added % self._size
        available = self._address + 16 * self._size
        self._qtest.write(at, data)
        self._qtest.write(self._address + 16 * index,
                          struct.pack('<QIHH', at, len(data), 0, 0))
        self._qtest.write(available + 4 + 2 * index,
                          struct.pack('<H', index))
        self._added += 1
        self._qtest.write(available + 2, struct.pack('<H', self._added))
        self._qtest.do('outw', PORTS + NOTIFY, self._number)
