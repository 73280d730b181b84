"""What a guest says is said once, however full the line is.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import socket

from common import check, equal, wait_until
from machines import machines

PORT, FIFO, STATUS = 0x3f8, 0x3fa, 0x3fd
EMPTY = 0x20
#: More than waits in a socket, byte by byte.
MANY = 100_000


def _line(run, side):
    """QEMU's arguments, and where it listens."""
    path = os.path.join(run.folder, f'{side}.serial')
    return ['-chardev', f'socket,id=line,path={path},server=on,wait=off',
            '-serial', 'chardev:line']


def _call(pair, side):
    line = socket.socket(socket.AF_UNIX)
    line.connect(os.path.join(pair.run.folder, f'{side}.serial'))
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


def _moves(logs, handoff):
    with machines(logs, src_extra=['-S'], line=_line) as pair:
        lines = {side: _call(pair, side) for side in ('src', 'dst')}
        said = _until_full(pair.src)
        pair.migrate(handoff)
        equal(pair.wait_end(), 'completed', 'ended as')
        heard = _hear(lines['src'])
        # Room again, and the QEMU whose guest has gone must not use it
        pair.src.qmp('query-status')
        pair.dst.qmp('query-status')
        equal(_hear(lines['src']), b'', 'said by the source that was')
        equal(_hear(lines['dst']), b'', 'said before the guest runs')
        check(len(heard) < len(said), 'the line was not full')
        pair.dst.qmp('cont')
        last = b''

        def all_heard():
            nonlocal last
            last += _hear(lines['dst'])
            return len(heard + last) >= len(said)
        wait_until(all_heard, f'{len(said) - len(heard)} more bytes')
        equal(heard + last, said, 'said in all')


def full_line(logs):
    """It waited in the serial port: the destination's guest says it."""
    for handoff in (False, True):
        _moves(logs, handoff)


def full_line_stopped(logs):
    """Nothing leaves a machine that stands still; all of it, when it runs."""
    with machines(logs, src_extra=['-S'], line=_line) as pair:
        line = _call(pair, 'src')
        said = _until_full(pair.src)
        heard = _hear(line)
        pair.src.qmp('query-status')
        equal(_hear(line), b'', 'said while it stands still')
        check(len(heard) < len(said), 'all was said while it stood still')
        pair.src.qmp('cont')

        def all_heard():
            nonlocal heard
            heard += _hear(line)
            return len(heard) >= len(said)
        wait_until(all_heard, 'the rest')
        equal(heard, said, 'said in all')


CASES = {f'console-{f.__name__.replace("_", "-")}': f for f in (
    full_line, full_line_stopped)}
