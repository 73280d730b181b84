"""Failures: until GRANT the source goes on, afterwards it can be recovered.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import time

from common import HOT, IDLE, audit, booted, check, cut_in_paging, equal, \
    freeze, pages_add_up, recover_cut
from hybridmig.migrate import Migration
from hybridmig.monitor import QmpError
from hybridmig.net import DST_ADDRESS
from hybridmig.waiting import until


def _goes_back(logs, status, arrange):
    """arrange(pair, migration) sees to it that the guest stays here."""
    with booted(logs) as pair:
        migration = Migration(pair,
                              parameters={'hybrid-handoff-timeout': 1000})
        arrange(pair, migration)
        migration.start()
        equal(migration.wait_end(), status, 'ended as')
        if migration.event('src', 'STOP'):
            check(pair.log.wait(lambda: migration.event('src', 'RESUME'), 10),
                  'the guest was not resumed')
        pair.link.heal()
        # ready to migrate again at once
        pair.renew_destination()
        again = Migration(pair)
        again.src_caps['pause-before-switchover'] = False
        again.start()
        equal(again.wait_end(), 'completed', 'the second migration')
        check(again.hybrid()['agreed'], 'the second one is not hybrid')
        audit(pair, 'dst')


def _in_rounds(action):
    def arrange(pair, migration):
        migration.when(lambda: action(pair, migration), 'src',
                       'MIGRATION_HYBRID_PHASE', phase='rounds', round=1)
    return arrange


def _in_handoff(action):
    """
    The guest is stopped and the package on its way, but the destination
    cannot load it before action() is done.
    """
    def arrange(pair, migration):
        def act():
            freeze(pair)
            pair.src.qmp('migrate-continue', {'state': 'pre-switchover'})
            migration.wait_status('src', 'device')
            action(pair, migration)
            freeze(pair, False)
        migration.src_caps['pause-before-switchover'] = True
        migration.when(act, 'src', 'MIGRATION', status='pre-switchover')
    return arrange


def _cancel(_pair, migration):
    migration.cancel()


def _kill(pair, _migration):
    pair.dst.kill()


def _cut(pair, migration):
    """Silently: nobody is told, only the time-out helps."""
    pair.link.cut()
    migration.wait_status('src', 'failed')


def cancel_in_rounds(logs):
    _goes_back(logs, 'cancelled', _in_rounds(_cancel))


def cancel_in_handoff(logs):
    _goes_back(logs, 'cancelled', _in_handoff(_cancel))


def destination_dies_in_rounds(logs):
    _goes_back(logs, 'failed', _in_rounds(_kill))


def destination_dies_in_handoff(logs):
    _goes_back(logs, 'failed', _in_handoff(_kill))


def link_dies_in_handoff(logs):
    _goes_back(logs, 'failed', _in_handoff(_cut))


def _paused(pair, migration):
    migration.pause()
    for guest in ('src', 'dst'):
        migration.wait_status(guest, 'postcopy-paused', timeout=20)


def _recovers(logs, preempt):
    with booted(logs) as pair:
        migration = Migration(pair)
        migration.at_both({'postcopy-preempt': preempt})
        cut_in_paging(migration)
        migration.start()
        recover_cut(migration)
        pages_add_up(migration, lost=True)
        audit(pair, 'dst')


def recover_in_paging(logs):
    _recovers(logs, False)


def recover_in_paging_preempt(logs):
    _recovers(logs, True)


def _grant_lost(logs, workload):
    """
    The package is in the destination's socket, but what follows it is lost:
    the destination says LOADED, and GRANT never arrives.
    """
    with booted(logs, workload) as pair:
        migration = Migration(pair,
                              parameters={'hybrid-handoff-timeout': 6000})

        def drained():
            """All that was sent is at the link's other end."""
            before = pair.link.bytes_sent()
            time.sleep(0.5)
            return pair.link.bytes_sent() - before < 10000

        def lose():
            until(drained, 30, 'the link is at rest')
            freeze(pair)
            before = pair.link.bytes_sent()
            pair.src.qmp('migrate-continue', {'state': 'pre-switchover'})
            until(lambda: pair.link.bytes_sent() - before > 20000 and
                  drained(), 30, 'the package gets through the link')
            pair.link.cut('to-dst')
            freeze(pair, False)
        migration.src_caps['pause-before-switchover'] = True
        migration.when(lose, 'src', 'MIGRATION', status='pre-switchover')
        migration.start()
        migration.wait_phase('resume')
        equal(pair.dst.status(), 'inmigrate', 'destination')
        try:
            migration.cancel()
            raise AssertionError('cancelled after GRANT')
        except QmpError:
            pass
        if workload == HOT:
            migration.wait_status('src', 'postcopy-active', timeout=20)
        else:
            migration.wait_status('src', 'postcopy-paused', timeout=40)
        _paused(pair, migration)
        equal(pair.running_sides(), [], 'while paused the guest runs at')
        pair.link.heal()
        migration.recover()
        equal(migration.wait_end(), 'completed', 'ended as')
        audit(pair, 'dst')


def grant_lost(logs):
    _grant_lost(logs, HOT)


def grant_lost_precopy(logs):
    _grant_lost(logs, IDLE)


def bad_uri(logs):
    with booted(logs) as pair:
        migration = Migration(pair)
        migration.prepare()
        try:
            pair.src.qmp('migrate', {'uri': 'bogus:nowhere'})
            raise AssertionError('a bad URI was accepted')
        except QmpError:
            pass
        pair.src.qmp('migrate', {'uri': f'tcp:{DST_ADDRESS}:1'})
        equal(migration.wait_end(), 'failed', 'ended as')
        audit(pair, 'src')


CASES = {f.__name__.replace('_', '-'): f for f in (
    cancel_in_rounds, cancel_in_handoff, destination_dies_in_rounds,
    destination_dies_in_handoff, link_dies_in_handoff, recover_in_paging,
    recover_in_paging_preempt, grant_lost, grant_lost_precopy, bad_uri)}
