"""Run states: what they are at both ends after a migration, and that "cont"
can leave them.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import socket
from functools import partial

from common import check, equal
from hybridmig.monitor import QmpError
from hybridmig.waiting import until
from machines import SLOW, machines, refused

ACPI_CONTROL = '0x604'


def _gdb(guest):
    """Single step: what a breakpoint does."""
    path = guest.log_file + '.gdb'
    guest.hmp(f'gdbserver unix:{path},server=on,wait=off')
    with socket.socket(socket.AF_UNIX) as gdb:
        gdb.connect(path)
        gdb.sendall(b'+$?#3f')
        gdb.recv(100)
        gdb.sendall(b'+$s#73')
        guest.wait_status('debug')
    guest.hmp('gdbserver none')


def _failed_snapshot_load(guest):
    guest.qmp('blockdev-add', {'driver': 'null-co', 'node-name': 'n',
                               'size': 1 << 20})
    guest.hmp('loadvm none')


#: name: how it is entered, more arguments at both sides, how it arrives
#: (at a destination without and with -S)
STATES = {
    'running': (lambda g: None, [], 'running', 'paused'),
    'paused': (lambda g: g.qmp('stop'), [], 'paused', 'paused'),
    'prelaunch': (lambda g: None, [], 'prelaunch', 'prelaunch'),
    'suspended': (lambda g: g.hmp(f'o /w {ACPI_CONTROL} 0x2400'), [],
                  'suspended', 'paused'),
    'shutdown': (lambda g: g.hmp(f'o /w {ACPI_CONTROL} 0x2000'),
                 ['-no-shutdown'], 'shutdown', 'shutdown'),
    'guest-panicked': (lambda g: g.hmp('o /b 0x505 1'),
                       ['-device', 'pvpanic', '-action', 'panic=pause'],
                       'guest-panicked', 'guest-panicked'),
    'watchdog': (lambda g: g.hmp('o /b 0x443 15'),
                 ['-device', 'ib700', '-action', 'watchdog=pause'],
                 'watchdog', 'watchdog'),
    'io-error': (lambda g: None, [
        '-blockdev', 'driver=raw,node-name=bad,file.driver=blkdebug,'
        'file.image.driver=null-co,file.image.size=1048576,'
        'file.inject-error.0.event=read_aio,file.inject-error.0.errno=5',
        '-device', 'ide-hd,drive=bad,rerror=stop,bootindex=0'],
        'io-error', 'io-error'),
    'debug': (_gdb, [], 'paused', 'paused'),
    'restore-vm': (_failed_snapshot_load, [], 'paused', 'paused'),
}


def _enter(pair, name):
    enter = STATES[name][0]
    # Nobody is at that address before the firmware has set it up
    early = name in ('suspended', 'shutdown')

    def entered():
        enter(pair.src)
        return until(lambda: pair.src.status() == name, 0.5 if early else 20)
    until(entered, 20 if early else 0, f'the source is {name}',
          pair.src.status)


def _leave(guest, name):
    """However the guest came there, "cont" goes on, after a reset if it is
    one of the states that want it."""
    if guest.status() in ('shutdown', 'internal-error'):
        check('eset' in refused(guest, 'cont'), 'cont')
        guest.qmp('system_reset')
        guest.wait_status('prelaunch', 'paused')
    guest.qmp('cont')
    goes_on = 'suspended' if name == 'suspended' else 'running'
    # The disk whose error stopped the guest fails again.
    wanted = (goes_on, name) if name == 'io-error' else (goes_on,)
    check(guest.wait_status(*wanted) in wanted,
          f'{guest.side} is {guest.status()} after cont')


def _setup(name):
    extra = STATES[name][1]
    src = extra + (['-S'] if name == 'prelaunch' else [])
    return {'src_extra': src, 'dst_extra': extra}


def _arrives(logs, name, handoff, stopped):
    how = _setup(name)
    how['dst_extra'] = how['dst_extra'] + (['-S'] if stopped else [])
    with machines(logs, **how) as pair:
        _enter(pair, name)
        if name == 'restore-vm':
            pair.dst.qmp('blockdev-add', {
                'driver': 'null-co', 'node-name': 'n', 'size': 1 << 20})
        pair.migrate(handoff)
        equal(pair.wait_end(), 'completed', f'{name} ended as')
        info = pair.src.qmp('query-migrate')['hybrid']
        equal((info['agreed'], info['action']),
              (True, 'handoff' if handoff else 'complete'), 'hybrid')
        wanted = STATES[name][3 if stopped else 2]
        equal(pair.dst.wait_status(wanted), wanted,
              f'{name}, handoff {handoff}, -S {stopped}: the destination is')
        equal(pair.src.wait_status('postmigrate'), 'postmigrate', 'source')
        _leave(pair.dst, name)


def _goes_back(logs, name):
    with machines(logs, **_setup(name)) as pair:
        _enter(pair, name)
        pair.migrate(src_caps={'pause-before-switchover': True})
        check(pair.to_device(), 'no device state')
        pair.src.qmp('migrate_cancel')
        equal(pair.wait_end(), 'cancelled', f'{name} ended as')
        equal(pair.src.wait_status(name), name, 'gone back, the source is')
        pair.dst.freeze(False)
        check(pair.dst.wait_exit() is not None, 'the destination lives on')
        _leave(pair.src, name)


def run_states_arrive(logs):
    for name in STATES:
        for handoff in (False, True):
            for stopped in (False, True):
                _arrives(logs, name, handoff, stopped)


def run_states_come_back(logs):
    for name in STATES:
        _goes_back(logs, name)


def _quits(logs, moment):
    """
    The source's QEMU is told to quit before GRANT: the guest ends with it,
    and the destination, which is told so, does not start it.
    """
    with machines(logs) as pair:
        if moment == 'active':
            pair.migrate(max_bandwidth=SLOW)
            pair.wait('active')
        else:
            # A handoff: the rest of memory would fill the frozen socket,
            # and nothing that is said behind it could be heard
            pair.migrate(handoff=True,
                         src_caps={'pause-before-switchover': True})
            pair.wait('pre-switchover')
            if moment == 'device':
                check(pair.to_device(), 'no device state')
        pair.src.qmp('quit')
        equal(pair.src.wait_exit(), 0, f'quit in {moment}: exit code')
        pair.dst.freeze(False)
        check(pair.dst.wait_exit() is not None,
              f'quit in {moment}: the destination lives on')
        check(not pair.log.find('dst', 'RESUME'), 'it runs the guest')
        if moment == 'device':
            check('The source keeps the guest' in pair.dst.output(),
                  f'the destination says: {pair.dst.output()}')


def quit_at_source(logs):
    for moment in ('active', 'pre-switchover', 'device'):
        _quits(logs, moment)


def _while_it_is_sent(logs, command, event):
    """Refused, also by HMP; obeyed when the guest has come back."""
    with machines(logs) as pair:
        pair.migrate(src_caps={'pause-before-switchover': True})
        check(pair.to_device(), 'no device state')
        check('handed over' in refused(pair.src, command), 'not refused')
        check('handed over' in pair.src.hmp(command), 'HMP')
        pair.src.qmp('migrate_cancel')
        equal(pair.wait_end(), 'cancelled', 'ended as')
        equal(pair.src.wait_status('running'), 'running', 'the source is')
        check(not pair.log.find('src', event), f'{event} came')
        pair.src.qmp(command)
        check(pair.log.wait(lambda: pair.log.find('src', event), 20),
              f'{event} did not come')
        pair.dst.freeze(False)


def reset_in_switchover(logs):
    """It would hit a guest that has been sent."""
    _while_it_is_sent(logs, 'system_reset', 'RESET')


def power_button(logs):
    """Its press would be lost."""
    _while_it_is_sent(logs, 'system_powerdown', 'POWERDOWN')


def _events(log, begin, end):
    """Names of the source's, from one status of the migration to another."""
    seen = [(e.name, e.data.get('status')) for e in log.events
            if e.side == 'src']
    return [name for name, _ in seen[seen.index(('MIGRATION', begin)):
                                     seen.index(('MIGRATION', end))]]


