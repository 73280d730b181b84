"""The bare guest (tests/guest/bare) under each kind of dirty log.

TCG's; and where /dev/kvm opens, KVM's with and without its manual protection,
in small parts, and the dirty ring.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import fcntl
import os
import re

from common import Skip, audit, booted, check, cut_in_paging, ends_hybrid, \
    equal, pages_add_up, recover_cut, wait_until
from hybridmig import paths
from hybridmig.migrate import Migration

PAGES = 12000
MEM = 64
HOT = 'hot pages=6000 rate=100000'
#: So few that the rounds are worth it, if only these are taken for hot.
FEW = 'hot pages=1000 rate=40000'
IDLE = 'idle'
CREATE_VM, CHECK_EXTENSION = 0xae01, 0xae03
MANUAL_PROTECT, DIRTY_RING = 168, 192
EVENT = re.compile(r'^\d+@[\d.]+:(kvm_\w+)', re.MULTILINE)
RECOVERIES = 20
#: More than is sent before the other end has said that it reads.
ON_ITS_WAY = 200_000
TRACE = ['-trace', 'kvm_clear_dirty_log', '-trace', 'kvm_dirty_ring_flush']


class Log:
    """A kind of dirty log: how to have it, and what its use leaves behind."""
    def __init__(self, accel, needs=None, traces=(), **settings):
        self.accel = accel
        self.needs = needs
        self.traces = set(traces)
        self.settings = settings

    def why_not(self):
        """A reason to skip, or None."""
        if self.accel == 'tcg':
            return None
        try:
            kvm = os.open('/dev/kvm', os.O_RDWR | os.O_CLOEXEC)
            try:
                if self.needs and \
                   not fcntl.ioctl(kvm, CHECK_EXTENSION, self.needs):
                    return 'this KVM has no such dirty log'
                os.close(fcntl.ioctl(kvm, CREATE_VM, 0))
            finally:
                os.close(kvm)
        except OSError as exc:
            return f'no KVM: {exc.strerror}'
        return None


LOGS = {
    'tcg': Log('tcg'),
    'kvm': Log('kvm', MANUAL_PROTECT, {'kvm_clear_dirty_log'}),
    'kvm-parts': Log('kvm', MANUAL_PROTECT, {'kvm_clear_dirty_log'},
                     extra=['-global', 'migration.x-clear-bitmap-shift=6']),
    'kvm-legacy': Log('kvm', preload=[paths.bare('no-manual.so')]),
    'kvm-ring': Log('kvm,dirty-ring-size=4096', DIRTY_RING,
                    {'kvm_dirty_ring_flush'}),
}


@contextlib.contextmanager
def _booted(logs, log, workload=HOT, extra=(), **settings):
    reason = log.why_not()
    if reason:
        raise Skip(reason)
    more = dict(log.settings)
    extra = [*more.pop('extra', ()), *extra, *TRACE]
    with booted(logs, workload, bare=True, accel=log.accel, mem=MEM,
                pages=PAGES, extra=extra, **more, **settings) as pair:
        if log.accel != 'tcg':
            check(pair.src.qmp('query-kvm')['enabled'], 'KVM is not in use')
        yield pair
        equal(_traced(pair.src), log.traces,
              'kinds of dirty log seen')


def _traced(guest):
    """The names of KVM's events."""
    with open(guest.trace_file, encoding='utf-8', errors='replace') as trace:
        return set(EVENT.findall(trace.read()))


def _ends(logs, log, workload, action, caps=None, parameters=None, **how):
    """Returns what query-migrate says of a migration that has completed."""
    with _booted(logs, log, workload, **how) as pair:
        migration = Migration(pair, parameters=parameters)
        migration.at_both(caps)
        migration.start()
        h = ends_hybrid(migration, action)
        audit(pair, 'dst')
        return h


def precopy(logs, log):
    _ends(logs, log, IDLE, 'complete')


def handoff(logs, log):
    _ends(logs, log, HOT, 'handoff')


