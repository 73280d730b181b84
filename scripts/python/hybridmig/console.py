"""What the guest says, joined over both QEMUs, and its tick.

The guest's serial line is one stream that moves from the source's QEMU to the
destination's, perhaps in the middle of a line. Each line carries a number
that goes up by one: a line lost, or said twice by two running copies of the
guest, is noted in "faults". The same holds for the tick, one letter each
millisecond, which is stamped here, with the host's clock.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import re
import selectors
import socket
import threading
import time

from .waiting import Watched

LINE = re.compile(r'^@(\d+) (\S+) ?(.*)$')
ANSWERS = ('ok', 'error', 'pong', 'audit', 'stats', 'touch', 'job',
           'files', 'pace', 'changed',
           'sqlite', 'compile')


class GuestError(Exception):
    """The guest did not answer, or refused."""


class Line:
    """One line of the protocol in tests/guest/linux/main.c."""
    def __init__(self, at, side, number, kind, text):
        self.at = at            # time.monotonic() when its end was received
        self.side = side        # where its end came from
        self.number = number
        self.kind = kind
        self.text = text
        self.fields = dict(word.split('=', 1) for word in text.split()
                           if '=' in word)

    def number_of(self, name):
        return int(re.match(r'-?\d+', self.fields[name])[0])


class Tick:
    """A tick, or several that were received together."""
    __slots__ = ('at', 'side', 'count')

    def __init__(self, at, side, count):
        self.at, self.side, self.count = at, side, count


class Console(Watched):
    """Reads the serial lines and ticks of all QEMUs of one guest."""
    def __init__(self, log_file):
        super().__init__()
        self.lines = []
        self.ticks = []
        self.faults = []
        self.side = None        # where the guest was heard last
        self._raw = {}
        self._partial = b''
        self._next_line = None
        self._next_tick = None
        self._listeners = []
        self._log = open(log_file, 'ab', buffering=0)
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._adding = []
        self._thread = threading.Thread(target=self._read, daemon=True,
                                        name='console')
        self._thread.start()

    def attach(self, side, serial, tick):
        """Listen to one more QEMU, through these connected sockets."""
        with self._changed:
            self._raw[side] = serial
            self._adding += [(serial, (side, 'serial')),
                             (tick, (side, 'tick'))]
        self._wake.send(b'.')

    def turn(self):
        """What was the destination is called "src" from now on; the source
        that was is gone. What was heard is forgotten.
        """
        done = threading.Event()
        with self._changed:
            self._raw = {'src': self._raw.pop('dst')}
            self._adding.append((None, done))
            self.lines, self.ticks = [], []
            self.side = 'src'
        self._wake.send(b'.')
        done.wait(10)

    def on_line(self, listener):
        """Have listener(line) called from the console's thread."""
        self._listeners.append(listener)

    def reports(self):
        """The lines so far that say what work was done, ten a second."""
        return [line for line in list(self.lines) if line.kind == 'tp']

    def close(self):
        self._wake.close()
        self._thread.join(5)
        self._log.close()

    def _read(self):
        while True:
            # In the order of the sides' names' reverse: "src" before "dst",
            # for what the source said was said before.
            ready = sorted(self._selector.select(),
                           key=lambda item: (item[0].data or ('', ''))[0],
                           reverse=True)
            now = time.monotonic()
            for key, _ in ready:
                if key.data is None:
                    if not key.fileobj.recv(64):
                        self._stop()
                        return
                    with self._changed:
                        for sock, data in self._adding:
                            if sock:
                                self._selector.register(
                                    sock, selectors.EVENT_READ, data)
                            else:
                                self._rename()
                                data.set()
                        self._adding.clear()
                    continue
                try:
                    data = key.fileobj.recv(65536)
                except OSError:
                    data = b''
                if not data:
                    self._selector.unregister(key.fileobj)
                elif key.data[1] == 'tick':
                    self._on_tick(now, key.data[0], data)
                else:
                    self._on_serial(now, key.data[0], data)

    def _rename(self):
        for key in list(self._selector.get_map().values()):
            if key.data and key.data[0] == 'src':
                self._selector.unregister(key.fileobj)
                key.fileobj.close()
            elif key.data:
                self._selector.modify(key.fileobj, selectors.EVENT_READ,
                                      ('src', key.data[1]))

    def _stop(self):
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()

    def _on_tick(self, now, side, data):
        # A real run of the firmware may write here before the guest does.
        letters = [byte - 97 for byte in data if 97 <= byte < 123]
        for letter in letters:
            if self._next_tick is not None and letter != self._next_tick:
                self._fault(f'tick of {side}: expected '
                            f'{chr(97 + self._next_tick)}, '
                            f'got {chr(97 + letter)}')
            self._next_tick = (letter + 1) % 26
        if letters:
            with self._changed:
                self.ticks.append(Tick(now, side, len(letters)))
                self._changed.notify_all()

    def _on_serial(self, now, side, data):
        self._log.write(data)
        pieces = (self._partial + data).split(b'\n')
        self._partial = pieces.pop()
        new = []
        for piece in pieces:
            text = piece.decode('ascii', 'replace').rstrip('\r')
            match = LINE.match(text)
            if match:
                line = Line(now, side, int(match[1]), match[2], match[3])
                self._check_number(line)
                new.append(line)
            elif text.strip():
                self._fault(f'not a line of the protocol: {text!r}')
        with self._changed:
            self.side = side
            self.lines += new
            self._changed.notify_all()
        for line in new:
            for listener in self._listeners:
                listener(line)

    def _check_number(self, line):
        if self._next_line not in (None, line.number):
            self._fault(f'line of {line.side}: expected number '
                        f'{self._next_line}, got {line.number}')
        self._next_line = line.number + 1
        if line.kind in ('misread', 'fatal'):
            self._fault(f'{line.kind} {line.text}')

    def _fault(self, text):
        self.faults.append(text)

    def seen(self):
        ticks, lines = self.ticks[-1:], self.lines[-1:]
        return 'the guest ' + '; '.join(
            [f'ticked last at {tick.side} '
             f'{time.monotonic() - tick.at:.2f} s ago' for tick in ticks] +
            [f'said last "{line.kind} {line.text[:80]}" at {line.side} '
             f'{time.monotonic() - line.at:.2f} s ago' for line in lines] +
            self.faults[:3] or ['has not been heard'])

    def wait_line(self, kinds, after, timeout):
        def find():
            for line in self.lines[after:]:
                if line.kind in kinds:
                    return line
            return None
        return self.wait(find, timeout)

    def wait_heard(self, side, timeout):
        """Until the guest has ticked on that side after now."""
        start = len(self.ticks)
        return self.wait(lambda: any(tick.side == side
                                     for tick in self.ticks[start:]), timeout,
                         f'a tick at {side}')

    def ask(self, side, text, timeout=30):
        """Send a command to the guest on one side; return its answer."""
        after = len(self.lines)
        try:
            self._raw[side].sendall(text.encode() + b'\n')
        except OSError as exc:
            raise GuestError(f'"{text}" to the guest at {side}: '
                             f'{exc.strerror}') from exc
        line = self.wait_line(ANSWERS, after, timeout)
        if line is None:
            raise GuestError(f'the guest at {side} does not answer "{text}" '
                             f'within {timeout} s')
        if line.kind == 'error':
            raise GuestError(f'"{text}": {line.text}')
        return line
