"""The guest was asked to let a device go, and the destination has it no more.

The sections that the source announces are not those of such a device: the
guest has until the stop. A guest that keeps it is found out there.

SPDX-License-Identifier: GPL-2.0-or-later
"""
from common import check, equal
from hybridmig.waiting import until
from machines import SLOW, machines

SLOT = 9
BUS_PORT, EJECT_PORT = 0xae10, 0xae08

#: name: the devices, of which the first is asked
DEVICES = {
    'card': ['e1000,id=n,addr=9,romfile='],
    'child': ['virtio-net-pci,id=n,addr=9,romfile='],
    'function': ['e1000,id=n,addr=9.1,romfile=',
                 'e1000,id=m,addr=9.0,multifunction=on,romfile='],
    'plugged-in': ['virtio-scsi-pci,id=n,addr=9',
                   'scsi-hd,id=m,bus=n.0,drive=d'],
}


def _line(name):
    line = ['-blockdev', 'null-co,node-name=d,size=1048576']
    for device in DEVICES[name]:
        line += ['-device', device]
    return line


def _eject(guest):
    guest.hmp(f'o /w {BUS_PORT:#x} 0')
    guest.hmp(f'o /w {EJECT_PORT:#x} {1 << SLOT:#x}')


def _to_rounds(pair):
    pair.src.qmp('device_del', {'id': 'n'})
    pair.migrate(max_bandwidth=SLOW, downtime_limit=1,
                 avail_switchover_bandwidth=0)
    pair.log.wait(lambda: pair.log.find(
        'src', 'MIGRATION_HYBRID_PHASE', phase='rounds') or
        pair.had('failed'), 30, 'rounds')
    info = pair.src.qmp('query-migrate')
    equal(info['status'], 'active', f"it is ({info.get('error-desc')})")


def asked_to_leave(logs):
    for name in DEVICES:
        with machines(logs, src_extra=_line(name)) as pair:
            _to_rounds(pair)
            _eject(pair.src)
            until(lambda p=pair: p.log.find('src', 'DEVICE_DELETED',
                                            device='n'), 20, 'it leaves')
            pair.src.set_parameters({
                'max-bandwidth': 1 << 30, 'downtime-limit': 10000})
            equal(pair.wait_end(), 'completed', f'{name}: ended as')
            equal(pair.dst.wait_status('running'), 'running', 'destination')


def asked_and_kept(logs):
    """The guest does not let it go: refused then, and whole."""
    with machines(logs, src_extra=_line('card')) as pair:
        _to_rounds(pair)
        pair.src.set_parameters({
            'max-bandwidth': 1 << 30, 'downtime-limit': 10000})
        equal(pair.wait_end(), 'failed', 'ended as')
        error = pair.src.qmp('query-migrate')['error-desc']
        check('e1000' in error, f'it says: {error}')
        equal(pair.src.wait_status('running'), 'running', 'the source')


CASES = {f.__name__.replace('_', '-'): f for f in (
    asked_to_leave, asked_and_kept)}
