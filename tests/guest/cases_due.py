"""What the guest, or somebody, asks of the guest while it is being stopped, and
while it is sent: a suspend, a power off, a reset.

It happens before the guest is sent, and the destination has a guest to which
that happened; or the guest comes back and it happens then; or not at all. It
never happens to what is left at the source.

SPDX-License-Identifier: GPL-2.0-or-later
"""
from functools import partial

from common import check, equal
from hybridmig.monitor import QmpError
from hybridmig.waiting import until
from machines import SLOW, machines

#: As a vCPU would: by a port. What the guest is afterwards, and the event.
REQUESTS = {
    'reset': ('o /b 0x92 1', 'running', 'RESET'),
    'suspend': ('o /w 0x604 0x2400', 'suspended', 'SUSPEND'),
    'power-off': ('o /w 0x604 0x2000', 'shutdown', 'SHUTDOWN'),
}
BOTH = ['-no-shutdown']


def _firmware_is_through(guest):
    """It has said where the registers of ACPI are."""
    until(lambda: '0xffffffff' not in guest.hmp('i /w 0x604'), 20,
          'the power management has an address')


def _ask(guest, request):
    guest.hmp(REQUESTS[request][0])


def _happens(pair, request):
    name = REQUESTS[request][2]
    check(pair.log.wait(lambda: pair.log.find('src', name), 20),
          f'{name} does not come')


def _pair(logs):
    return machines(logs, src_extra=BOTH, dst_extra=BOTH)


def _is_over(pair, destination):
    equal(pair.wait_end(), 'completed', 'ended as')
    pair.dst.wait_status(destination)
    pair.src.wait_status('postmigrate')


def _before_it_is_sent(logs, request, handoff, ends):
    wanted = REQUESTS[request][1]
    with _pair(logs) as pair:
        _firmware_is_through(pair.src)
        pair.migrate(handoff, src_caps={'pause-before-switchover': True})
        pair.wait('pre-switchover')
        _ask(pair.src, request)
        _happens(pair, request)
        equal(pair.src.status(), 'finish-migrate', 'the source is')
        if ends == 'completed':
            pair.src.qmp('migrate-continue', {'state': 'pre-switchover'})
            _is_over(pair, wanted)
            guest = pair.dst
        else:
            pair.src.qmp('migrate_cancel')
            equal(pair.wait_end(), 'cancelled', 'ended as')
            equal(pair.src.wait_status(wanted), wanted, 'gone back, it is')
            guest = pair.src
        if request == 'suspend':
            guest.qmp('system_wakeup')
            guest.wait_status('running')


def due_before_it_is_sent(logs):
    """The guest is stopped: it becomes what was asked for, where it goes."""
    for request in REQUESTS:
        for handoff in (False, True):
            _before_it_is_sent(logs, request, handoff, 'completed')
        _before_it_is_sent(logs, request, False, 'cancelled')


def due_reset_of_what_was_off(logs):
    """A guest that was shut down, and is reset, need not be reset again."""
    with _pair(logs) as pair:
        _firmware_is_through(pair.src)
        _ask(pair.src, 'power-off')
        pair.src.wait_status('shutdown')
        pair.migrate(src_caps={'pause-before-switchover': True})
        pair.wait('pre-switchover')
        pair.src.qmp('system_reset')
        _happens(pair, 'reset')
        pair.src.qmp('migrate-continue', {'state': 'pre-switchover'})
        _is_over(pair, 'prelaunch')
        pair.dst.qmp('cont')
        pair.dst.wait_status('running')


