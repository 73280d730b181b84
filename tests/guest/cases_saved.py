"""Devices whose saving or loading has ended a QEMU, or failed without a reason.

SPDX-License-Identifier: GPL-2.0-or-later
"""
from common import PATCHED, UNPATCHED, audit, booted, check, equal
from hybridmig.migrate import DST_CAPABILITIES, Migration

SMALL = {'bare': True, 'mem': 64, 'pages': 8192, 'rate': '200mbit'}
SERIAL_2X = ['-device', 'pci-serial-2x']
SERIAL_4X = ['-device', 'pci-serial-4x']
SD_SPI = ['-device', 'sdhci-pci',
          '-blockdev', 'null-co,node-name=card,read-zeroes=on,size=1048576',
          '-device', 'sd-card-spi,drive=card']


def _moves(logs, device, workload='idle', **builds):
    with booted(logs, workload, extra=device, **builds, **SMALL) as pair:
        migration = Migration(pair) if 'src' not in builds else \
            Migration(pair, src_caps=DST_CAPABILITIES)
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        audit(pair, 'dst')


def saved_serial_2x(logs):
    """Two of the four ports that its kind may have are not there."""
    _moves(logs, SERIAL_2X)
    _moves(logs, SERIAL_2X, 'hot pages=4000 rate=100000')


def saved_serial_4x(logs):
    """The card that has all is saved as ever."""
    _moves(logs, SERIAL_4X, dst=UNPATCHED)
    _moves(logs, SERIAL_4X, src=UNPATCHED, dst=PATCHED)


def saved_sd_spi(logs):
    """A card that is powered up when its state comes."""
    _moves(logs, SD_SPI)


def saved_serial_port(logs):
    """One end only has a port: which is said at the source."""
    bus = ['-device', 'virtio-serial-pci', '-chardev', 'null,id=nothing']
    port = [*bus, '-device', 'virtserialport,chardev=nothing,nr=2,name=two']
    for src, dst, who in ((port, bus, 'source'), (bus, port, 'destination')):
        with booted(logs, 'idle', link={'src_extra': src}, dst_extra=dst,
                    **SMALL) as pair:
            migration = Migration(pair).start()
            equal(migration.wait_end(), 'failed', 'ended as')
            error = migration.info()['error-desc']
            check(f'the {who} only has a port 2' in error, error)
            audit(pair, 'src')


CASES = {f.__name__.replace('_', '-'): f for f in (
    saved_serial_2x, saved_serial_4x, saved_serial_port, saved_sd_spi)}
