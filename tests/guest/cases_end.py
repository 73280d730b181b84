"""How a migration between patched QEMUs ends well.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import subprocess

from common import HOT, IDLE, audit, booted, check, downtime_true, equal, \
    pages_add_up
from hybridmig import paths, record
from hybridmig.migrate import Migration


def _completes(logs, workload, action, reasons, smp=1, caps=None, **how):
    with booted(logs, workload, smp) as pair:
        migration = Migration(pair, **how)
        migration.at_both(caps)
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        h = migration.hybrid()
        check(h['active'] and h['agreed'], f'not hybrid: {h}')
        equal(h['action'], action, 'action')
        check(h['end-reason'] in reasons, f'rounds ended: {h["end-reason"]}')
        as_postcopy = migration.status_seen('src', 'postcopy-active')
        equal(bool(as_postcopy), action == 'handoff', 'postcopy-active seen')
        downtime_true(migration)
        pages_add_up(migration)
        parts = sum(h[f'{name}-us'] for name in
                    ('preparation-time', 'downtime', 'resume-time'))
        check(abs(parts - h['total-time-us']) <= 1000,
              f'parts {parts} us, total time {h["total-time-us"]} us')
        _bounds_kept(h, migration.parameters)
        _replay(pair)
        check(record.rounds_text(pair.src), 'no rounds in the trace')
        audit(pair, 'dst')


def _bounds_kept(h, parameters):
    """A bound ends the rounds when it is reached, and not before."""
    took = sum(r['time-us'] for r in h['rounds'])
    sent = sum(r['bytes'] for r in h['rounds'])
    if h['end-reason'] == 'time-limit':
        bound = parameters['hybrid-max-precopy-time'] * 1000
        check(bound <= took <= 1.25 * bound + 500_000,
              f'rounds took {took} us, bound {bound} us')
    if h['end-reason'] == 'byte-limit':
        bound = parameters['hybrid-max-precopy-bytes']
        check(bound <= sent <= bound + (8 << 20),
              f'{sent} bytes sent in the rounds, bound {bound}')
    if h['end-reason'] == 'round-limit':
        equal(len(h['rounds']), parameters['hybrid-max-rounds'], 'rounds')


def _replay(pair):
    """The steps of both sides are a path of the model."""
    name = os.path.join(pair.run.folder, 'handoff.steps')
    lines = record.handoff_lines(pair.src, pair.dst)
    check(lines, 'no handoff steps in the trace')
    with open(name, 'w', encoding='ascii') as out:
        out.write('\n'.join(lines) + '\n')
    done = subprocess.run([os.path.join(paths.ROOT, 'tests/model/replay'),
                           name], capture_output=True, text=True, check=False)
    check(done.returncode == 0, f'replay: {done.stdout}{done.stderr}')


def handoff(logs):
    _completes(logs, HOT, 'handoff', ['no-gain'])


def handoff_preempt(logs):
    _completes(logs, HOT, 'handoff', ['no-gain'],
               caps={'postcopy-preempt': True})


def handoff_smp2(logs):
    _completes(logs, HOT + ' threads=2', 'handoff', ['no-gain'], smp=2,
               caps={'postcopy-preempt': True})


def handoff_reader(logs):
    """One thread writes, one checks pages all the time, before and after."""
    _completes(logs, 'mix pages=12000 threads=2', 'handoff', ['no-gain'],
               smp=2)


def completes_as_precopy(logs):
    _completes(logs, IDLE, 'complete', ['fits', 'clean'])


def completes_as_precopy_preempt(logs):
    _completes(logs, IDLE, 'complete', ['fits', 'clean'],
               caps={'postcopy-preempt': True})


def over_unix(logs):
    _completes(logs, HOT, 'handoff', ['no-gain', 'round-limit'],
               parameters={'max-bandwidth': 60 << 20}, transport='unix')


def over_fd(logs):
    _completes(logs, HOT, 'handoff', ['no-gain'], transport='fd')


def over_tls(logs):
    _completes(logs, HOT, 'handoff', ['no-gain'], transport='tls')


def round_limit(logs):
    _completes(logs, HOT, 'handoff', ['round-limit'],
               parameters={'hybrid-max-rounds': 1})


def byte_limit(logs):
    _completes(logs, HOT, 'handoff', ['byte-limit'],
               parameters={'hybrid-max-precopy-bytes': 20 << 20})


def time_limit(logs):
    _completes(logs, HOT, 'handoff', ['time-limit'],
               parameters={'hybrid-max-precopy-time': 800})


def observe_only(logs):
    """Records the decision, does nothing; the client switches."""
    with booted(logs) as pair:
        migration = Migration(pair, parameters={
            'hybrid-observe-only': True, 'hybrid-max-rounds': 1,
            'downtime-limit': 2000})
        migration.start()
        check(pair.log.wait(
            lambda: migration.event('src', 'MIGRATION_HYBRID_PHASE',
                                    phase='rounds', round=2), 30),
              'no round has ended')
        h = migration.hybrid()
        equal(h['action'], 'handoff', 'decision')
        equal(h['agreed'], False, 'negotiated')
        pair.src.qmp('migrate-start-postcopy')
        equal(migration.wait_end(), 'completed', 'ended as')
        audit(pair, 'dst')


CASES = {f.__name__.replace('_', '-'): f for f in (
    handoff, handoff_preempt, handoff_smp2, handoff_reader,
    completes_as_precopy, completes_as_precopy_preempt, over_unix, over_fd,
    over_tls, round_limit, byte_limit, time_limit, observe_only)}