def _reset(guest):
    """False: it is refused."""
    try:
        guest.qmp('system_reset')
        return True
    except QmpError:
        return False


def resets_up_to_switchover(logs):
    """
    A reset that is due when the guest is stopped comes before its state is
    sent, or not at all: later it would change what is being sent.
    """
    for number in range(10):
        with machines(logs) as pair:
            with pair.all_the_time(partial(_reset, pair.src)):
                pair.migrate(handoff=number % 2 == 0)
                equal(pair.wait_end(), 'completed', 'ended as')
            check(pair.log.find('src', 'RESET'), 'nothing was tried')
            check('RESET' not in _events(pair.log, 'device', 'completed'),
                  'it was reset while it was handed over')
            equal(pair.dst.wait_status('running'), 'running', 'destination')


def snapshot_in_pre_switchover(logs):
    """It is refused, and the guest runs where the migration takes it."""
    with machines(logs) as pair:
        pair.migrate(src_caps={'pause-before-switchover': True})
        pair.wait('pre-switchover')
        for command in ('savevm', 'loadvm'):
            said = pair.src.hmp(f'{command} tag')
            check('migration process in progress' in said, f'{said}')
        pair.src.qmp('migrate-continue', {'state': 'pre-switchover'})
        equal(pair.wait_end(), 'completed', 'ended as')
        equal(pair.dst.wait_status('running'), 'running', 'destination')


def devices_saved_in_pre_switchover(logs):
    """
    What Xen's tools may ask for is refused: it would note that the guest runs,
    and one that was paused would run at the destination.
    """
    with machines(logs) as pair:
        pair.src.qmp('stop')
        pair.migrate(src_caps={'pause-before-switchover': True})
        pair.wait('pre-switchover')
        for command in ('save', 'load'):
            said = refused(pair.src, f'xen-{command}-devices-state', {
                'filename': f'{pair.run.folder}/state'})
            check('migration process in progress' in said, said)
        pair.src.qmp('migrate-continue', {'state': 'pre-switchover'})
        equal(pair.wait_end(), 'completed', 'ended as')
        equal(pair.dst.wait_status('paused'), 'paused', 'destination')


def paused_to_unpatched(logs):
    """
    An unpatched destination runs after postcopy what stood still at the
    source: so this one completes as precopy, whatever bounds there are.
    """
    with machines(logs, dst='qemu-base') as pair:
        pair.src.qmp('stop')
        pair.migrate(handoff=True, hybrid_max_rounds=1)
        pair.src.qmp('migrate-set-parameters', {'max-bandwidth': 1 << 30})
        equal(pair.wait_end(), 'completed', 'ended as')
        equal(pair.dst.wait_status('paused'), 'paused', 'destination')
        pair.dst.qmp('cont')
        equal(pair.dst.wait_status('running'), 'running', 'after cont')


CASES = {f.__name__.replace('_', '-'): f for f in (
    run_states_arrive, run_states_come_back, quit_at_source,
    reset_in_switchover, power_button, resets_up_to_switchover,
    snapshot_in_pre_switchover, devices_saved_in_pre_switchover,
    paused_to_unpatched)}
