"""Devices with memory of their own that leave in the middle of the rounds.

"device_del" only asks the guest, which may take its time: the device and its
memory go while a migration runs that began meanwhile.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import functools
import os
import tempfile

from common import IDLE, audit, booted, check, equal, wait_until
from hybridmig.migrate import Migration

MIB = 1 << 20
CARD, BOARD = 'card', 'board'
HOT = 'hot pages=6000 rate=100000'
PCI_SLOT = 8


def _out(guest, size, port, value):
    guest.qmp('human-monitor-command',
              {'command-line': f'o /{size} {port:#x} {value:#x}'})


def _eject_card(guest):
    """As a guest does that was asked to, by ACPI."""
    _out(guest, 'w', 0xae10, 0)             # the bus
    _out(guest, 'w', 0xae08, 1 << PCI_SLOT)


def _eject_board(guest):
    _out(guest, 'w', 0xa00, 0)              # the slot
    _out(guest, 'b', 0xa14, 1 << 3)


@contextlib.contextmanager
def _extra(device):
    """Arguments of both QEMUs."""
    if device == BOARD:
        yield ['-object', 'memory-backend-ram,id=more,size=128M',
               '-device', f'pc-dimm,memdev=more,id={BOARD}']
        return
    with tempfile.NamedTemporaryFile(prefix='hybrid-rom-') as rom:
        rom.write(os.urandom(4 * MIB))
        rom.flush()
        yield ['-device', f'virtio-net-pci,id={CARD},addr={PCI_SLOT:#x},'
               f'romfile={rom.name}']


def leaves(device, keeps, workload, action, logs):
    """
    keeps: the memory of the board stays there, unused; else a client deletes
    it when it hears that the board is gone, as they do
    """
    eject = _eject_card if device == CARD else _eject_board
    with _extra(device) as extra, \
         booted(logs, workload, bare=True, mem='64,slots=2,maxmem=1G',
                pages=12000, rate='150mbit', extra=extra) as pair:
        pair.src.qmp('device_del', {'id': device})
        migration = Migration(pair, parameters={'hybrid-max-rounds': 2})
        migration.when(lambda: eject(pair.src), 'src',
                       'MIGRATION_HYBRID_PHASE', phase='rounds', round=1)
        if device == BOARD and not keeps:
            migration.when(lambda: pair.src.qmp('object-del', {'id': 'more'}),
                           'src', 'DEVICE_DELETED', device=device)
        migration.start()
        wait_until(lambda: migration.event('src', 'DEVICE_DELETED',
                                           device=device), 'the eject')
        equal(migration.wait_end(), 'completed', 'ended as')
        equal(migration.hybrid()['action'], action, 'action')
        equal(migration.info()['ram']['remaining'], 0, 'bytes left')
        check(pair.log.wait(lambda: migration.event(
            'dst', 'MIGRATION', status='completed'), 20), 'destination')
        audit(pair, 'dst')


CASES = {
    f'{device}-leaves-{"stays" if keeps else "goes"}-{action}':
    functools.partial(leaves, device, keeps, workload, action)
    for device, keeps in ((CARD, False), (BOARD, False), (BOARD, True))
    for workload, action in ((HOT, 'handoff'), (IDLE, 'complete'))}
