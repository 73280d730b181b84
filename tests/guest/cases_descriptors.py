"""No more descriptors can be opened: that is no reason to lose a guest.

A destination that could open too few says so before the first page.  If they
become few later, it fails, and the guest stays; QEMU does not end of it.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import resource

from common import audit, booted, check, equal, wait_until
from hybridmig.migrate import Migration

SMALL = {'bare': True, 'mem': 64, 'pages': 8192, 'rate': '200mbit',
         'workload': 'hot pages=5000 rate=200000'}
#: Fewer than an incoming postcopy needs, enough for its connection
FEW = 4
TOLD = 'descriptors more'
#: At the switch, up to as many as it opens from there on
AT_SWITCH = range(6)


def _let_open(guest, free):
    """So many more."""
    pid = guest.machine.get_pid()
    taken = {int(fd) for fd in os.listdir(f'/proc/{pid}/fd')}
    limit = 0
    while limit in taken or free:
        free -= limit not in taken
        limit += 1
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, hard))


def _handoff(pair, preempt):
    migration = Migration(pair, parameters={'hybrid-max-rounds': 1})
    migration.at_both({'postcopy-preempt': preempt})
    return migration


def descriptors_few(logs):
    for preempt in (False, True):
        with booted(logs, **SMALL) as pair:
            migration = _handoff(pair, preempt)
            migration.prepare()
            uri = migration.listen()
            _let_open(pair.dst, FEW)
            pair.src.qmp('migrate', {'uri': uri})
            equal(migration.wait_end(30), 'failed', 'ended as')
            error = migration.info().get('error-desc', '')
            check(TOLD in error and 'RLIMIT_NOFILE' in error, error)
            equal(migration.hybrid()['pages']['total'], 0, 'pages')
            check(pair.log.find('src', 'STOP') is None, 'it stood still')
            pair.renew_destination()
            equal(_handoff(pair, preempt).start().wait_end(30), 'completed',
                  'ended as')
            audit(pair, 'dst')


def descriptors_few_at_the_switch(logs):
    with booted(logs, **SMALL) as pair:
        for free in AT_SWITCH:
            print(f'# {free} descriptors')
            migration = _handoff(pair, False)
            migration.at_both({'pause-before-switchover': True})
            migration.start()
            migration.wait_status('src', 'pre-switchover')
            _let_open(pair.dst, free)
            pair.src.qmp('migrate-continue', {'state': 'pre-switchover'})
            if migration.wait_end(30) == 'completed':
                break
            wait_until(lambda: pair.running_sides() == ['src'],
                       'the guest runs at the source')
            pair.renew_destination()    # raises if a signal has ended it
            pair.log.forget()
        else:
            equal(_handoff(pair, False).start().wait_end(30), 'completed',
                  'ended as')
        audit(pair, 'dst')


CASES = {f.__name__.replace('_', '-'): f for f in (
    descriptors_few, descriptors_few_at_the_switch)}
