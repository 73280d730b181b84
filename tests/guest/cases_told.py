"""What a source says to commands that tell the guest something, when the
guest's state has been sent; and how to begin it anew when it has gone.

SPDX-License-Identifier: GPL-2.0-or-later
"""
from common import check, equal
from hybridmig.monitor import QmpError
from machines import machines, refused

DEVICES = ['-netdev', 'hubport,id=h,hubid=0', '-device',
           'e1000,id=n,netdev=h,romfile=', '-device', 'virtio-balloon-pci',
           '-blockdev', 'null-co,node-name=m,read-only=on,size=1048576',
           '-device', 'ide-cd,id=cd,drive=m',
           '-blockdev', 'null-co,node-name=d,size=1048576',
           '-device', 'ide-hd,id=hd,drive=d']
#: In this order.
COMMANDS = [
    ('inject-nmi', None),
    ('balloon', {'value': 32 << 20}),
    ('set_link', {'name': 'n', 'up': False}),
    ('send-key', {'keys': [{'type': 'qcode', 'data': 'a'}]}),
    ('block_resize', {'node-name': 'd', 'size': 2 << 20}),
    ('blockdev-open-tray', {'id': 'cd', 'force': True}),
    ('eject', {'id': 'cd', 'force': True}),
    ('system_powerdown', None),
    ('system_reset', None),
]
#: The driver cannot do it.
IMPOSSIBLE = 'block_resize'


def told_in_switchover(logs):
    """All are refused with one error, and obeyed when the guest is back."""
    with machines(logs, src_extra=DEVICES, dst_extra=DEVICES) as pair:
        pair.migrate(src_caps={'pause-before-switchover': True})
        check(pair.to_device(), 'no device state')
        for command, arguments in COMMANDS:
            said = refused(pair.src, command, arguments)
            check('being handed over' in said, f'{command}: {said}')
        for line in ('nmi', 'balloon 32', 'set_link n off', 'sendkey a'):
            check('being handed over' in pair.src.hmp(line), line)
        pair.src.qmp('migrate_cancel')
        equal(pair.wait_end(), 'cancelled', 'ended as')
        equal(pair.src.wait_status('running'), 'running', 'the source is')
        for command, arguments in COMMANDS:
            try:
                pair.src.qmp(command, arguments)
            except QmpError as exc:
                check(command == IMPOSSIBLE and 'handed over' not in str(exc),
                      f'{command}: {exc}')
        pair.dst.freeze(False)


def begun_anew_without_reboots(logs):
    """-no-reboot makes a reset the end of QEMU; the error says what helps."""
    with machines(logs, src_extra=['-no-reboot']) as pair:
        pair.migrate(handoff=True)
        equal(pair.wait_end(), 'completed', 'ended as')
        said = refused(pair.src, 'cont')
        check('set-action reboot=reset' in said, said)
        pair.src.qmp('set-action', {'reboot': 'reset'})
        pair.src.qmp('system_reset')
        check(pair.log.wait(lambda: pair.log.find('src', 'RESET'), 20),
              'no reset')
        pair.src.qmp('cont')
        equal(pair.src.wait_status('running'), 'running', 'the source is')


CASES = {f.__name__.replace('_', '-'): f for f in (
    told_in_switchover, begun_anew_without_reboots)}
