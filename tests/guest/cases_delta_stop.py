"""All differences fit the stop: the migration completes as precopy.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import time

from cases_delta import (HOT_PAGES, PREEMPT, SMALL, Spoils, audit_kept,
                         deltas_of_both, there_and_back)
from channels import Channels
from common import UNPATCHED, audit, booted, check, ends_hybrid, equal
from hybridmig.migrate import Migration
from hybridmig.record import trace_lines
from hybridmig.waiting import until
from memory import MIB, own_group, room_goes

LIMIT_MS = 300
PARAMETERS = {'hybrid-delta-cache': 64 << 20, 'downtime-limit': LIMIT_MS}
WHOLE = 'hot pages=7000 rate=0'
#: Through a proxy, whose own rate is not known
SLOW = {'max-bandwidth': 50 << 20}


def _migration(pair, caps=None, parameters=None, **how):
    migration = Migration(pair, parameters={**PARAMETERS, **(parameters or {})},
                          **how)
    migration.at_both(caps)
    return migration


def _sent_in_stop(migration):
    """Nothing was missing at the destination, and few bytes were sent."""
    d = deltas_of_both(migration)
    equal(d['decision'], 'in-stop', 'decision')
    check(d['pages'] > HOT_PAGES * 3 / 4, f'few differences: {d}')
    check(d['bytes'] < d['pages'] * 409, f'they are large: {d}')
    equal(d['refused'], 0, 'refused')
    pages = migration.hybrid()['pages']
    equal((pages['on-demand'], pages['pushed']), (0, 0), 'on demand, pushed')
    check(not migration.event('src', 'MIGRATION_HYBRID_PHASE',
                              phase='paging'), 'there was paging')


def _short(migration):
    """
    As short as it may be, but for how long the machine has kept the QEMUs
    waiting.
    """
    may = LIMIT_MS * 1000 + migration.pair.waited.us()
    took = migration.hybrid()['downtime-us']
    check(took <= may, f'downtime {took} us, may be {may}')


def _completes(migration):
    h = ends_hybrid(migration, 'complete')
    equal(h['end-reason'], 'no-gain', 'why the rounds ended')
    _sent_in_stop(migration)
    _short(migration)


def _small(logs, caps=None, smp=1, workload=SMALL, **how):
    with booted(logs, workload, smp) as pair:
        migration = _migration(pair, caps, **how)
        migration.start()
        _completes(migration)
        audit(pair, 'dst')


def stop_small(logs):
    _small(logs)


def stop_preempt_smp2(logs):
    _small(logs, PREEMPT, 2, SMALL + ' threads=2')


def stop_tls(logs):
    _small(logs, PREEMPT, transport='tls')


def _handed_over(logs, workload=SMALL, caps=None, parameters=None, before=None):
    """Not in the stop: what both sides say of differences then."""
    with booted(logs, workload) as pair:
        migration = _migration(pair, caps, parameters)
        if before:
            before(migration)
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        equal(migration.hybrid()['action'], 'handoff', 'action')
        check(migration.event('src', 'MIGRATION_HYBRID_PHASE',
                              phase='paging'), 'there was no paging')
        deltas = [migration.hybrid(side).get('deltas')
                  for side in ('src', 'dst')]
        audit(pair, 'dst')
    return deltas


def stop_none_kept(logs):
    """Without bases the same guest does not converge."""
    equal(_handed_over(logs, parameters={'hybrid-delta-cache': 0}),
          [None, None], 'differences')


def stop_whole_pages(logs):
    """A guest that overwrites pages has no differences."""
    src, _dst = _handed_over(logs, WHOLE)
    check(src['decision'] != 'in-stop' and src['pages'] < HOT_PAGES / 8,
          f'in the stop: {src}')


def stop_few_slots(logs):
    """Most of what is dirty has no base, and does not fit."""
    src, _dst = _handed_over(logs, parameters={
        'hybrid-delta-cache': 1000 * 4096, 'downtime-limit': 200})
    check(0 < src['bases'] <= 1000, f'bases: {src}')
    equal(src['decision'], 'worth', 'decision')


def stop_xbzrle(logs):
    """What the capability has of a page it would not know to be stale."""
    src, dst = _handed_over(logs, caps={'xbzrle': True})
    equal(src['decision'], 'worth', 'decision')
    check(src['pages'] > HOT_PAGES / 2, f'few differences: {src}')
    equal(src['pages'], dst['pages'], 'differences')


def stop_plain_peer(logs):
    with booted(logs, SMALL, dst=UNPATCHED) as pair:
        migration = _migration(pair)
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        equal(migration.hybrid()['action'], 'handoff', 'action')
        check('deltas' not in migration.hybrid(), 'with whom?')
        audit(pair, 'dst')


def stop_requested(logs):
    """Who has asked for postcopy gets it."""
    with booted(logs, SMALL, rate='100mbit') as pair:
        migration = _migration(pair)
        migration.start()
        until(lambda: any('hybrid_delta_pass' in line
                          for line in trace_lines(pair.src)), 60, 'the pass')
        pair.src.qmp('migrate-start-postcopy')
        ends_hybrid(migration, 'handoff')
        equal(migration.hybrid()['deltas']['decision'], 'no-time', 'decision')
        audit(pair, 'dst')


def _stopped(pair):
    """In the stop, where the monitor may still say something."""
    migration = _migration(pair)
    migration.at_both({'pause-before-switchover': True})
    migration.start()
    migration.wait_status('src', 'pre-switchover')
    equal(migration.hybrid()['action'], 'complete', 'action')
    return migration


def _go_on(migration):
    migration.pair.src.qmp('migrate-continue', {'state': 'pre-switchover'})


def stop_paused(logs):
    """The monitor takes its time: nothing changes meanwhile."""
    with booted(logs, SMALL) as pair:
        migration = _stopped(pair)
        time.sleep(1)
        _go_on(migration)
        ends_hybrid(migration, 'complete')
        _sent_in_stop(migration)
        audit(pair, 'dst')


def stop_too_much(logs):
    """More than was foreseen: handed over after all, with the bases."""
    with booted(logs, SMALL) as pair:
        migration = _stopped(pair)
        pair.src.set_parameters({'downtime-limit': 1})
        _go_on(migration)
        ends_hybrid(migration, 'handoff')
        d = deltas_of_both(migration)
        equal(d['decision'], 'worth', 'decision')
        check(d['pages'] > HOT_PAGES * 3 / 4, f'few differences: {d}')
        check(migration.hybrid()['stop']['discards'], 'nothing was discarded')
        audit(pair, 'dst')


def stop_cancelled(logs):
    """The guest goes on here; then another migration has its own bases."""
    with booted(logs, SMALL, replayed=False) as pair:
        migration = _stopped(pair)
        migration.cancel()
        equal(migration.wait_end(), 'cancelled', 'ended as')
        equal(migration.hybrid()['deltas']['memory'], 0, 'memory at the end')
        check(pair.src.status() == 'running', 'the guest stands still')
        pair.renew_destination()
        pair.src.set_capabilities({'pause-before-switchover': False})
        again = _migration(pair)
        again.start()
        _completes(again)
        audit(pair, 'dst')


def stop_there_and_back(logs):
    there_and_back(logs, _migration, _completes)


def stop_spoilt(logs):
    """
    A base is not what the source has kept: no page is made of it, the guest
    stays where it is whole.  The next attempt has other bases.
    """
    with booted(logs, SMALL, rate='unlimited', replayed=False) as pair:
        migration = _migration(pair, parameters=SLOW, transport='unix')
        migration.prepare()
        spoils = Spoils(50)
        channels = Channels(pair.run, migration.listen()[len('unix:'):],
                            to_dst=spoils)
        pair.src.qmp('migrate', {'uri': f'unix:{channels.path}'})
        equal(migration.wait_end(), 'failed', 'ended as')
        check(spoils.spoilt, 'no base was spoilt')
        error = migration.info()['error-desc']
        check('cannot be made from its difference' in error,
              f'the error says {error}')
        equal(migration.hybrid()['deltas']['memory'], 0, 'memory at the end')
        check(pair.src.status() == 'running', 'the guest stands still')
        pair.renew_destination()
        again = _migration(pair, parameters=SLOW)
        again.start()
        _completes(again)
        audit(pair, 'dst')


def stop_spoilt_stays(logs):
    """The same, and what the guest has at the source is right."""
    with booted(logs, SMALL, rate='unlimited', replayed=False) as pair:
        migration = _migration(pair, PREEMPT, SLOW, transport='unix')
        migration.prepare()
        channels = Channels(pair.run, migration.listen()[len('unix:'):],
                            to_dst=Spoils(50))
        pair.src.qmp('migrate', {'uri': f'unix:{channels.path}'})
        equal(migration.wait_end(), 'failed', 'ended as')
        audit_kept(pair)


def stop_no_memory_destination(logs):
    """
    It has given up the bases, and says so before the stop: a shortage of
    memory does not fail the migration.
    """
    with own_group(1 << 30) as group:
        if not group.path:
            return
        src, dst = _handed_over(logs, before=room_goes(group, 170 * MIB))
        check(src['bases'], f'none was sent: {src}')
        equal(src['decision'], 'no-memory', 'decision')
        equal((dst['bases'], dst['pages']), (0, 0), 'kept, made')


CASES = {f.__name__.replace('_', '-'): f for f in (
    stop_small, stop_preempt_smp2, stop_tls, stop_none_kept, stop_whole_pages,
    stop_few_slots, stop_xbzrle, stop_plain_peer, stop_requested, stop_paused,
    stop_too_much, stop_cancelled, stop_there_and_back, stop_spoilt,
    stop_spoilt_stays, stop_no_memory_destination)}

#: The same with another channel, or what others would show, too.
LONG = {'stop-preempt-smp2', 'stop-none-kept', 'stop-few-slots',
        'stop-plain-peer', 'stop-requested', 'stop-paused',
        'stop-there-and-back', 'stop-spoilt-stays'}
