"""A vhost-user backend that does nothing but look at the guest's memory.

Started as a program of its own, as what misses a page waits for it:
    vhost_backend.py SOCKET KIND      KIND: a device of KINDS, below
It listens there, or connects if somebody listens already. Lines on its
standard input are asked, a line answers each:

    read ADDRESS COUNT      -> hexadecimal; of the guest's physical memory
    regions                 -> how many it has been told of
    missing                 -> 1 if it was told that pages are missing
    advised                 -> how often it was asked for a userfaultfd

SPDX-License-Identifier: GPL-2.0-or-later
"""
import array
import ctypes
import fcntl
import os
import socket
import struct
import sys
import threading

(GET_FEATURES, SET_MEM_TABLE, SET_LOG_BASE, GET_VRING_BASE,
 GET_PROTOCOL_FEATURES, GET_QUEUE_NUM, GET_CONFIG, POSTCOPY_ADVISE,
 POSTCOPY_LISTEN, POSTCOPY_END) = (1, 5, 6, 11, 15, 17, 24, 28, 29, 30)
VERSION, REPLY, NEED_REPLY = 1, 4, 8
#: LOG_ALL, PROTOCOL_FEATURES, VERSION_1
FEATURES = 1 << 26 | 1 << 30 | 1 << 32
MQ, LOG_SHMFD, REPLY_ACK, PAGEFAULT, CONFIG = (1 << bit for bit in
                                               (0, 1, 3, 8, 9))
#: "blind": one that cannot say which pages it misses
KINDS = {'blk': (LOG_SHMFD | REPLY_ACK | PAGEFAULT | CONFIG, 1),
         'blind': (LOG_SHMFD | REPLY_ACK | CONFIG, 1),
         'net': (MQ | LOG_SHMFD | REPLY_ACK | PAGEFAULT, 4)}
QUEUE_SIZE = 64
#: sectors, ..., number of queues at 34
BLK_CONFIG = struct.pack('<Q26xH24x', 2048, 1)

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int,
                      ctypes.c_int, ctypes.c_int, ctypes.c_long]
PROT_READ_WRITE, MAP_SHARED_NORESERVE = 3, 1 | 0x4000
SYS_USERFAULTFD = 323
UFFDIO_API, UFFDIO_REGISTER = 0xc018aa3f, 0xc020aa00
UFFD_API, MISSING = 0xaa, 1


def _userfaultfd():
    fd = LIBC.syscall(SYS_USERFAULTFD, os.O_CLOEXEC | os.O_NONBLOCK)
    if fd < 0:
        raise OSError(ctypes.get_errno(), 'userfaultfd')
    fcntl.ioctl(fd, UFFDIO_API, struct.pack('QQQ', UFFD_API, 0, 0))
    return fd


class Region:
    """Of the guest's memory, mapped here."""
    def __init__(self, gpa, size, offset, fd):
        self.gpa, self.size = gpa, size
        self.length = size + offset
        self.map = LIBC.mmap(None, self.length, PROT_READ_WRITE,
                             MAP_SHARED_NORESERVE, fd, 0)
        os.close(fd)
        self.base = self.map + offset

    def register(self, uffd):
        fcntl.ioctl(uffd, UFFDIO_REGISTER, struct.pack(
            'QQQQ', self.map, self.length, MISSING, 0))

    def read(self, gpa, count):
        """Without the interpreter's lock: the page may be a long time coming."""
        data = ctypes.create_string_buffer(count)
        ctypes.memmove(data, self.base + gpa - self.gpa, count)
        return data.raw


class Backend:
    """One connection of QEMU's."""
    def __init__(self, sock, kind):
        self._socket = sock
        self._protocol, self._queues = KINDS[kind]
        self.regions = []
        self._uffd = None
        self.advised = 0
        self.missing = False

    def serve(self):
        while self._message():
            pass

    def _receive(self, count, fds=0):
        data, passed = b'', array.array('i')
        while len(data) < count:
            part, control, _, _ = self._socket.recvmsg(
                count - len(data), socket.CMSG_SPACE(4 * fds) if fds else 0)
            if not part:
                return None, []
            for _, _, raw in control:
                passed.frombytes(raw)
            data += part
        return data, list(passed)

    def _reply(self, request, data, fds=()):
        self._socket.sendmsg(
            [struct.pack('<III', request, VERSION | REPLY, len(data)) + data],
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
              array.array('i', fds))] if fds else [])

    def _message(self):
        head, fds = self._receive(12, 16)
        if head is None:
            return False
        request, flags, size = struct.unpack('<III', head)
        data = self._receive(size)[0] if size else b''
        simple = {GET_FEATURES: FEATURES, GET_QUEUE_NUM: self._queues,
                  GET_PROTOCOL_FEATURES: self._protocol}
        if request in simple:
            self._reply(request, struct.pack('<Q', simple[request]))
        elif request == GET_CONFIG:
            length = len(data) - 12
            self._reply(request, data[:12] + BLK_CONFIG[:length].ljust(
                length, b'\0'))
        elif request == GET_VRING_BASE:
            self._reply(request, data[:4] + struct.pack('<I', 0))
        elif request == POSTCOPY_ADVISE:
            self.advised += 1
            self._uffd = _userfaultfd()
            self._reply(request, b'', [self._uffd])
        elif request == SET_MEM_TABLE:
            self._memory(data, fds, flags)
            fds = []
        else:
            if request == POSTCOPY_LISTEN:
                self.missing = True
            elif request == POSTCOPY_END:
                self.missing = False
                os.close(self._uffd)
                self._uffd = None
            if flags & NEED_REPLY or request == SET_LOG_BASE:
                self._reply(request, struct.pack('<Q', 0))
        for fd in fds:
            os.close(fd)
        return True

    def _memory(self, data, fds, flags):
        count, = struct.unpack_from('<I', data)
        self.regions = []
        told = data[:8]
        for number, fd in enumerate(fds[:count]):
            gpa, size, address, offset = struct.unpack_from(
                '<QQQQ', data, 8 + 32 * number)
            region = Region(gpa, size, offset, fd)
            self.regions.append(region)
            told += struct.pack('<QQQQ', gpa, size, region.base, offset)
        if self.missing:
            self._reply(SET_MEM_TABLE, told)
            self._receive(12 + 8)       # QEMU knows where the memory is
            for region in self.regions:
                region.register(self._uffd)
        elif flags & NEED_REPLY:
            self._reply(SET_MEM_TABLE, struct.pack('<Q', 0))

    def answer(self, line):
        name, *numbers = line.split()
        if name == 'regions':
            return len(self.regions)
        if name == 'missing':
            return int(self.missing)
        if name == 'advised':
            return self.advised
        gpa, count = (int(number, 0) for number in numbers)
        region = next(region for region in self.regions
                      if region.gpa <= gpa < region.gpa + region.size)
        return region.read(gpa, count).hex()


def main():
    path, kind = sys.argv[1:]
    sock = socket.socket(socket.AF_UNIX)
    if os.path.exists(path):
        sock.connect(path)
    else:
        sock.bind(path)
        sock.listen()
        print('ready', flush=True)
        sock = sock.accept()[0]
    backend = Backend(sock, kind)

    def answers():
        for line in sys.stdin:
            print(backend.answer(line), flush=True)
        os._exit(0)
    threading.Thread(target=answers, daemon=True).start()
    backend.serve()


if __name__ == '__main__':
    main()
