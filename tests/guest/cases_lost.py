"""One connection of several, or one direction of it, is silent or dead.

Whatever it is, the migration ends, after migrate-pause at the latest, in a
pause that can be recovered, or the guest runs on at the source.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import signal
import time

from channels import MAIN, PREEMPT, TO_DST, TO_SRC, full_queue, through
from common import audit, booted, check, equal, exits, stands_still
from hybridmig.migrate import Migration
from hybridmig.monitor import QmpError
from hybridmig.waiting import until

#: Phase 5 takes some ten seconds, if nobody touches a missing page.
SLOW_PUSH = {'hybrid-max-rounds': 1, 'max-postcopy-bandwidth': 8 << 20}
#: On a machine with much else to do.
PATIENCE = 60


def _start(pair, preempt, policy=None, hybrid=True, **parameters):
    migration = Migration(pair, transport='unix',
                          parameters={**SLOW_PUSH, **parameters})
    if policy:
        migration.parameters['hybrid-push-policy'] = policy
    migration.src_caps['hybrid'] = hybrid
    migration.at_both({'postcopy-preempt': preempt})
    migration.prepare()
    return migration, through(pair, migration)


def _wait_paused(migration, times=1, timeout=PATIENCE, sides=('src', 'dst')):
    """These sides have said so that many times."""
    def seen():
        return {side: migration.times(side, 'postcopy-paused')
                for side in sides}
    check(migration.pair.log.wait(lambda: min(seen().values()) >= times,
                                  timeout),
          f'not paused {times} times: {seen()}')


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
    through(pair, migration, 'migrate-recover')
    equal(migration.wait_end(), 'completed', 'ended as')
    migration.wait_status('dst', 'completed', timeout=PATIENCE)
    audit(pair, 'dst')


def _in_paging(logs, preempt, break_, by_itself=True, **settings):
    """break_(channels) in phase 5; paused at both ends; recovered; right."""
    with booted(logs, rate='unlimited') as pair:
        migration, channels = _start(pair, preempt, **settings)
        migration.wait_status('src', 'postcopy-active', timeout=PATIENCE)
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
    """Plain postcopy: no second copy."""
    with booted(logs, rate='unlimited') as pair:
        migration, channels = _start(pair, True, hybrid=False)
        migration.wait_status('src', 'active', timeout=PATIENCE)
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
        migration.wait_phase('paging', timeout=PATIENCE)
        until(lambda: not migration.hybrid()['push']['remaining-pages'],
              PATIENCE, 'nothing is left')
        time.sleep(1)           # for the end of the stream to get there
        equal(migration.info()['status'], 'postcopy-active', 'source')
        _pause(migration, 1)
        _not_at_source(pair)
        _recover(pair, migration)


def _recovery_without_preempt(logs, close_lost):
    with booted(logs, rate='unlimited') as pair:
        migration, channels = _start(pair, True)
        migration.wait_status('src', 'postcopy-active', timeout=PATIENCE)
        channels.close()
        _wait_paused(migration, 1)
        channels = through(pair, migration, 'migrate-recover',
                           lose=[PREEMPT], close_lost=close_lost)
        check(pair.log.wait(lambda: channels.accepted > PREEMPT, PATIENCE),
              'no channel for preemption')
        if close_lost:
            _wait_paused(migration, 2)
        else:
            pair.log.wait(lambda: all(
                migration.times(side, 'postcopy-active') > 1
                for side in ('src', 'dst')), PATIENCE, 'both go on')
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
        migration.wait_status('src', 'postcopy-active', timeout=PATIENCE)
        channels.close()
        _wait_paused(migration, 1)
        through(pair, migration, 'migrate-recover', stalled=True)
        for side in ('src', 'dst'):
            migration.wait_status(side, 'postcopy-recover', timeout=PATIENCE)
        _pause(migration, 2)
        _recover(pair, migration)


def _paused_destination(logs, end):
    """The guest there waits for pages; end(guest) has to end that QEMU."""
    with booted(logs, rate='unlimited') as pair:
        migration, channels = _start(pair, False)
        # RUNNING has come: what is lost before that may be the GRANT
        migration.wait_phase('paging', PATIENCE)
        channels.close()
        _wait_paused(migration, 1)
        stands_still(pair, 'dst')
        end(pair.dst)
        check(exits(pair.dst, 30), 'the destination does not end')
        _not_at_source(pair)


def sigterm_while_paused(logs):
    _paused_destination(logs, lambda guest: os.kill(
        guest.machine.get_pid(), signal.SIGTERM))


def quit_while_paused(logs):
    _paused_destination(logs,
                        lambda guest: guest.monitor.command('quit', oob=True))


def _pause_keeps_guest(logs, arrange, loaded=False, **parameters):
    """
    arrange(pair, migration, channels) stalls both; then migrate-pause: the
    guest is the source's, and runs on there. A destination that has loaded it
    cannot know: it may pause, and is to be ended.
    """
    with booted(logs, rate='unlimited') as pair:
        migration, channels = _start(pair, True, **parameters)
        arrange(pair, migration, channels)
        for connection in channels.connections:
            connection.stall()
        begin = time.monotonic()
        for guest in (pair.src, pair.dst):
            guest.monitor.command('migrate-pause', oob=True)
        equal(migration.wait_end(), 'failed', 'ended as')
        took = time.monotonic() - begin
        check(took < 5, f'the pause took {took:.1f} s')
        check('paused by the user' in migration.info()['error-desc'],
              f'error: {migration.info()["error-desc"]}')
        if loaded and migration.wait_status('dst', 'postcopy-paused',
                                            timeout=2, or_none=True):
            equal(pair.dst.status(), 'inmigrate', 'the destination')
            pair.dst.monitor.command('quit', oob=True)
        check(exits(pair.dst, PATIENCE), 'the destination does not end')
        audit(pair, 'src')


def pause_in_rounds(logs):
    def arrange(_pair, migration, _channels):
        migration.wait_phase('rounds', PATIENCE)
    _pause_keeps_guest(logs, arrange, **{'max-bandwidth': 8 << 20,
                                         'hybrid-max-rounds': 5})


def _no_loaded(channels):
    """The package waits for the second connection: LOADED comes after it."""
    channels.before[PREEMPT] = \
        lambda: channels.connections[MAIN].stall(TO_SRC)


def pause_in_handoff(logs):
    """The package has come, LOADED does not."""
    def arrange(pair, migration, channels):
        _no_loaded(channels)
        check(pair.log.wait(lambda: channels.accepted > PREEMPT, PATIENCE),
              'no channel for preemption')
        migration.wait_phase('state-transfer', PATIENCE)
    _pause_keeps_guest(logs, arrange, loaded=True,
                       **{'hybrid-handoff-timeout': 60000,
                          'max-bandwidth': 60 << 20})


def return_path_dies_in_rounds(logs):
    with booted(logs, rate='unlimited') as pair:
        migration, channels = _start(pair, False, **{
            'max-bandwidth': 8 << 20, 'hybrid-max-rounds': 50})
        migration.wait_phase('rounds', PATIENCE)
        channels.connections[MAIN].half_close(TO_SRC)
        equal(migration.wait_end(5), 'failed', 'ended as')
        audit(pair, 'src')


def recovery_not_connected(logs):
    """migrate-pause ends an attempt to connect, also with TLS' handshake."""
    with booted(logs, rate='unlimited') as pair:
        migration, channels = _start(pair, False)
        migration.wait_status('src', 'postcopy-active', timeout=PATIENCE)
        channels.close()
        _wait_paused(migration, 1)
        with full_queue(pair.run) as (_, path):
            pair.src.qmp('migrate', {'uri': f'unix:{path}', 'resume': True})
            migration.wait_status('src', 'postcopy-recover-setup',
                                  timeout=PATIENCE)
            pair.src.monitor.command('migrate-pause', oob=True)
            _wait_paused(migration, 2, timeout=10, sides=('src',))
        _recover(pair, migration)


_ALL = (return_path_dies, return_path_dies_preempt, preempt_dies,
        preempt_dies_on_demand, preempt_silent, preempt_silent_at_the_end,
        recovery_preempt_missing, recovery_preempt_closed, recovery_silent,
        forward_path_dies_preempt, preempt_dies_upstream,
        sigterm_while_paused, quit_while_paused, pause_in_rounds,
        pause_in_handoff, return_path_dies_in_rounds, recovery_not_connected)
CASES = {f.__name__.replace('_', '-'): f for f in _ALL}
#: The rest of them only in the long run.
LONG = {f.__name__.replace('_', '-') for f in (
    return_path_dies_preempt, forward_path_dies_preempt, preempt_silent,
    preempt_dies_upstream, quit_while_paused)}
