"""hybrid-peer-timeout: a peer, or a connection, that is silent is given up.

In a pause that can be recovered, or with the guest at the source; and
silence that has a reason is no alarm.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import signal
import time

from cases_lost import PATIENCE, _no_loaded, _recover, _wait_paused
from channels import MAIN, PREEMPT, TO_DST, TO_SRC, full_queue, through
from common import (IDLE, PATCHED, UNPATCHED, audit, booted, check,
                    equal, exits, pages_add_up)
from hybridmig.migrate import Migration
from hybridmig.monitor import QmpError
from threads import held

#: In ms; the machine may have much else to do.
TIMEOUT = 2000
NAME = 'hybrid-peer-timeout'
#: Phase 5 does not end by itself.
SLOW_PUSH = {'hybrid-max-rounds': 1, 'max-postcopy-bandwidth': 8 << 20}
ON_DEMAND = {'hybrid-max-rounds': 1, 'hybrid-push-policy': 'on-demand'}
#: Rounds take long.
SLOW_ROUNDS = {'max-bandwidth': 8 << 20, 'hybrid-max-rounds': 50}


def _start(pair, preempt, parameters, timeout=TIMEOUT, **lost):
    migration = Migration(pair, transport='unix',
                          parameters={NAME: timeout, **parameters})
    migration.at_both({'postcopy-preempt': preempt})
    migration.prepare()
    return migration, through(pair, migration, **lost)


def _signal(side, number):
    """Stop a QEMU, or let it go on; returns what does it to a pair."""
    return lambda pair, _channels: os.kill(pair.side(side).machine.get_pid(),
                                           number)


def _stall(which, *ways):
    return lambda _pair, channels: channels.connections[which].stall(*ways)


def _stall_all(_pair, channels):
    for connection in channels.connections:
        connection.stall()


def _named(migration, *texts, side='src'):
    """
    The error says which parameter, its value, and what was silent: one of
    the texts.
    """
    error = migration.info(side).get('error-desc', '')
    check(f'{NAME} ({TIMEOUT} ms)' in error and
          any(text in error for text in texts),
          f'{side}: {error!r}, expected one of {texts!r}')


def _in_paging(logs, preempt, silence, text, go_on=None, parameters=None):
    """silence(pair, channels) in phase 5: paused, by itself, and whole."""
    with booted(logs, rate='unlimited') as pair:
        migration, channels = _start(pair, preempt, parameters or SLOW_PUSH)
        migration.wait_phase('paging', PATIENCE)
        begin = time.monotonic()    # at once: the guest fetches what is left
        silence(pair, channels)
        if go_on:
            side = 'dst' if go_on == 'src' else 'src'
            _wait_paused(migration, sides=(side,))
            _signal(go_on, signal.SIGCONT)(pair, channels)
        _wait_paused(migration)
        took = time.monotonic() - begin
        check(took >= TIMEOUT / 1000 * 0.9, f'given up after {took:.1f} s')
        check(pair.src.status() != 'running', 'it runs at the source')
        if text:
            _named(migration, text)
        _recover(pair, migration)


def paging_all_silent(logs):
    _in_paging(logs, True, _stall_all,
               'Nothing was heard from the destination')


def paging_main_silent(logs):
    _in_paging(logs, False, _stall(MAIN),
               'Nothing was heard from the destination')


def paging_to_dst_silent(logs):
    """The destination notices, and the source hears of it."""
    _in_paging(logs, False, _stall(MAIN, TO_DST),
               'Nothing was heard from the source')


def paging_to_src_silent(logs):
    _in_paging(logs, True, _stall(MAIN, TO_SRC),
               'Nothing was heard from the destination')


def paging_preempt_silent(logs):
    """Everything else is alive; a vCPU needs a page."""
    _in_paging(logs, True, _stall(PREEMPT), 'on the preempt connection',
               parameters=ON_DEMAND)


def paging_preempt_silent_push(logs):
    _in_paging(logs, True, _stall(PREEMPT), 'preempt connection')


def paging_source_stopped(logs):
    _in_paging(logs, True, _signal('src', signal.SIGSTOP), None, go_on='src')


def paging_destination_stopped(logs):
    _in_paging(logs, True, _signal('dst', signal.SIGSTOP),
               'Nothing was heard from the destination', go_on='dst')


def _keeps_guest(logs, silence, text, parameters, phase, preempt=False,
                 dst_stopped=False, own=False, **lost):
    """
    Before the guest is given away: it runs on at the source.
    own: the destination has it by itself, not from the source
    """
    with booted(logs, rate='unlimited') as pair:
        if own:
            pair.dst.set_parameters({NAME: TIMEOUT})
        migration, channels = _start(pair, preempt, parameters, **lost)
        migration.wait_phase(phase, PATIENCE)
        if silence:
            silence(pair, channels)
        equal(migration.wait_end(PATIENCE), 'failed', 'ended as')
        _named(migration, text)
        if dst_stopped:
            _signal('dst', signal.SIGCONT)(pair, channels)
        check(exits(pair.dst, PATIENCE), 'the destination does not end')
        audit(pair, 'src')


def rounds_destination_stopped(logs):
    _keeps_guest(logs, _signal('dst', signal.SIGSTOP),
                 'Nothing was heard from the destination', SLOW_ROUNDS,
                 'rounds', dst_stopped=True)


def rounds_all_silent(logs):
    _keeps_guest(logs, _stall_all, 'Nothing was heard from the destination',
                 SLOW_ROUNDS, 'rounds')


def rounds_to_dst_silent(logs):
    _keeps_guest(logs, _stall(MAIN, TO_DST),
                 'Nothing was heard from the source', SLOW_ROUNDS, 'rounds')


def rounds_source_stopped(logs):
    """The destination is of no use any more; the guest runs on."""
    with booted(logs, rate='unlimited') as pair:
        migration, channels = _start(pair, False, SLOW_ROUNDS)
        migration.wait_phase('rounds', PATIENCE)
        _signal('src', signal.SIGSTOP)(pair, channels)
        check(exits(pair.dst, PATIENCE), 'the destination does not end')
        _signal('src', signal.SIGCONT)(pair, channels)
        equal(migration.wait_end(PATIENCE), 'failed', 'ended as')
        audit(pair, 'src')


def preparation_silent(logs):
    """There is no answer to the first question."""
    _keeps_guest(logs, None, 'while hybrid migration was being negotiated',
                 SLOW_ROUNDS, 'preparation', own=True, stalled=True)


def preempt_not_made(logs):
    """What accepts the second connection passes nothing on."""
    _keeps_guest(logs, None, 'preempt connection',
                 {'hybrid-max-rounds': 1, 'hybrid-handoff-timeout': 60000,
                  **ON_DEMAND}, 'rounds', preempt=True, lose=[PREEMPT])


def handoff_silent(logs):
    """The package has come, LOADED does not."""
    with booted(logs, rate='unlimited') as pair:
        migration, channels = _start(pair, True, {
            'hybrid-handoff-timeout': 60000, 'max-bandwidth': 60 << 20})
        _no_loaded(channels)
        migration.wait_phase('state-transfer', PATIENCE)
        equal(migration.wait_end(PATIENCE), 'failed', 'ended as')
        _named(migration, 'Nothing was heard from the destination')
        audit(pair, 'src')


def _recovery(logs, preempt, **lost):
    """The connections of a recovery are silent: paused again, recovered."""
    with booted(logs, rate='unlimited') as pair:
        migration, channels = _start(pair, preempt, SLOW_PUSH)
        migration.wait_status('src', 'postcopy-active', timeout=PATIENCE)
        channels.close()
        _wait_paused(migration)
        through(pair, migration, 'migrate-recover', **lost)
        _wait_paused(migration, 2)
        _recover(pair, migration)


def connect_silent(logs):
    """Nobody takes the connection: at first, and in a recovery."""
    with booted(logs, rate='unlimited') as pair, \
            full_queue(pair.run) as (_, path):
        migration = Migration(pair, transport='unix', parameters={
            NAME: TIMEOUT, **SLOW_PUSH})
        migration.prepare()
        pair.src.qmp('migrate', {'uri': f'unix:{path}'})
        equal(migration.wait_end(PATIENCE), 'failed', 'ended as')
        _named(migration, 'No connection')
        equal(pair.src.status(), 'running', 'the guest')
        migration = Migration(pair, transport='unix')
        channels = through(pair, migration)
        migration.wait_status('src', 'postcopy-active', timeout=PATIENCE)
        channels.close()
        _wait_paused(migration)
        pair.src.qmp('migrate', {'uri': f'unix:{path}', 'resume': True})
        _wait_paused(migration, 2, sides=('src',))
        _named(migration, 'No connection')
        _recover(pair, migration)


def recovery_silent(logs):
    _recovery(logs, False, stalled=True)


def recovery_silent_preempt(logs):
    _recovery(logs, True, stalled=True)


def recovery_preempt_lost(logs):
    _recovery(logs, True, lose=[PREEMPT])


def parameter(logs):
    """Off unless it is set; its range, and where it is shown."""
    with booted(logs) as pair:
        def value():
            return pair.src.qmp('query-migrate-parameters')[NAME]
        equal(value(), 0, 'default')
        for good in (100, 600000, 0, 3000):
            pair.src.set_parameters({NAME: good})
            equal(value(), good, 'value')
        for bad in (1, 99, 600001, -1, 1 << 33):
            try:
                pair.src.set_parameters({NAME: bad})
            except QmpError as exc:
                check(f"Parameter '{NAME}' expects 0 (off) or a value between "
                      f'100 and 600000, not {bad}' in str(exc), str(exc))
            else:
                check(False, f'{bad} is taken')
            equal(value(), 3000, 'value after a bad one')
        shown = pair.src.qmp('human-monitor-command',
                             {'command-line': 'info migrate_parameters'})
        check(f'{NAME}: 3000 ms' in shown, shown)
        audit(pair, 'src')


def set_while_paging(logs):
    """The operator sets it when something is wrong already."""
    with booted(logs, rate='unlimited') as pair:
        migration, channels = _start(pair, True, SLOW_PUSH, timeout=0)
        migration.wait_status('src', 'postcopy-active', timeout=PATIENCE)
        equal(migration.hybrid().get('peer-timeout'), 0, 'in effect')
        _stall_all(pair, channels)
        time.sleep(3)
        equal(migration.info()['status'], 'postcopy-active', 'while off')
        pair.src.set_parameters({NAME: TIMEOUT})
        _wait_paused(migration, sides=('src',))
        pair.dst.monitor.command('migrate-pause', oob=True)
        _wait_paused(migration)
        _named(migration, 'Nothing was heard from the destination')
        _recover(pair, migration)


def _quiet(logs, preempt, transport='unix', **more):
    """Nobody has anything to say, for long; and then all goes on."""
    with booted(logs, IDLE, rate='unlimited', **more) as pair:
        migration = Migration(pair, transport=transport, parameters={
            NAME: 1000, **ON_DEMAND, 'max-bandwidth': 8 << 20})
        migration.at_both({'postcopy-preempt': preempt,
                           'pause-before-switchover': True})
        migration.start()
        migration.wait_phase('rounds', PATIENCE)
        equal(migration.hybrid()['peer-timeout'], 1000, 'at the source')
        equal(migration.hybrid('dst')['peer-timeout'], 1000, 'there')
        pair.src.qmp('migrate-start-postcopy')
        migration.wait_status('src', 'pre-switchover', timeout=PATIENCE)
        time.sleep(4)
        pair.src.qmp('migrate-continue', {'state': 'pre-switchover'})
        migration.wait_status('src', 'postcopy-active', timeout=PATIENCE)
        time.sleep(4)
        pair.src.set_parameters({'hybrid-push-policy': 'bubble',
                                 'max-postcopy-bandwidth': 0})
        equal(migration.wait_end(), 'completed', 'ended as')
        check(migration.event('src', 'MIGRATION', status='postcopy-paused')
              is None, 'it was paused')
        pages_add_up(migration)
        audit(pair, 'dst')


def quiet(logs):
    _quiet(logs, False)


def quiet_preempt(logs):
    _quiet(logs, True)


def quiet_tls_preempt(logs):
    _quiet(logs, True, 'tls')


def busy_main_loops(logs):
    """Neither does anything for four times as long: that is no silence."""
    with booted(logs, rate='unlimited') as pair:
        migration, _ = _start(pair, True, {**SLOW_ROUNDS, **ON_DEMAND,
                                           'hybrid-max-rounds': 50},
                              timeout=1000)
        migration.wait_phase('rounds', PATIENCE)
        main_threads = [guest.machine.get_pid()
                        for guest in (pair.src, pair.dst)]
        with held(*main_threads):
            time.sleep(4)
        pair.src.qmp('migrate-start-postcopy')
        migration.wait_status('src', 'postcopy-active', timeout=PATIENCE)
        time.sleep(1)
        with held(*main_threads):
            time.sleep(4)
        pair.src.set_parameters({'hybrid-push-policy': 'bubble'})
        equal(migration.wait_end(), 'completed', 'ended as')
        check(migration.event('src', 'MIGRATION', status='postcopy-paused')
              is None, 'it was paused')
        audit(pair, 'dst')


def tls_destination_stopped(logs):
    with booted(logs, rate='unlimited') as pair:
        migration = Migration(pair, transport='tls', parameters={
            NAME: TIMEOUT, **SLOW_PUSH})
        migration.at_both({'postcopy-preempt': True})
        migration.start()
        migration.wait_status('src', 'postcopy-active', timeout=PATIENCE)
        _signal('dst', signal.SIGSTOP)(pair, None)
        _wait_paused(migration, sides=('src',))
        _named(migration, 'Nothing was heard from the destination')
        _signal('dst', signal.SIGCONT)(pair, None)
        _wait_paused(migration)
        pair.src.set_parameters({'max-postcopy-bandwidth': 0})
        migration.recover()
        equal(migration.wait_end(), 'completed', 'ended as')
        audit(pair, 'dst')


def _link_cut(logs, mode):
    """The cable is pulled, and put in again for the recovery."""
    with booted(logs, rate='400mbit') as pair:
        migration = Migration(pair, parameters={NAME: TIMEOUT, **SLOW_PUSH})
        migration.at_both({'postcopy-preempt': True})
        migration.start()
        migration.wait_status('src', 'postcopy-active', timeout=PATIENCE)
        pair.link.cut(mode)
        _wait_paused(migration)
        # What is in flight on either connection decides which is noticed
        # first: what the other end says, or that it takes nothing more.
        _named(migration, 'Nothing was heard from',
               'took nothing from the preempt connection')
        pair.link.heal()
        pair.src.set_parameters({'max-postcopy-bandwidth': 0})
        migration.recover()
        equal(migration.wait_end(), 'completed', 'ended as')
        audit(pair, 'dst')


def link_down(logs):
    _link_cut(logs, 'down')


def link_down_to_dst(logs):
    _link_cut(logs, 'to-dst')


def completion_silent(logs):
    """
    It completes as precopy; the destination is stopped when it has the guest.
    """
    with booted(logs, IDLE, rate='unlimited') as pair:
        migration, channels = _start(pair, False, {
            'hybrid-handoff-timeout': 60000})
        migration.when(lambda: _signal('dst', signal.SIGSTOP)(pair, channels),
                       'src', 'MIGRATION_HYBRID_PHASE', phase='state-transfer')
        end = pair.log.wait(lambda: migration.last_status('src') in (
            'failed', 'postcopy-paused', 'completed') and
            migration.last_status('src'), PATIENCE)
        _signal('dst', signal.SIGCONT)(pair, channels)
        if end == 'failed':     # before GRANT: the guest runs on
            _named(migration, 'Nothing was heard from the destination')
            audit(pair, 'src')
        elif end == 'postcopy-paused':
            _named(migration, 'Nothing was heard from the destination')
            check(pair.src.status() != 'running', 'it runs at the source')
        else:
            equal(end, 'completed', 'ended as')
            audit(pair, 'dst')


def slow_link(logs):
    """Signs of life stand behind what the link takes seconds to carry."""
    with booted(logs, 'hot pages=2000 rate=5000', rate='8mbit', mem=96,
                pages=5000) as pair:
        migration = Migration(pair, parameters={NAME: 1000,
                                                'hybrid-max-rounds': 1})
        migration.at_both({'postcopy-preempt': True})
        migration.start()
        equal(migration.wait_end(300), 'completed', 'ended as')
        check(migration.event('src', 'MIGRATION', status='postcopy-paused')
              is None, 'it was paused')
        audit(pair, 'dst')


def own_at_destination(logs):
    """The destination's own counts there, and only there."""
    with booted(logs, rate='unlimited') as pair:
        pair.dst.set_parameters({NAME: TIMEOUT})
        migration, channels = _start(pair, False, ON_DEMAND, timeout=0)
        migration.wait_status('src', 'postcopy-active', timeout=PATIENCE)
        equal(migration.hybrid()['peer-timeout'], 0, 'at the source')
        time.sleep(5)
        equal(migration.info()['status'], 'postcopy-active', 'source')
        channels.connections[MAIN].stall(TO_DST)
        _wait_paused(migration)
        _recover(pair, migration)


