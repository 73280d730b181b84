"""One connection of several, or one direction of it, is silent or dead.

Whatever it is, the migration ends, after migrate-pause at the latest, in a
pause that can be recovered, or the guest runs on at the source.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import time

from channels import MAIN, PREEMPT, TO_DST, TO_SRC, Channels
from common import HOT, audit, booted, check, equal
from hybridmig.migrate import Migration
from hybridmig.monitor import QmpError

#: Phase 5 takes some ten seconds, if nobody touches a missing page.
SLOW_PUSH = {'hybrid-max-rounds': 1, 'max-postcopy-bandwidth': 8 << 20}
#: On a machine with much else to do.
PATIENCE = 60


def _through(pair, migration, command='migrate-incoming', **lost):
    """Begin, or recover, through a proxy; returns that."""
    oob = command == 'migrate-recover'
    target = migration.listen(command=command, oob=oob)[len('unix:'):]
    channels = Channels(pair.run, target, **lost)
    pair.src.qmp('migrate', {'uri': f'unix:{channels.path}', 'resume': oob})
    return channels


def _start(pair, preempt, policy=None, hybrid=True, **parameters):
    migration = Migration(pair, transport='unix',
                          parameters={**SLOW_PUSH, **parameters})
    if policy:
        migration.parameters['hybrid-push-policy'] = policy
    migration.src_caps['hybrid'] = hybrid
    migration.at_both({'postcopy-preempt': preempt})
    migration.prepare()
    return migration, _through(pair, migration)


def _times(migration, side, status):
    events = migration.pair.log.events[migration.first_event:]
    return sum(e.side == side and e.name == 'MIGRATION' and
               e.data['status'] == status for e in events)


def _wait_paused(migration, times, timeout=PATIENCE):
    """Both sides have said so that many times, and are."""
    def both():
        return all(_times(migration, side, 'postcopy-paused') >= times
                   for side in ('src', 'dst'))
    check(migration.pair.log.wait(both, timeout),
          'not paused: ' + ', '.join(
              f'{side} {_times(migration, side, "postcopy-paused")} times'
              for side in ('src', 'dst')))


def _pause(migration, times):
    """By migrate-pause, out of band, at both ends."""
    begin = time.monotonic()
    for guest in (migration.pair.src, migration.pair.dst):
        try:
            guest.monitor.command('migrate-pause', oob=True)
        except QmpError:
            pass                # it was paused by the other's pause
    _wait_paused(migration, times, timeout=10)
    took = time.monotonic() - begin
    check(took < 5, f'the pause took {took:.1f} s')


def _not_at_source(pair):
    # The destination is not asked: a vCPU may hold its main loop.
    check(pair.src.status() != 'running', 'the guest runs at the source')


def _recover(pair, migration):
    pair.src.set_parameters({'hybrid-push-policy': 'bubble',
                             'max-postcopy-bandwidth': 0})
    _through(pair, migration, 'migrate-recover')
    equal(migration.wait_end(), 'completed', 'ended as')
    check(migration.wait_status('dst', 'completed', timeout=PATIENCE),
          'the destination does not end')
    audit(pair, 'dst')


def _in_paging(logs, preempt, break_, by_itself=True, **settings):
    """break_(channels) in phase 5; paused at both ends; recovered; right."""
    with booted(logs, rate='unlimited') as pair:
        migration, channels = _start(pair, preempt, **settings)
        check(migration.wait_status('src', 'postcopy-active',
                                    timeout=PATIENCE), 'no paging')
        break_(channels)
        if by_itself:
            _wait_paused(migration, 1)
        else:
            _pause(migration, 1)
        _not_at_source(pair)
        _recover(pair, migration)


def return_path_dies(logs):
    _in_paging(logs, False, lambda c: c.connections[MAIN].half_close(TO_SRC))


def return_path_dies_preempt(logs):
    _in_paging(logs, True, lambda c: c.connections[MAIN].half_close(TO_SRC))


def forward_path_dies_preempt(logs):
    _in_paging(logs, True, lambda c: c.connections[MAIN].half_close(TO_DST))


def preempt_dies(logs):
    _in_paging(logs, True, lambda c: c.connections[PREEMPT].close())


def preempt_dies_on_demand(logs):
    """Nothing is pushed, so nothing but a request meets the dead channel."""
    _in_paging(logs, True, lambda c: c.connections[PREEMPT].close(),
               policy='on-demand')


def preempt_dies_upstream(logs):
    """Plain post-copy: no second copy."""
    with booted(logs, rate='unlimited') as pair:
        migration, channels = _start(pair, True, hybrid=False)
        check(migration.wait_status('src', 'active', timeout=PATIENCE),
              'not active')
        pair.src.qmp('migrate-start-postcopy')
        check(pair.log.wait(lambda: migration.event('dst', 'RESUME'),
                            PATIENCE), 'no paging')
        channels.connections[PREEMPT].close()
        _wait_paused(migration, 1)
        _not_at_source(pair)
        _recover(pair, migration)


def preempt_silent(logs):
    """
    The push goes on to its end; the destination then waits for a page that
    was sent by the channel for preemption.
    """
    def stall(channels):
        channels.connections[PREEMPT].stall()
        time.sleep(1)
    _in_paging(logs, True, stall, by_itself=False)


def preempt_silent_at_the_end(logs):
    with booted(logs, rate='unlimited') as pair:
        migration, channels = _start(
            pair, True, **{'max-postcopy-bandwidth': 0})
        check(pair.log.wait(lambda: channels.accepted > PREEMPT, PATIENCE),
              'no channel for preemption')
        channels.connections[PREEMPT].stall()
        check(migration.wait_phase('paging', timeout=PATIENCE), 'no paging')
        end = time.monotonic() + PATIENCE
        while migration.hybrid()['push']['remaining-pages'] and \
                time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(1)           # for the end of the stream to get there
        equal(migration.info()['status'], 'postcopy-active', 'source')
        _pause(migration, 1)
        _not_at_source(pair)
        _recover(pair, migration)


def _recovery_without_preempt(logs, close_lost):
    with booted(logs, rate='unlimited') as pair:
        migration, channels = _start(pair, True)
        check(migration.wait_status('src', 'postcopy-active',
                                    timeout=PATIENCE), 'no paging')
        channels.close()
        _wait_paused(migration, 1)
        channels = _through(pair, migration, 'migrate-recover',
                            lose=[PREEMPT], close_lost=close_lost)
        check(pair.log.wait(lambda: channels.accepted > PREEMPT, PATIENCE),
              'no channel for preemption')
        if close_lost:
            _wait_paused(migration, 2)
        else:
            time.sleep(1)
            _pause(migration, 2)
        _recover(pair, migration)


def recovery_preempt_missing(logs):
    _recovery_without_preempt(logs, False)


def recovery_preempt_closed(logs):
    _recovery_without_preempt(logs, True)


def recovery_silent(logs):
    """Both sides are in the middle of a recovery, and nothing comes."""
    with booted(logs, rate='unlimited') as pair:
        migration, channels = _start(pair, True)
        check(migration.wait_status('src', 'postcopy-active',
                                    timeout=PATIENCE), 'no paging')
        channels.close()
        _wait_paused(migration, 1)
        _through(pair, migration, 'migrate-recover', stalled=True)
        for side in ('src', 'dst'):
            check(migration.wait_status(side, 'postcopy-recover',
                                        timeout=PATIENCE), 'no recovery')
        _pause(migration, 2)
        _recover(pair, migration)


_ALL = (return_path_dies, return_path_dies_preempt, preempt_dies,
        preempt_dies_on_demand, preempt_silent, preempt_silent_at_the_end,
        recovery_preempt_missing, recovery_preempt_closed, recovery_silent,
        forward_path_dies_preempt, preempt_dies_upstream)
CASES = {f.__name__.replace('_', '-'): f for f in _ALL}
#: The rest of them only in the long run.
LONG = {f.__name__.replace('_', '-') for f in (
    return_path_dies_preempt, forward_path_dies_preempt, preempt_silent)}
