"""Patched and unpatched QEMUs with each other; hybrid where it does not apply.

SPDX-License-Identifier: GPL-2.0-or-later
"""
from common import HOT, IDLE, PATCHED, UNPATCHED, audit, booted, check, equal
from hybridmig.migrate import DST_CAPABILITIES, Migration


def _mixed(logs, workload, src, dst, postcopy=False, transport='tcp',
           preempt=False):
    with booted(logs, workload, src=src, dst=dst) as pair:
        extra = {'postcopy-preempt': preempt}
        caps = {**DST_CAPABILITIES, **extra}
        migration = Migration(
            pair, src_caps={**caps, **({'hybrid': True} if src == PATCHED
                                       else {})},
            dst_caps=caps, transport=transport)
        if postcopy:
            migration.when(lambda: pair.src.qmp('migrate-start-postcopy'),
                           'src', 'MIGRATION_PASS', **{'pass': 2})
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        if src == PATCHED:
            h = migration.hybrid()
            check(h['active'] and not h['agreed'], f'peer: {h}')
            equal(h['action'], 'complete' if workload == IDLE else 'handoff',
                  'action')
            check(h['downtime-estimated'], 'estimate is not marked as such')
        audit(pair, 'dst')


def to_unpatched_handoff(logs):
    _mixed(logs, HOT, PATCHED, UNPATCHED)


def to_unpatched_preempt(logs):
    _mixed(logs, HOT, PATCHED, UNPATCHED, preempt=True)


def to_unpatched_precopy(logs):
    _mixed(logs, IDLE, PATCHED, UNPATCHED)


def to_unpatched_tls(logs):
    _mixed(logs, HOT, PATCHED, UNPATCHED, transport='tls')


def from_unpatched_postcopy(logs):
    _mixed(logs, HOT, UNPATCHED, PATCHED, postcopy=True)


def from_unpatched_precopy(logs):
    _mixed(logs, IDLE, UNPATCHED, PATCHED)


def _refused(logs, dst, text):
    with booted(logs, dst=dst) as pair:
        migration = Migration(pair, dst_caps={'events': True}).start()
        equal(migration.wait_end(), 'failed', 'ended as')
        error = migration.info()['error-desc']
        check(text in error, f'the error says: {error}')
        audit(pair, 'src')


def refused_by_patched(logs):
    _refused(logs, PATCHED, 'postcopy-ram is off at the destination')


def refused_by_unpatched(logs):
    _refused(logs, UNPATCHED, 'probably its capability postcopy-ram is off')


def inactive_without_postcopy(logs):
    with booted(logs, IDLE) as pair:
        migration = Migration(pair, src_caps={'events': True, 'hybrid': True},
                              dst_caps={'events': True}).start()
        equal(migration.wait_end(), 'completed', 'ended as')
        h = migration.hybrid()
        equal((h['active'], h['reason']),
              (False, 'capability postcopy-ram is off'), 'hybrid')
        audit(pair, 'dst')


CASES = {f.__name__.replace('_', '-'): f for f in (
    to_unpatched_handoff, to_unpatched_preempt, to_unpatched_precopy,
    to_unpatched_tls, from_unpatched_postcopy, from_unpatched_precopy,
    refused_by_patched, refused_by_unpatched, inactive_without_postcopy)}
