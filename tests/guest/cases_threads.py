"""No more threads can be made: that is no reason to lose a guest.

QEMU ends where a thread cannot be made. So a migration looks, before it begins
and before a recovery, whether those that it needs can be.

SPDX-License-Identifier: GPL-2.0-or-later
"""
from common import audit, booted, check, equal, pause_both
from hybridmig.migrate import Migration
from hybridmig.monitor import QmpError
from memory import own_group

SMALL = {'bare': True, 'mem': 64, 'pages': 8192, 'rate': '200mbit',
         'workload': 'hot pages=5000 rate=200000'}
#: Fewer than a migration needs, more than none
FEW = 3
TOLD = 'threads more'


class _Threads:
    """Of a QEMU in a control group of its own."""
    def __init__(self, group):
        self._group = group
        self.of = group.take

    def few(self):
        self._group.limit(self._group.threads() + FEW)

    def many(self):
        self._group.limit('max')


def _case(body):
    """body(pair, threads), if we may have a control group."""
    def run(logs):
        with own_group(kind='pids') as group:
            if group.path:
                with booted(logs, **SMALL) as pair:
                    body(pair, _Threads(group))
    return run


def _refused(pair, arguments):
    try:
        pair.src.qmp('migrate', arguments)
    except QmpError as exc:
        check(TOLD in str(exc), str(exc))
    else:
        check(False, 'it begins')


def _handoff(pair):
    return Migration(pair, parameters={'hybrid-max-rounds': 1})


def threads_few_source(pair, threads):
    threads.of(pair.src)
    threads.few()
    migration = _handoff(pair)
    migration.prepare()
    uri = migration.listen()
    _refused(pair, {'uri': uri})
    equal(pair.src.status(), 'running', 'the guest is')
    threads.many()
    pair.src.qmp('migrate', {'uri': uri})
    equal(migration.wait_end(30), 'completed', 'ended as')
    audit(pair, 'dst')


def threads_few_destination(pair, threads):
    threads.of(pair.dst)
    threads.few()
    migration = _handoff(pair).start()
    equal(migration.wait_end(30), 'failed', 'ended as')
    error = migration.info().get('error-desc', '')
    check(TOLD in error, error)
    equal(pair.src.status(), 'running', 'the guest is')
    threads.many()
    pair.renew_destination()
    equal(_handoff(pair).start().wait_end(30), 'completed', 'ended as')
    audit(pair, 'dst')


def threads_few_recovery(pair, threads):
    threads.of(pair.src)
    migration = _handoff(pair).start()
    migration.wait_phase('paging')
    pause_both(migration)
    uri = migration.listen(command='migrate-recover', oob=True)
    threads.few()
    _refused(pair, {'uri': uri, 'resume': True})
    equal(pair.src.qmp('query-migrate')['status'], 'postcopy-paused',
          'the source is')
    threads.many()
    pair.src.qmp('migrate', {'uri': uri, 'resume': True})
    equal(migration.wait_end(30), 'completed', 'ended as')
    audit(pair, 'dst')


CASES = {f.__name__.replace('_', '-'): _case(f) for f in (
    threads_few_source, threads_few_destination, threads_few_recovery)}
