"""The dirty rate is measured by commands that come close together.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import json
import os
import socket
import tempfile

from common import audit, booted, equal, wait_until
from hybridmig.migrate import Migration

SMALL = {'bare': True, 'mem': 64, 'pages': 8192, 'rate': '200mbit'}
WORK = 'hot pages=4000 rate=100000'
TIMES = 20
#: The shortest that is allowed
MEASURE = {'execute': 'calc-dirty-rate', 'arguments': {
    'calc-time': 50, 'calc-time-unit': 'millisecond'}}


class Client:
    """Of a second monitor: sends more than one command at once."""
    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(20)
        self._socket.connect(path)
        self._lines = self._socket.makefile('rb')
        self._lines.readline()
        self.at_once({'execute': 'qmp_capabilities'})

    def at_once(self, *commands):
        """The reasons why they were refused, or None."""
        self._socket.sendall(b''.join(json.dumps(command).encode() + b'\n'
                                      for command in commands))
        answers = []
        while len(answers) < len(commands):
            answer = json.loads(self._lines.readline())
            if 'event' not in answer:
                answers.append(answer.get('error', {}).get('desc'))
        return answers

    def close(self):
        self._lines.close()
        self._socket.close()


def _measured_twice(pair, guest, path):
    """One of two is refused, and QEMU lives on."""
    client = Client(path)
    for n in range(TIMES):
        equal(client.at_once(MEASURE, MEASURE),
              [None, 'the dirty rate is already being measured.'],
              f'answers to pair {n} at {guest.side}')
        wait_until(lambda: guest.qmp('query-dirty-rate')['status'] ==
                   'measured', 'the rate is measured', 60)
    client.close()
    equal(pair.running_sides(), [guest.side], 'the guest runs at')


def dirty_rate_twice(logs):
    """At the source, and while pages are missing where the guest has gone."""
    with tempfile.TemporaryDirectory() as folder:
        path = {side: os.path.join(folder, side) for side in ('src', 'dst')}
        more = {side: ['-qmp', f'unix:{name},server=on,wait=off']
                for side, name in path.items()}
        with booted(logs, WORK, link={'src_extra': more['src']},
                    dst_extra=more['dst'], **SMALL) as pair:
            _measured_twice(pair, pair.src, path['src'])
            migration = Migration(pair, parameters={
                'max-postcopy-bandwidth': 1 << 19, 'hybrid-max-rounds': 1})
            migration.start()
            migration.wait_phase('paging')
            _measured_twice(pair, pair.dst, path['dst'])
            pair.src.set_parameters({'max-postcopy-bandwidth': 0})
            equal(migration.wait_end(), 'completed', 'ended as')
            audit(pair, 'dst')


CASES = {'dirty-rate-twice': dirty_rate_twice}
