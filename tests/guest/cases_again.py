"""The next migration begins as soon as it may, and not a moment before.

A client that sees a migration fail may try again at once: the thread of the one
that failed is still there for a moment.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os

from common import audit, booted, check, equal
from forward import listener, serve, shut
from hybridmig.migrate import Migration
from hybridmig.monitor import QmpError

SMALL = {'bare': True, 'mem': 64, 'pages': 8192, 'rate': '200mbit'}
FAILURES = 60
#: What a command is told while another migration is there
BUSY = ('in progress', 'has not ended yet')


class _Breaks:
    """A destination that closes each connection when something has come."""
    def __init__(self, folder):
        path = os.path.join(folder, 'breaks.sock')
        self.uri = f'unix:{path}'
        self._listener = listener(path)
        serve(self._listener, self._client)

    @staticmethod
    def _client(link):
        with link:
            link.recv(1)

    def close(self):
        shut(self._listener)


def _begin(guest, uri):
    """As soon as it is taken; everything else that is said is an error."""
    while True:
        try:
            guest.qmp('migrate', {'uri': uri})
            return
        except QmpError as exc:
            check(any(text in str(exc) for text in BUSY), str(exc))


def again_at_once(logs):
    with booted(logs, 'idle', **SMALL) as pair:
        pair.src.set_capabilities({'events': True, 'postcopy-ram': False,
                                   'hybrid': False})
        breaks = _Breaks(pair.run.folder)
        failed = Migration(pair)
        for _ in range(FAILURES):
            _begin(pair.src, breaks.uri)
        pair.log.wait(lambda: failed.times('src', 'failed') == FAILURES, 20,
                      'the last failure')
        breaks.close()
        equal(pair.src.status(), 'running', 'the guest is')
        migration = Migration(pair)
        migration.prepare()
        uri = migration.listen()
        _begin(pair.src, uri)
        equal(migration.wait_end(), 'completed', 'ended as')
        audit(pair, 'dst')


CASES = {'again-at-once': again_at_once}