def _unpatched(logs, src, dst):
    """Nobody there knows it: without effect, and the source says so."""
    with booted(logs, src=src, dst=dst) as pair:
        caps = {'postcopy-ram': True, 'events': True}
        migration = Migration(
            pair, src_caps={**caps, **({'hybrid': True} if src == PATCHED
                                       else {})}, dst_caps=caps,
            parameters={NAME: 1000} if src == PATCHED else {})
        if dst == PATCHED:
            pair.dst.set_parameters({NAME: 1000})
        if src != PATCHED:
            migration.when(lambda: pair.src.qmp('migrate-start-postcopy'),
                           'src', 'MIGRATION_PASS', **{'pass': 2})
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        audit(pair, 'dst')
        if src == PATCHED:
            with open(pair.src.log_file, encoding='utf-8') as log:
                check(f'{NAME} has no effect' in log.read(), 'no warning')


def to_unpatched(logs):
    _unpatched(logs, PATCHED, UNPATCHED)


def from_unpatched(logs):
    _unpatched(logs, UNPATCHED, PATCHED)


_ALL = (paging_all_silent, paging_main_silent, paging_to_dst_silent,
        paging_to_src_silent, paging_preempt_silent,
        paging_preempt_silent_push, paging_source_stopped,
        paging_destination_stopped, rounds_destination_stopped,
        rounds_all_silent, rounds_to_dst_silent, rounds_source_stopped,
        preparation_silent, connect_silent, preempt_not_made, handoff_silent,
        recovery_silent, recovery_silent_preempt, recovery_preempt_lost,
        set_while_paging,
        parameter, quiet, quiet_preempt, quiet_tls_preempt, slow_link,
        busy_main_loops, tls_destination_stopped, link_down, link_down_to_dst,
        completion_silent, own_at_destination, to_unpatched, from_unpatched)
CASES = {'alive-' + f.__name__.replace('_', '-'): f for f in _ALL}
#: All but these.
LONG = set(CASES) - {'alive-' + f.__name__.replace('_', '-') for f in (
    paging_preempt_silent, paging_to_dst_silent, rounds_destination_stopped,
    handoff_silent, recovery_silent_preempt, busy_main_loops, parameter)}
