"""A destination whose devices are not the guest's refuses before the first page.

SPDX-License-Identifier: GPL-2.0-or-later
"""
from common import audit, booted, check, equal, exits
from hybridmig.migrate import Migration

SMALL = {'bare': True, 'mem': 64, 'pages': 8192, 'rate': '200mbit'}
NIC = ['-device', 'e1000,addr=9']
#: So many disks that their names fill more than one message
DISKS = 900

#: At the source, at the destination, what the error names
MISSING = {
    'card': (NIC, [], ["'e1000' at 0000:00:09.0 is missing"]),
    'other card': (NIC, ['-device', 'rtl8139,addr=9'],
                   ["'e1000' at 0000:00:09.0 is missing"]),
    'other slot': (NIC, ['-device', 'e1000,addr=8'],
                   ["'e1000' at 0000:00:09.0 is missing"]),
    'vcpu': (['-smp', '2'], ['-smp', '1'],
             ["'cpu_common' (number 1)", "'cpu' (number 1)"]),
    'option': (['-machine', 'hpet=on'], ['-machine', 'hpet=off'], ["'hpet'"]),
    'port': (['-device', 'usb-ehci,addr=9', '-device', 'usb-tablet,port=2'],
             ['-device', 'usb-ehci,addr=9', '-device', 'usb-tablet,port=1'],
             ["'usb-ptr' at 0000:00:09.0/2"]),
    'many': (['-device', 'pci-bridge,chassis_nr=1,id=b,addr=9'] +
             [word for n in range(6) for word in
              ('-device', f'e1000,bus=b,addr={n + 1}')], [],
             ["'e1000' at 0000:00:09.0:01.0", 'and 4 more']),
}


def _refused(pair, texts):
    migration = Migration(pair)
    migration.start()
    equal(migration.wait_end(), 'failed', 'ended as')
    info = migration.info()
    for text in ("its devices are not the guest's", *texts):
        check(text in info['error-desc'],
              f'no word of {text}: {info["error-desc"]}')
    hybrid = info['hybrid']
    equal((hybrid.get('rounds', []), hybrid['pages']['total']), ([], 0),
          'rounds and pages')
    check(pair.log.find('src', 'STOP') is None, 'the guest stood still')
    check(exits(pair.dst), 'the destination does not exit')
    check(texts[0] in pair.dst.output(), 'its log does not name it')


def devices_missing(logs):
    for name, (src, dst, texts) in MISSING.items():
        print(f'# {name}')
        with booted(logs, 'idle', link={'src_extra': src}, dst_extra=dst,
                    **SMALL) as pair:
            _refused(pair, texts)
            audit(pair, 'src')


def devices_added(logs):
    """What the destination has besides is as it is there at power-on."""
    with booted(logs, 'idle', dst_extra=NIC, **SMALL) as pair:
        migration = Migration(pair).start()
        equal(migration.wait_end(), 'completed', 'ended as')
        audit(pair, 'dst')


def _disks(n):
    return ['-device', 'virtio-scsi-pci,addr=9'] + [
        word for i in range(n) for word in (
            '-blockdev', f'null-co,node-name=n{i},size=512',
            '-device', f'scsi-hd,drive=n{i},scsi-id={i // 64},lun={i % 64}')]


def devices_by_the_hundred(logs):
    """The last of so many is looked at, too."""
    for less in (1, 0):
        with booted(logs, 'idle', link={'src_extra': _disks(DISKS)},
                    dst_extra=_disks(DISKS - less), **SMALL) as pair:
            if less:
                last = DISKS - 1
                _refused(pair, [f'{last // 64}:{last % 64} is missing'])
                audit(pair, 'src')
            else:
                migration = Migration(pair).start()
                equal(migration.wait_end(), 'completed', 'ended as')
                audit(pair, 'dst')


def devices_unpatched(logs):
    """An unpatched destination says nothing of it: as upstream."""
    with booted(logs, 'idle', dst='qemu-base', link={'src_extra': NIC},
                **SMALL) as pair:
        migration = Migration(pair).start()
        equal(migration.wait_end(), 'failed', 'ended as')
        equal(pair.src.status(), 'running', 'the source is')
        check(exits(pair.dst), 'the destination does not exit')
        audit(pair, 'src')


CASES = {f.__name__.replace('_', '-'): f for f in (
    devices_missing, devices_added, devices_by_the_hundred,
    devices_unpatched)}