def _while_it_is_sent(logs, request, ends):
    _, wanted, event = REQUESTS[request]
    with _pair(logs) as pair:
        _firmware_is_through(pair.src)
        pair.migrate(src_caps={'pause-before-switchover': True})
        check(pair.to_device(), 'no device state')
        _ask(pair.src, request)
        equal(pair.src.status(), 'finish-migrate', 'the source is')
        if ends == 'completed':
            pair.dst.freeze(False)
            _is_over(pair, 'running')
            check('is not done' in pair.src.output(), 'it says nothing')
            check(not pair.log.find('src', event), f'{event} came')
        else:
            pair.src.qmp('migrate_cancel')
            equal(pair.wait_end(), 'cancelled', 'ended as')
            _happens(pair, request)
            equal(pair.src.wait_status(wanted), wanted, 'gone back, it is')
            pair.dst.freeze(False)


def due_while_it_is_sent(logs):
    """It waits until the guest is back, or the guest is elsewhere."""
    for request in REQUESTS:
        for ends in ('completed', 'cancelled'):
            _while_it_is_sent(logs, request, ends)


def due_in_postcopy(logs):
    """The source stays what it is, and its guest cannot be woken up."""
    for request in REQUESTS:
        with _pair(logs) as pair:
            _firmware_is_through(pair.src)
            pair.migrate(True, src_caps={'hybrid': False},
                         max_postcopy_bandwidth=SLOW)
            pair.wait('postcopy-active')
            pair.dst.wait_status('running')
            _ask(pair.src, request)
            for _ in range(3):
                equal(pair.src.status(), 'finish-migrate', 'the source is')
            try:
                pair.src.qmp('system_wakeup')
                check(request != 'suspend', 'it could be woken up')
            except QmpError:
                pass
            pair.src.set_parameters({'max-postcopy-bandwidth': 0})
            _is_over(pair, 'running')
            check(not pair.log.find('src', REQUESTS[request][2]), 'it came')


def _suspend(guest):
    _ask(guest, 'suspend')
    guest.qmp('system_wakeup')


def _turn_off(guest):
    """By a reset that is none: nothing has to be set up by the firmware."""
    guest.qmp('set-action', {'reboot': 'shutdown'})
    guest.qmp('system_reset')
    guest.qmp('set-action', {'reboot': 'reset'})
    guest.qmp('system_reset')
    guest.qmp('cont')


def _ask_until_sent(pair, what):
    """False: it is being sent."""
    if pair.had('device'):
        return False
    try:
        what(pair.src)
    except QmpError:
        pass                    # it was not asleep yet, or is being sent
    return True


def _last_of(log, names):
    """The last of these events at the source, before its guest was sent."""
    events = [e for e in log.events if e.side == 'src']
    begin, end = (events.index(log.find('src', 'MIGRATION', status=status))
                  for status in ('device', 'completed'))
    late = [e.name for e in events[begin:end] if e.name in names]
    check(not late, f'while it was sent came {late}')
    known = [e.name for e in events[:begin] if e.name in names]
    return known[-1] if known else None


def _up_to_switchover(logs, what, state_after):
    """state_after: what the destination is after the source's last event."""
    for number in range(6):
        with _pair(logs) as pair:
            _firmware_is_through(pair.src)
            with pair.all_the_time(partial(_ask_until_sent, pair, what)):
                pair.migrate(handoff=number % 2 == 0)
                equal(pair.wait_end(), 'completed', 'ended as')
            last = _last_of(pair.log, state_after)
            check(last, 'nothing was tried')
            pair.dst.wait_status(state_after[last])


def due_suspend(logs):
    """A guest that falls asleep all the time goes to sleep before it goes."""
    _up_to_switchover(logs, _suspend,
                      {'SUSPEND': 'suspended', 'WAKEUP': 'running'})


def due_power_off(logs):
    """So does one that is turned off and on all the time."""
    _up_to_switchover(logs, _turn_off, {
        'SHUTDOWN': 'shutdown', 'RESET': 'prelaunch', 'RESUME': 'running'})


CASES = {f.__name__.replace('_', '-'): f for f in (
    due_before_it_is_sent, due_reset_of_what_was_off, due_while_it_is_sent,
    due_in_postcopy, due_suspend, due_power_off)}