def handoff_preempt(logs, log):
    _ends(logs, log, HOT, 'handoff', {'postcopy-preempt': True})


def handoff_smp2(logs, log):
    _ends(logs, log, HOT + ' threads=2', 'handoff', smp=2)


def handoff_large(logs, log):
    """The guest's own pages are large, so KVM splits what backs them."""
    _ends(logs, log, HOT, 'handoff', words=['hm.large=1'])


def few_are_hot(logs, log):
    """
    A log that says of pages that nobody writes that they are dirty would keep
    them out of the rounds; one that forgets would send all that is hot again.
    """
    h = _ends(logs, log, FEW, 'handoff', parameters={'downtime-limit': 1},
              rate='200mbit', words=['hm.mixed=0'])
    left = h['rounds'][-1]['remaining-pages']
    check(left <= 2000, f'{left} pages are left, 1000 are hot')
    check(h['pages']['resends'] <= 3000, f'sent again: {h["pages"]}')


def requested(logs, log):
    """A client asks for postcopy in the first round."""
    with _booted(logs, log, rate='200mbit') as pair:
        migration = Migration(pair)
        migration.when(lambda: pair.src.qmp('migrate-start-postcopy'), 'src',
                       'MIGRATION_HYBRID_PHASE', phase='rounds', round=1)
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        equal(migration.hybrid()['end-reason'], 'requested', 'rounds ended')
        pages_add_up(migration)
        audit(pair, 'dst')


def recovered(logs, log):
    with _booted(logs, log, rate='200mbit') as pair:
        migration = Migration(pair, parameters={'hybrid-max-rounds': 1})
        cut_in_paging(migration)
        migration.start()
        recover_cut(migration)
        pages_add_up(migration, lost=True)
        audit(pair, 'dst')


def recovered_often(logs, log):
    """What each new connection begins with must not hold up the rest."""
    with _booted(logs, log, rate='200mbit') as pair:
        migration = Migration(pair, parameters={'hybrid-max-rounds': 1})
        migration.at_both({'postcopy-preempt': True})
        migration.start()
        migration.wait_phase('paging')
        for turn in range(RECOVERIES):
            migration.pause()
            wait_until(lambda: {migration.last_status(side) for side
                                in ('src', 'dst')} == {'postcopy-paused'},
                       f'pause {turn}')
            before = pair.link.bytes_sent()
            migration.recover()
            wait_until(lambda: pair.link.bytes_sent() > before + ON_ITS_WAY,
                       f'pages after recovery {turn}')
        equal(migration.wait_end(30), 'completed', 'ended as')
        pages_add_up(migration, lost=True)
        audit(pair, 'dst')


def cancelled(logs, log):
    """And a second migration: what the first one did to the log is undone."""
    with _booted(logs, log, rate='200mbit') as pair:
        migration = Migration(pair)
        migration.when(migration.cancel, 'src', 'MIGRATION_HYBRID_PHASE',
                       phase='rounds', round=1)
        migration.start()
        equal(migration.wait_end(), 'cancelled', 'ended as')
        pair.renew_destination()
        again = Migration(pair)
        again.start()
        equal(again.wait_end(), 'completed', 'the second migration')
        check(again.hybrid()['agreed'], 'the second one is not hybrid')
        pages_add_up(again)
        audit(pair, 'dst')


ENDS = (precopy, handoff, handoff_preempt, handoff_smp2, handoff_large,
        few_are_hot, requested, recovered, recovered_often, cancelled)
#: What the log can spoil; the rest of these kinds with HYBRID_FULL=1.
LESS = (handoff_smp2, few_are_hot, cancelled)


def _name(log, end):
    return f'bare-{log}-{end.__name__.replace("_", "-")}'


def _case(end, log):
    return lambda logs: end(logs, log)


CASES = {_name(name, end): _case(end, log)
         for name, log in LOGS.items() for end in ENDS}
LONG = set(CASES) - {_name(name, end) for name in LOGS for end in
                     (ENDS if name in ('tcg', 'kvm') else LESS)}
