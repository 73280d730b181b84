"""A destination whose memory is not the guest's refuses before the first page.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os

from common import audit, booted, check, equal, exits
from hybridmig.migrate import Migration

SMALL = {'bare': True, 'mem': 64, 'pages': 8192, 'rate': '200mbit'}
MIB = 1 << 20
ROOM = ['-m', '64,slots=200,maxmem=8G']
DIMM = ('memory-backend-ram,id=m0,size=32M', 'pc-dimm,id=d0,memdev=m0')
HIGH = '0x180000000'


def _memory(backend, device):
    return ['-object', backend, '-device', device]


def _video(mib):
    return ['-device', f'VGA,addr=9,vgamem_mb={mib}']


#: At the source, at the destination, what the error names
OTHER = {
    'less': (['-m', '64'], ['-m', '32'],
             "'pc.ram' has 65536 KiB, and there 32768 KiB"),
    'more': (['-m', '64'], ['-m', '128'],
             "'pc.ram' has 65536 KiB, and there 131072 KiB"),
    'name': ([], ['-object', 'memory-backend-ram,id=node0,size=64M',
                  '-numa', 'node,memdev=node0'], "'pc.ram' is missing there"),
    'dimm': (_memory(*DIMM), [], "'m0' is missing there"),
    'size of a dimm': (_memory(*DIMM),
                       _memory('memory-backend-ram,id=m0,size=64M', DIMM[1]),
                       "'m0' has 32768 KiB, and there 65536 KiB"),
    'address of a dimm': (_memory(*DIMM),
                          _memory(DIMM[0], f'{DIMM[1]},addr={HIGH}'),
                          "'m0' lies at 0x100000000, and there at " + HIGH),
    'split': ([], ['-machine', 'max-ram-below-4g=32M'],
              "'pc.ram' lies at 0x0, and there at 0xfe000000"),
    'device': (_video(8), _video(16),
               "vga.vram' has 8192 KiB, and there 16384 KiB"),
}


def blocks_other(logs):
    for name, (src, dst, text) in OTHER.items():
        print(f'# {name}')
        room = ROOM if 'dimm' in name else []
        with booted(logs, 'idle', extra=room, link={'src_extra': src},
                    dst_extra=dst, **SMALL) as pair:
            migration = Migration(pair).start()
            equal(migration.wait_end(), 'failed', 'ended as')
            info = migration.info()
            for part in ("its memory is not the guest's: ", text):
                check(part in info['error-desc'],
                      f'no word of {part}: {info["error-desc"]}')
            hybrid = info['hybrid']
            equal((hybrid.get('rounds', []), hybrid['pages']['total']),
                  ([], 0), 'rounds and pages')
            check(exits(pair.dst), 'the destination does not exit')
            check(text in pair.dst.output(), 'its log does not name it')
            audit(pair, 'src')


def blocks_plugged(logs):
    """
    A DIMM that was plugged into the source and that the destination is started
    with is the guest's, what is in it too; so are a hundred and fifty others.
    """
    size = 4 * MIB
    with booted(logs, 'hot pages=4000 rate=100000', extra=[*ROOM, *[
            word for n in range(1, 150) for word in _memory(
                f'memory-backend-ram,id=m{n},size=2M',
                f'pc-dimm,id=d{n},memdev=m{n},addr={hex((n + 64) << 26)}')]],
                dst_extra=['-S'], **SMALL) as pair:
        files = {}
        for side in ('src', 'dst'):
            files[side] = f'/dev/shm/{pair.run.unique()}'
            pair.run.callback(os.unlink, files[side])
            with open(files[side], 'wb') as file:
                file.write(os.urandom(size) if side == 'src' else b'')
                file.truncate(size)
            pair.side(side).qmp('object-add', {
                'qom-type': 'memory-backend-file', 'id': 'm0', 'share': True,
                'size': size, 'mem-path': files[side]})
        pair.src.qmp('device_add', {'driver': 'pc-dimm', 'id': 'd0',
                                    'memdev': 'm0'})
        pair.dst.qmp('device_add', {'driver': 'pc-dimm', 'id': 'd0',
                                    'memdev': 'm0'})
        migration = Migration(pair, parameters={'hybrid-max-rounds': 1})
        migration.start()
        migration.wait_status('dst', 'completed')
        equal(migration.hybrid()['action'], 'handoff', 'action')
        with open(files['src'], 'rb') as src, open(files['dst'], 'rb') as dst:
            check(src.read() == dst.read(), 'another memory in the DIMM')
        pair.dst.qmp('cont')
        audit(pair, 'dst')


CASES = {f.__name__.replace('_', '-'): f for f in (
    blocks_other, blocks_plugged)}
