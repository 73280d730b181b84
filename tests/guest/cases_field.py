"""What operators do beside a migration, or instead of one: commands as URIs,
devices that come at the wrong moment, jobs that hold a disk.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os

from common import IDLE, audit, booted, check, equal, wait_until
from disks import MIB, Disk
from hybridmig import paths
from hybridmig.migrate import Migration
from hybridmig.monitor import QmpError

#: The least bare guest that is still handed over.
SMALL = {'bare': True, 'mem': 64, 'pages': 8192, 'rate': '200mbit'}
WORK = 'hot pages=4000 rate=100000'


def _refused(guest, command, arguments=None):
    try:
        guest.qmp(command, arguments)
    except QmpError as exc:
        return str(exc)
    raise AssertionError(f'{command} was not refused at {guest.side}')


def _says(text, *parts):
    for part in parts:
        check(part in text, f'no word of "{part}": {text}')


def _failed(migration, *parts):
    """The guest runs on at the source, and error-desc says why it stayed."""
    equal(migration.wait_end(), 'failed', 'ended as')
    _says(migration.info().get('error-desc', ''), *parts)


def _to(pair, uri):
    migration = Migration(pair)
    pair.src.set_capabilities(migration.src_caps)
    pair.src.qmp('migrate', {'uri': uri})
    return migration


def to_a_file(logs):
    """Refused: nobody there says that the guest has arrived."""
    with booted(logs, IDLE, **SMALL) as pair:
        pair.src.set_capabilities(Migration(pair).src_caps)
        name = os.path.join(pair.run.folder, 'guest')
        _says(_refused(pair.src, 'migrate', {'uri': f'file:{name}'}),
              'postcopy-ram', 'file')
        check(not os.path.exists(name), 'the file was made')
        # and as ever without
        pair.src.set_capabilities({'postcopy-ram': False})
        pair.src.qmp('migrate', {'uri': f'file:{name}'})
        check(pair.log.wait(lambda: pair.log.find(
            'src', 'MIGRATION', status='completed'), 60), 'not completed')
        pair.dst.qmp('migrate-incoming', {'uri': f'file:{name}'})
        wait_until(lambda: pair.dst.status() == 'running', 'it does not run')
        audit(pair, 'dst')


def to_a_silent_command(logs):
    """It takes all and answers nothing: the guest is not stopped for it."""
    with booted(logs, IDLE, **SMALL) as pair:
        migration = _to(pair, f'exec:cat > {pair.run.folder}/guest')
        _failed(migration, 'command', 'postcopy-ram', 'answered')
        equal(migration.event('src', 'STOP'), None, 'the guest was stopped')
        audit(pair, 'src')


def to_a_proxy(logs):
    """A command with a QEMU behind it is as good as a connection."""
    with booted(logs, IDLE, **SMALL) as pair:
        migration = Migration(pair)
        migration.prepare()
        path = f'{pair.run.folder}/proxied.sock'
        pair.dst.qmp('migrate-incoming', {'uri': f'unix:{path}'})
        code = ('import os,socket,threading as t\n'
                's=socket.socket(socket.AF_UNIX)\n'
                f's.connect("{path}")\n'
                'def back():\n'
                '  while b:=s.recv(65536): os.write(1,b)\n'
                'r=t.Thread(target=back); r.start()\n'
                'while b:=os.read(0,65536): s.sendall(b)\n'
                's.shutdown(1); r.join()\n')
        script = f'{pair.run.folder}/proxy.py'
        with open(script, 'w', encoding='ascii') as out:
            out.write(code)
        pair.src.qmp('migrate', {'uri': f'exec:exec python3 {script}'})
        equal(migration.wait_end(), 'completed', 'ended as')
        audit(pair, 'dst')


def cancel_a_deaf_command(logs):
    """It reads nothing and does not end: the channel is shut down for it."""
    with booted(logs, IDLE, **SMALL) as pair:
        migration = _to(pair, 'exec:exec sleep 100')
        migration.wait_status('src', 'active')
        migration.cancel()
        migration.wait_status('src', 'cancelled', timeout=20)
        audit(pair, 'src')


def recorded(logs):
    """A guest whose run is recorded cannot be stopped for a migration."""
    record = os.path.join('/tmp', f'hm-record-{os.getpid()}')
    try:
        with booted(logs, IDLE, link={'src_extra': [
                '-icount', f'shift=7,rr=record,rrfile={record}']},
                **SMALL) as pair:
            migration = Migration(pair)
            pair.src.set_capabilities(migration.src_caps)
            _says(_refused(pair.src, 'migrate', {
                'uri': f'unix:{pair.run.folder}/none.sock'}), 'recorded')
            audit(pair, 'src')
    finally:
        if os.path.exists(record):
            os.unlink(record)


def devices_while_it_comes_in(logs):
    """
    Refused at either side in the rounds: memory that the source does not know
    would fail the destination when the guest has stopped already. In paging
    the guest is the destination's, and may have what it likes.
    """
    with booted(logs, WORK, extra=['-device', 'virtio-rng-pci,id=rng0'],
                **{**SMALL, 'mem': '64,slots=2,maxmem=1G'}) as pair:
        def dimm(guest):
            guest.qmp('device_add', {'driver': 'pc-dimm', 'id': 'dimm',
                                     'memdev': 'more'})
        for guest in (pair.src, pair.dst):
            guest.qmp('object-add', {'qom-type': 'memory-backend-ram',
                                     'id': 'more', 'size': 128 * MIB})
        said, failed = [], []

        def in_rounds():
            for guest in (pair.src, pair.dst):
                for command, arguments in (
                        ('device_add', {'driver': 'pc-dimm', 'id': 'dimm',
                                        'memdev': 'more'}),
                        ('device_del', {'id': 'rng0'})):
                    try:
                        said.append(_refused(guest, command, arguments))
                    except AssertionError as exc:
                        failed.append(str(exc))
        migration = Migration(pair, parameters={'max-bandwidth': 2 << 20})
        migration.start()
        migration.wait_phase('rounds')
        wait_until(lambda: migration.info('dst').get('status') == 'active',
                   'nothing comes in')
        in_rounds()
        equal(failed, [], 'not refused')
        for text in said:
            _says(text, 'not allowed while migrating')
        pair.src.set_parameters({'max-bandwidth': 0,
                                 'max-postcopy-bandwidth': 2 << 20})
        pair.src.qmp('migrate-start-postcopy')
        migration.wait_phase('paging')
        dimm(pair.dst)
        pair.src.set_parameters({'max-postcopy-bandwidth': 0})
        equal(migration.wait_end(), 'completed', 'ended as')
        audit(pair, 'dst')


def disk_in_a_job(logs):
    """The disk is not given away; which one, and whose it is, is said."""
    with booted(logs, WORK, **SMALL) as pair:
        disk = Disk(pair, 'held', 'qcow2', size=32 * MIB)
        disk.io(pair.src, 'write -P 7 0 16M')
        target = os.path.join(pair.run.folder, 'copy')
        with open(target, 'wb') as image:
            image.truncate(32 * MIB)
        pair.src.qmp('blockdev-add', {
            'driver': 'file', 'node-name': 'copy', 'filename': target})
        pair.src.qmp('blockdev-backup', {
            'job-id': 'nightly', 'device': 'held', 'target': 'copy',
            'sync': 'full', 'speed': MIB})
        _failed(Migration(pair).start(), 'backup', 'nightly')
        wait_until(lambda: pair.src.status() == 'running', 'it stands still')
        pair.src.qmp('job-cancel', {'id': 'nightly'})
        check(pair.log.wait(lambda: pair.log.find(
            'src', 'JOB_STATUS_CHANGE', id='nightly', status='null'), 20),
            'the job does not end')
        pair.renew_destination()
        disk.attach(pair.dst, 'qcow2')
        migration = Migration(pair).start()
        equal(migration.wait_end(), 'completed', 'ended as')
        said = disk.io(pair.dst, 'read -P 7 0 16M')
        check('fail' not in said, said)
        audit(pair, 'dst')


def other_uuid(logs):
    """Another guest's destination: the source says which, too."""
    with booted(logs, IDLE, link={'src_extra': [
            '-uuid', '11111111-1111-1111-1111-111111111111']}, dst_extra=[
            '-uuid', '22222222-2222-2222-2222-222222222222'], **SMALL) as pair:
        migration = Migration(pair)
        migration.at_both({'validate-uuid': True})
        _failed(migration.start(), 'UUID received is 1111', 'is 2222')
        audit(pair, 'src')


def not_registered(logs):
    """
    Memory turns out to bear no postcopy when the package has come: the
    destination fails in order, and the guest goes on at the source.
    """
    with booted(logs, WORK, preload=[paths.bare('no-register.so')],
                **SMALL) as pair:
        migration = Migration(pair)
        migration.incoming = {'exit-on-error': False}
        _failed(migration.start(), 'userfault register')
        wait_until(lambda: pair.src.status() == 'running', 'it stands still')
        check(pair.dst.is_alive(), f'the destination: {pair.dst.output()}')
        equal(migration.info('dst').get('status'), 'failed', 'destination')
        audit(pair, 'src')


CASES = {f.__name__.replace('_', '-'): f for f in (
    to_a_file, to_a_silent_command, to_a_proxy, cancel_a_deaf_command,
    recorded, devices_while_it_comes_in, disk_in_a_job, other_uuid,
    not_registered)}
