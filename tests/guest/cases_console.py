"""What a guest says is said once, however full the line is.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import socket

from common import check, equal, wait_until
from machines import machines
from qtest import Queue, Qtest

PORT, FIFO, STATUS = 0x3f8, 0x3fa, 0x3fd
EMPTY = 0x20
HLT = b'\xf4'
#: More than waits in a socket, byte by byte.
MANY = 100_000
#: Of virtio: where it sits, what it has more ports by, and the queue of the
#: first of these for what the guest says
SLOT, PORTS, SAYS = 4, 2, 5
QUEUE, BUFFERS = 0x100000, 0x200000


def _back_end(run, side):
    """And a firmware that does nothing, with no interrupts, for ever."""
    firmware = os.path.join(run.folder, 'firmware')
    with open(firmware, 'wb') as out:
        out.write(HLT * (64 << 10))
    path = os.path.join(run.folder, f'{side}.line')
    return ['-bios', firmware,
            '-chardev', f'socket,id=line,path={path},server=on,wait=off']


def _serial(run, side):
    return [*_back_end(run, side), '-serial', 'chardev:line']


def _virtio(run, side):
    return [*_back_end(run, side), *Qtest.arguments(run, side),
            '-device', f'virtio-serial-pci,disable-modern=on,addr={SLOT},'
            'disable-legacy=off', '-device', 'virtserialport,chardev=line,nr=1']


def _call(pair, side):
    line = socket.socket(socket.AF_UNIX)
    line.connect(os.path.join(pair.run.folder, f'{side}.line'))
    pair.run.callback(line.close)
    return line


def _hear(line):
    """What has come so far."""
    line.setblocking(False)
    heard = b''
    try:
        while data := line.recv(65536):
            heard += data
    except BlockingIOError:
        pass
    return heard


def _say(guest, number):
    guest.hmp(f'o /b {PORT:#x} {number % 256:#x}')


def _until_full(guest):
    """Nobody hears: the line takes no more, nor does the port's queue."""
    guest.hmp(f'o /b {FIFO:#x} 1')
    for number in range(MANY):
        if not int(guest.hmp(f'i /b {STATUS:#x}').split('=')[1], 16) & EMPTY:
            for more in range(number, number + 15):
                _say(guest, more)
            return bytes(n % 256 for n in range(number + 15))
        _say(guest, number)
    raise AssertionError('the line is never full')


def _virtio_until_full(pair):
    """More than the line takes, in buffers of which one is half said."""
    pair.src.qmp('cont')        # only now does it know who listens
    pair.src.qmp('stop')
    said = bytes(n % 251 for n in range(1 << 20))
    queue = Queue(Qtest(pair.run, 'src'), SLOT, SAYS, PORTS, QUEUE)
    for at in range(0, len(said), 1 << 16):
        queue.add(said[at:at + (1 << 16)], BUFFERS + at)
    return said


def _moves(logs, handoff, line=_serial,
           until_full=lambda pair: _until_full(pair.src)):
    with machines(logs, src_extra=['-S'], line=line) as pair:
        lines = {side: _call(pair, side) for side in ('src', 'dst')}
        said = until_full(pair)
        pair.migrate(handoff)
        equal(pair.wait_end(), 'completed', 'ended as')
        heard = _hear(lines['src'])
        # Room again, and the QEMU whose guest has gone must not use it
        pair.src.qmp('query-status')
        pair.dst.qmp('query-status')
        equal(len(_hear(lines['src'])), 0, 'said by the source that was')
        equal(len(_hear(lines['dst'])), 0, 'said before the guest runs')
        check(len(heard) < len(said), 'the line was not full')
        pair.dst.qmp('cont')
        last = b''

        def all_heard():
            nonlocal last
            last += _hear(lines['dst'])
            return len(heard + last) >= len(said)
        wait_until(all_heard, f'{len(said) - len(heard)} more bytes')
        check(heard + last == said, f'said in all: {len(said)} bytes, heard: '
              f'{len(heard)} and {len(last)}')


def full_line(logs):
    """It waited in the serial port: the destination's guest says it."""
    for handoff in (False, True):
        _moves(logs, handoff)


def full_virtio(logs):
    """It waited in a queue of virtio."""
    for handoff in (False, True):
        _moves(logs, handoff, _virtio, _virtio_until_full)


def full_line_stopped(logs):
    """
    A machine that just stands still says the rest: nobody else has it. Such is
    the end of what a guest says that powers itself off.
    """
    with machines(logs, src_extra=['-S'], line=_serial) as pair:
        line = _call(pair, 'src')
        said = _until_full(pair.src)
        heard = b''

        def all_heard():
            nonlocal heard
            heard += _hear(line)
            return len(heard) >= len(said)
        wait_until(all_heard, 'the rest')
        equal(heard, said, 'said in all')


CASES = {f'console-{f.__name__.replace("_", "-")}': f for f in (
    full_line, full_virtio, full_line_stopped)}
