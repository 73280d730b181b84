"""A source whose machine is another one, and that has much to announce: the
destination reads on until SETTINGS, to be able to refuse them.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import socket
import struct

from common import check, equal
from hybridmig.migrate import DST_CAPABILITIES
from machines import machines

HEADER = struct.pack('>II', 0x5145564d, 3) + b'\x07' + \
    struct.pack('>I', 4) + b'none'
#: Opens the return path, PING 1, and the hello.
HELLO = b'\x08\x00\x01\x00\x00' + b'\x08\x00\x02\x00\x04\x00\x00\x00\x01' + \
    b'\x08\x00\x02\x00\x04\x48\x79\x42\x01'
SETTINGS, SECTIONS, REFUSE = 1, 6, 17
COMMAND, ANSWER = 0x6879, 0x6879
#: As many as HYBRID_SECTIONS_MAX names of some length need, and more.
MANY = 40


def _message(kind, body):
    body = struct.pack('>HH', kind, 1) + body
    return b'\x08' + struct.pack('>HH', COMMAND, len(body)) + body


def _answers(peer):
    """Kinds of the private messages, and their bodies, up to the end."""
    data = b''
    while more := peer.recv(1 << 16):
        data += more
    while len(data) >= 4:
        number, length = struct.unpack('>HH', data[:4])
        body, data = data[4:4 + length], data[4 + length:]
        if number == ANSWER:
            yield struct.unpack('>H', body[:2])[0], body[4:]


def unfit_with_many_sections(logs):
    name = b'0000:00:09.0/e1000'
    section = struct.pack('>IIH', 0, 3, len(name)) + name
    settings = struct.pack('>IIQ', 100, 0, 1)
    with machines(logs) as pair:
        pair.dst.set_capabilities(DST_CAPABILITIES)
        path = f'{pair.run.folder}/unfit.sock'
        pair.dst.qmp('migrate-incoming', {'uri': f'unix:{path}'})
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(20)
            peer.connect(path)
            peer.sendall(HEADER + HELLO +
                         MANY * _message(SECTIONS, section) +
                         _message(SETTINGS, settings))
            answers = dict(_answers(peer))
        check(REFUSE in answers, f'no refusal: {list(answers)}')
        check(b"Machine type" in answers[REFUSE], f'{answers[REFUSE]}')
        check(pair.dst.wait_exit() is not None, 'the destination lives on')


CASES = {'unfit-with-many-sections': unfit_with_many_sections}
