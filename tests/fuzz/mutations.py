"""What is done to the bytes between two QEMUs: chosen by a seed, done once.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import random
import re
import struct

#: Commands of the stream: QEMU's own by number, and the private one.
COMMAND = re.compile(rb'\x08(?:\x00[\x01-\x0b]|\x68\x79)')
PACKAGED = b'\x08\x00\x07\x00\x04'
#: The first message with bases, behind its kind and version.
BASE = re.compile(rb'\x08\x68\x79..\x00\x07\x00\x01', re.DOTALL)
BACK_HEAD = 4
NUMBERS = (0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000,
           0x7fffffff, 0x80000000, 0xffffffff, 1 << 40, (1 << 63) - 1, 1 << 63,
           (1 << 64) - 1)
#: Where, and how often.
PLACES = {
    'early': 3, 'command': 4, 'pages': 2, 'package': 4, 'behind': 3,
    'back': 6, 'second': 1, 'bases': 2,
}
#: Messages that a destination can say, as type and body; for insertion.
SAYS = [(1, b'\0\0\0\0'), (1, b'\0\0\0\1'), (2, b'HyB\x81'), (2, b'HyB\x01'),
        (3, struct.pack('>QIB', 0, 4096, 6) + b'pc.ram'),
        (3, struct.pack('>QIB', 1 << 40, 4096, 6) + b'pc.ram'),
        (4, struct.pack('>QI', 8192, 4096)), (5, b'\x06pc.ram'),
        (6, struct.pack('>I', 1)), (7, b''), (9, b''), (0xffff, b'')] + \
       [(0x6879, struct.pack('>HH', kind, 1) + body)
        for kind in (16, 17, 18, 19, 20, 21, 22, 23, 24, 27, 99)
        for body in (b'', bytes(8), bytes(40), b'\xff' * 64)] + \
       [(0x6879, struct.pack('>HHI', 25, 1, n)) for n in (0, 1, 700)] + \
       [(0x6879, struct.pack('>HHH', 26, 1, 6) + b'pc.ram' +
         struct.pack('>Q', offset)) for offset in (0, 20 << 20, 1 << 40)]


class Mutation:
    """One change of one of the streams; all of it from seed and number."""
    def __init__(self, seed, number):
        self.random = r = random.Random(f'{seed}-{number}')
        self.preempt = r.random() < 0.3
        self.place = r.choices(list(PLACES), list(PLACES.values()))[0]
        if self.place == 'second':
            self.preempt = True
        self.how = r.choice(('flip', 'byte', 'number', 'drop',
                             'insert', 'again', 'swap', 'end'))
        self.count = r.choice((1, 1, 2, 3, 5, 8, 20))   # commands, messages
        self.offset = int(2 ** r.uniform(0, {
            'early': 11, 'command': 6, 'pages': 22, 'package': 15,
            'behind': 20, 'second': 17, 'bases': 18}.get(self.place, 0))) - 1
        self.size = r.choice((1, 2, 4, 8, 16, 100, 4096))
        self.done = None            # what was done

    @property
    def back(self):
        return self.place == 'back'

    @property
    def checked(self):
        """Whatever this does to bases, the sum over the page finds it."""
        return self.place == 'bases' and self.offset < 20000 and \
            self.how in ('flip', 'byte', 'number')

    def __str__(self):
        where = f'{self.place} {self.count}+{self.offset}'
        return f'{where}, {self.how} {self.size}: {self.done or "not reached"}'

    def change(self, data, at):
        """The bytes that come instead; None: the stream ends there."""
        r = self.random
        size = min(self.size, len(data) - at)
        piece = data[at:at + size]
        before, after = data[:at], data[at + size:]
        if self.how == 'end':
            self.done = 'the stream ends'
            return None
        if self.how == 'flip':
            new = bytes([piece[0] ^ 1 << r.randrange(8)]) + piece[1:]
        elif self.how == 'byte':
            new = bytes(r.choice((0, 1, 0x7f, 0x80, 0xff, r.randrange(256)))
                        for _ in piece)
        elif self.how == 'number':
            width = r.choice((1, 2, 4, 8))
            value = r.choice(NUMBERS) & ((1 << 8 * width) - 1)
            new = value.to_bytes(width, 'big')
            after = data[at + width:]
        elif self.how == 'drop':
            new = b''
        elif self.how == 'insert':
            new = r.randbytes(size) + piece
        elif self.how == 'again':
            new = piece + piece
        else:
            half = size // 2
            new = piece[half:] + piece[:half]
        self.done = f'{piece[:12].hex()} became {new[:12].hex()}'
        return before + new + after

    def change_message(self, messages):
        """messages: this one and, if one is waited for, the one before."""
        r = self.random
        message = messages[-1]
        if self.how == 'end':
            return self.change(message, 0)
        kind = r.choice(('drop', 'again', 'swap', 'insert', 'insert', 'type',
                         'length', 'inside', 'inside', 'inside'))
        if kind == 'drop':
            new = b''
        elif kind == 'again':
            new = message * r.choice((2, 3, 1000))
        elif kind == 'swap' and len(messages) > 1:
            new = messages[-1] + messages[-2]
        elif kind == 'insert':
            head, body = r.choice(SAYS)
            new = struct.pack('>HH', head, len(body)) + body + message
        elif kind == 'type':
            new = struct.pack('>H', r.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 0x6879,
                                              0xffff))) + message[2:]
        elif kind == 'length':
            new = message[:2] + struct.pack(
                '>H', r.choice(NUMBERS) & 0xffff) + message[4:]
        else:
            at = r.randrange(len(message))
            new = self.change(message, at)
            if new is None:
                return None
        self.done = f'{kind}: {message[:24].hex()} became {new[:24].hex()}'
        return new


class Forward:
    """The bytes of a source, on their way: returns what comes instead."""
    def __init__(self, mutation, second):
        self.m = mutation
        self.mine = mutation.place == 'second' if second else \
            mutation.place not in ('back', 'second')
        self.seen = 0               # bytes before this piece
        self.commands = 0
        self.target = None          # offset in the stream
        if mutation.place in ('early', 'pages', 'second'):
            self.target = mutation.offset

    def _find(self, data):
        if self.m.place == 'command':
            for match in COMMAND.finditer(data):
                self.commands += 1
                if self.commands == self.m.count:
                    return match.start()
        elif self.m.place == 'bases':
            match = BASE.search(data)
            return match.end() if match else None
        elif self.m.place in ('package', 'behind'):
            at = data.find(PACKAGED)
            if at >= 0:
                length = struct.unpack('>I', (data[at + 5:at + 9] +
                                              bytes(4))[:4])[0]
                return at + 9 + (min(length, 1 << 20)
                                 if self.m.place == 'behind' else 0)
        return None

    def piece(self, data):
        if self.mine and not self.m.done:
            if self.target is None:
                found = self._find(data)
                if found is not None:
                    self.target = self.seen + found + self.m.offset
            at = None if self.target is None else self.target - self.seen
            if at is not None and 0 <= at < len(data):
                self.seen += len(data)
                return self.m.change(data, at)
        self.seen += len(data)
        return data
