"""Whether pages are sent as differences: if it is worth it, if there is memory
for it.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib

from cases_delta import HOT_PAGES, PREEMPT, SMALL
from common import audit, booted, check, ends_hybrid, equal
from hybridmig.migrate import Migration
from hybridmig.record import trace_lines
from hybridmig.waiting import until
from memory import MIB, own_group, room_goes

#: So short a stop that no link carries what is hot in it: it is handed over.
#: And no bound of ours on what is kept.
SHORT = {'downtime-limit': 5, 'hybrid-delta-cache': 2**63 - 1}


@contextlib.contextmanager
def _handed_over(logs, workload=SMALL, caps=None, before=None, **parameters):
    """The guest has been handed over: the pair, and deltas of both sides."""
    with booted(logs, workload) as pair:
        migration = Migration(pair, parameters={**SHORT, **parameters})
        migration.at_both(caps)
        if before:
            before(migration)
        migration.start()
        ends_hybrid(migration, 'handoff')
        yield pair, migration.hybrid('src').get('deltas'), \
            migration.hybrid('dst').get('deltas')
        audit(pair, 'dst')


def worth_small(logs):
    """Nobody has to say how much, but that it may be done."""
    with _handed_over(logs) as (_pair, src, dst):
        equal(src['decision'], 'worth', 'decision')
        check(src['sample-bytes'] < 409 and src['sample-share'] > 75,
              f'what the sample has said: {src}')
        check(src['pages'] > HOT_PAGES * 3 / 4, f'few differences: {src}')
        equal(src['pages'], dst['pages'], 'pages')
        for side in (src, dst):
            check(HOT_PAGES * 3 / 4 * 4096 < side['memory-peak'] < 64 * MIB,
                  f'memory: {side}')
            equal(side['memory'], 0, 'memory at the end')
            check(side['time-us'], f'it took no time: {side}')


def worth_not_whole_pages(logs):
    """All of a page is new: that is seen before anything is sent in vain."""
    with _handed_over(logs, 'hot pages=7000 rate=0') as (_pair, src, _dst):
        # A part of the sample may be of the guest's kernel
        check(src['bases'] < HOT_PAGES / 8, f'bases in vain: {src}')
        check(src['sample-bytes'] > 2048, f'so little has changed: {src}')


def worth_no_looks(logs):
    """Without looks at the dirty log nobody knows: nothing is agreed on."""
    with _handed_over(logs, **{'hybrid-hot-threshold': 0}) as (_pair, src,
                                                               dst):
        check(not src and not dst, f'{src}, {dst}')


def _requested(logs, event):
    """The handoff, when such a line is in the trace: what is said then."""
    with booted(logs, SMALL, rate='100mbit') as pair:
        migration = Migration(pair, parameters=SHORT)
        migration.start()
        until(lambda: any(event in line for line in trace_lines(pair.src)),
              60, event)
        pair.src.qmp('migrate-start-postcopy')
        ends_hybrid(migration, 'handoff')
        d = migration.hybrid()['deltas']
        equal(d['decision'], 'no-time', 'decision')
        audit(pair, 'dst')
        return d


def worth_requested_in_pass(logs):
    """Who has no time any more waits for no more bases."""
    d = _requested(logs, 'hybrid_delta_pass')
    check(0 < d['bases'] < HOT_PAGES / 2, f'not in the pass: {d}')
    check(d['pages'], f'they are of no use: {d}')


def worth_requested_before(logs):
    """Nor does who has none from the beginning."""
    equal(_requested(logs, 'hybrid_worth_sample')['bases'], 0, 'bases')


def worth_no_memory_source(logs):
    """Its control group has room for a part: that is sent, the guest lives."""
    with own_group(24 * MIB) as group:
        if group.path:
            with _handed_over(logs, before=lambda migration: group.take(
                    migration.pair.src)) as (_pair, src, dst):
                equal(src['decision'], 'no-memory', 'decision')
                check(src['bases'] < HOT_PAGES * 3 / 4, f'all fit: {src}')
                # Half of the room: the other half belongs to others
                check(src['memory-peak'] <= 12 * MIB, f'memory: {src}')
                equal(src['pages'], dst['pages'], 'pages')


def _no_memory_destination(logs, caps=None):
    """
    There was room, and there is none any more: that is said, so the source
    sends no more bases, and whole pages then.
    """
    with own_group(1 << 30) as group:
        if not group.path:
            return
        with _handed_over(logs, caps=caps,
                          before=room_goes(group, 170 * MIB)) as (_pair, src, dst):
            equal(src['decision'], 'no-memory', 'decision')
            check(0 < src['bases'] < HOT_PAGES * 3 / 4, f'bases: {src}')
            equal((src['pages'], src['refused'], src['memory']), (0, 0, 0),
                  'sent, refused, memory')
            equal((dst['bases'], dst['pages']), (0, 0), 'kept, made')
            equal(dst['memory-peak'], 0, 'memory')


def worth_no_memory_destination(logs):
    _no_memory_destination(logs)


def worth_no_memory_destination_preempt(logs):
    _no_memory_destination(logs, PREEMPT)


CASES = {f.__name__.replace('_', '-'): f for f in (
    worth_small, worth_not_whole_pages, worth_no_looks,
    worth_requested_in_pass, worth_requested_before, worth_no_memory_source,
    worth_no_memory_destination, worth_no_memory_destination_preempt)}

LONG = {'worth-no-looks', 'worth-requested-before',
        'worth-no-memory-destination-preempt'}
