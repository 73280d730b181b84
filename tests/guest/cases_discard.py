"""Discards: in batches, most before the stop; pages are loaded in runs.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import itertools
import os

from common import IDLE, audit, booted, check, cut_in_paging, \
    downtime_true, equal, pages_add_up, recover_cut
from hybridmig.migrate import Migration
from hybridmig.record import trace_lines

MIB = 1 << 20

#: What is read at once: later each missing page of it takes a round trip.
LOOK = 64 << 10
SCATTER = 541   # no divisor of the number of these places

#: Guest memory that other processes could map, too.
SHARED = {'machine': 'pc,memory-backend=shared', 'extra': (
    '-object', 'memory-backend-memfd,id=shared,size=160M,share=on')}

#: Writes all over its memory, faster than the link carries.
SCATTERED = 'random pages=17000 rate=200000'


def _stop(migration):
    """The parts of the stop, checked against the downtime."""
    h = migration.hybrid()
    stop = h.get('stop')
    check(stop, f'no parts of the stop: {h}')
    parts = sum(us for name, us in stop.items() if name.endswith('-us'))
    check(parts <= h['downtime-us'] + h['one-way-delay-us'],
          f'parts {parts} us, downtime {h["downtime-us"]} us')
    return stop


def _huge_page_advice(guest):
    """Which of "hg" (use huge pages) and "nh" (do not) RAM has."""
    largest, here, flags = 0, 0, set()
    with open(f'/proc/{guest.machine.get_pid()}/smaps', encoding='ascii') as \
            smaps:
        for line in smaps:
            words = line.split()
            if words[0] == 'Size:':
                here = int(words[1])
            elif words[0] == 'VmFlags:' and here > largest:
                largest, flags = here, set(words[1:])
    return flags & {'hg', 'nh'}


def _huge_pages_as_before(pair, before):
    """A guest must not run on small pages for good."""
    equal(_huge_page_advice(pair.dst), before, 'advice for huge pages')


def _runs(pair, which):
    """Pages and placements of the destination's trace."""
    pages = runs = 0
    for line in trace_lines(pair.dst):
        words = dict(word.split('=', 1) for word in line.split()
                     if '=' in word)
        if 'hybrid_load_placed' in line and words['zero'] == which:
            pages += int(words['pages'])
            runs += 1
    return pages, runs


def _scattered(logs, parameters=None, caps=None, cut=False, **how):
    with booted(logs, SCATTERED, **how) as pair:
        before = _huge_page_advice(pair.src)
        migration = Migration(pair, parameters=parameters)
        migration.at_both(caps)
        if cut:
            cut_in_paging(migration)
        migration.start()
        if cut:
            recover_cut(migration)
        equal(migration.wait_end(), 'completed', 'ended as')
        equal(migration.hybrid()['action'], 'handoff', 'action')
        stop = _stop(migration)
        if not cut:
            downtime_true(migration)
        pages_add_up(migration, lost=cut)
        _huge_pages_as_before(pair, before)
        audit(pair, 'dst')
        return stop, _runs(pair, '0')


def discard_scattered(logs):
    """Sent, then dirtied: dropped before the stop."""
    stop, (pages, runs) = _scattered(logs, {'hybrid-hot-threshold': 0})
    check(stop['discards-before'] > 5000, f'few early discards: {stop}')
    check(stop['discards'] < stop['discards-before'] / 2,
          f'most of the discards are in the stop: {stop}')
    check(pages > 1.2 * runs, f'{runs} runs for {pages} pages')


def discard_scattered_deferred(logs):
    """The same with the page bitmap: hot pages wait for the switch."""
    _scattered(logs)


def discard_scattered_preempt(logs):
    _scattered(logs, {'hybrid-hot-threshold': 0},
               {'postcopy-preempt': True})


def discard_first_round(logs):
    """Most was never sent, and is not discarded."""
    stop, _ = _scattered(logs, {'hybrid-max-precopy-bytes': 10 << 20})
    check(stop['discards'] + stop['discards-before'] < 10000,
          f'never sent, but discarded: {stop}')


def discard_recover(logs):
    _scattered(logs, {'hybrid-hot-threshold': 0}, cut=True)


def _look_around(pair, looked):
    """Something at the destination reads guest memory until it arrives."""
    for number in itertools.count():
        at = 64 * MIB + number * SCATTER * LOOK % (80 * MIB)
        if pair.log.find('dst', 'MIGRATION', status='postcopy-active'):
            return
        pair.dst.qmp('pmemsave', {'val': at, 'size': LOOK,
                                  'filename': os.devnull})
        looked.append(at)


def _looked_at(logs, caps=None, **how):
    looked = []
    with booted(logs, SCATTERED, link={'delay_ms': 30}, **how) as pair:
        migration = Migration(pair, parameters={'hybrid-hot-threshold': 0})
        migration.at_both(caps)
        migration.when(lambda: _look_around(pair, looked), 'src',
                       'MIGRATION_HYBRID_PHASE', phase='rounds', round=1)
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        equal(migration.hybrid()['action'], 'handoff', 'action')
        pages_add_up(migration)
        audit(pair, 'dst')
        check(len(looked) > 100, f'looked {len(looked)} times')
        return [line for line in trace_lines(pair.dst)
                if 'hybrid_discard missing' in line]


def discard_looked_at(logs):
    """What was read while it was missing is not taken for a page."""
    _looked_at(logs)


def discard_looked_at_preempt(logs):
    """The main loop may wait for the second channel before it loads."""
    _looked_at(logs, {'postcopy-preempt': True})


def discard_looked_at_shared(logs):
    """The same; what was read is found and dropped once more."""
    *_, last = [line for line in _looked_at(logs, **SHARED)
                if 'block=shared' in line]
    check('ranges=0 ' not in last, f'dropped at the stop: {last}')


def discard_shared(logs):
    """Nobody reads it: nothing of shared memory is dropped once more."""
    with booted(logs, SCATTERED, **SHARED) as pair:
        migration = Migration(pair, parameters={'hybrid-hot-threshold': 0})
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        check(_stop(migration)['discards-before'] > 5000, 'few discards')
        *_, last = [line for line in trace_lines(pair.dst)
                    if 'hybrid_discard missing block=shared' in line]
        check('ranges=0 ' in last, f'dropped at the stop: {last}')
        audit(pair, 'dst')


def discard_none(logs):
    """Completes as precopy: all of RAM is sent before the package."""
    with booted(logs, IDLE) as pair:
        before = _huge_page_advice(pair.src)
        migration = Migration(pair).start()
        equal(migration.wait_end(), 'completed', 'ended as')
        equal(migration.hybrid()['action'], 'complete', 'action')
        equal(_stop(migration)['discards-before'], 0, 'discards before')
        _huge_pages_as_before(pair, before)
        audit(pair, 'dst')


CASES = {f.__name__.replace('_', '-'): f for f in (
    discard_scattered, discard_scattered_deferred, discard_scattered_preempt,
    discard_first_round, discard_recover, discard_looked_at,
    discard_looked_at_preempt, discard_looked_at_shared, discard_shared,
    discard_none)}
