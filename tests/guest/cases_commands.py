"""Commands that a client sends when they do not fit: at the source and at the
destination, at each moment of a migration.

Whatever they say, no QEMU dies of it, the migration ends, and the guest runs
at one side, or stands still where "cont" makes it run.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os

from common import check, equal
from machines import SLOW, machines
from hybridmig.migrate import ENDS
from hybridmig.monitor import QmpError, QmpLost

FULL = os.environ.get('HYBRID_FULL') == '1'
SIZE = 4 << 20


def _job(command, **arguments):
    return command, {'job-id': 'job', **arguments}


def _snapshot(what):
    devices = {'tag': 'tag', 'devices': ['disk0']}
    if what != 'delete':
        devices['vmstate'] = 'disk0'
    return _job(f'snapshot-{what}', **devices)


def _hmp(line):
    return 'human-monitor-command', {'command-line': line}


def _capability(name, state):
    return 'migrate-set-capabilities', {'capabilities': [
        {'capability': name, 'state': state}]}


#: name: (command, arguments); {folder} stands for the run's folder
COMMANDS = {
    'stop': ('stop', None),
    'cont': ('cont', None),
    'system-reset': ('system_reset', None),
    'system-powerdown': ('system_powerdown', None),
    'system-wakeup': ('system_wakeup', None),
    'inject-nmi': ('inject-nmi', None),
    'snapshot-save': _snapshot('save'),
    'snapshot-load': _snapshot('load'),
    'snapshot-delete': _snapshot('delete'),
    'savevm': _hmp('savevm tag'),
    'loadvm': _hmp('loadvm tag'),
    'delvm': _hmp('delvm tag'),
    'migrate': ('migrate', {'uri': 'unix:{folder}/nobody.sock'}),
    'migrate-resume': ('migrate', {'uri': 'unix:{folder}/nobody.sock',
                                   'resume': True}),
    'migrate-incoming': ('migrate-incoming', {
        'uri': 'unix:{folder}/other.sock'}),
    'migrate-recover': ('migrate-recover', {
        'uri': 'unix:{folder}/other.sock'}),
    'migrate-start-postcopy': ('migrate-start-postcopy', None),
    'migrate-continue': ('migrate-continue', {'state': 'device'}),
    'postcopy-off': _capability('postcopy-ram', False),
    'hybrid-off': _capability('hybrid', False),
    'events-off': _capability('events', False),
    'pause-on': _capability('pause-before-switchover', True),
    'parameters': ('migrate-set-parameters', {
        'hybrid-handoff-timeout': 20000,
        'hybrid-max-rounds': 3, 'downtime-limit': 300}),
    'device-add': ('device_add', {'driver': 'virtio-rng-pci', 'id': 'rng'}),
    'device-del': ('device_del', {'id': 'vd0'}),
    'object-add': ('object-add', {'qom-type': 'memory-backend-ram',
                                  'id': 'more', 'size': 1 << 20}),
    'object-del': ('object-del', {'id': 'more'}),
    'blockdev-add': ('blockdev-add', {
        'driver': 'qcow2', 'node-name': 'other', 'file': {
            'driver': 'file', 'filename': '{folder}/other.qcow2'}}),
    'blockdev-del': ('blockdev-del', {'node-name': 'other'}),
    'block-resize': ('block_resize', {'node-name': 'disk0',
                                      'size': SIZE * 2}),
    'blockdev-snapshot-sync': ('blockdev-snapshot-sync', {
        'node-name': 'disk1', 'snapshot-file': '{folder}/overlay.qcow2',
        'snapshot-node-name': 'overlay'}),
    'blockdev-snapshot-internal': ('blockdev-snapshot-internal-sync', {
        'device': 'disk0', 'name': 'internal'}),
    'blockdev-mirror': _job('blockdev-mirror', device='disk1',
                            target='target', sync='full'),
    'blockdev-backup': _job('blockdev-backup', device='disk1',
                            target='target', sync='full'),
    'block-commit': _job('block-commit', device='disk1'),
    'block-stream': _job('block-stream', device='disk1'),
    'block-job-cancel': ('block-job-cancel', {'device': 'job',
                                              'force': True}),
    'bitmap-add': ('block-dirty-bitmap-add', {
        'node': 'disk0', 'name': 'bitmap', 'persistent': True}),
    'bitmap-clear': ('block-dirty-bitmap-clear', {
        'node': 'disk0', 'name': 'bitmap'}),
    'bitmap-remove': ('block-dirty-bitmap-remove', {
        'node': 'disk0', 'name': 'bitmap'}),
    'nbd-server-start': ('nbd-server-start', {'addr': {
        'type': 'unix', 'data': {'path': '{folder}/nbd.sock'}}}),
    'export-add': ('block-export-add', {
        'type': 'nbd', 'id': 'export', 'node-name': 'disk0',
        'writable': True}),
    'export-del': ('block-export-del', {'id': 'export'}),
    'nbd-server-stop': ('nbd-server-stop', None),
    'blockdev-reopen': ('blockdev-reopen', {'options': [{
        'driver': 'qcow2', 'node-name': 'disk1', 'read-only': False,
        'cache': {'no-flush': True}, 'file': 'file1'}]}),
    'set-iothread': ('x-blockdev-set-iothread', {
        'node-name': 'target', 'iothread': None}),
    'blockdev-set-active': ('blockdev-set-active', {'active': True}),
    'qemu-io-read': _hmp('qemu-io -d /machine/peripheral/vd0/virtio-backend '
                         '"read 0 64k"'),
    'qemu-io-flush': _hmp('qemu-io -d /machine/peripheral/vd0/virtio-backend '
                          '"flush"'),
    'dump': ('dump-guest-memory', {'paging': False,
                                   'protocol': 'file:{folder}/dump'}),
    'calc-dirty-rate': ('calc-dirty-rate', {'calc-time': 1}),
    'info-migrate': _hmp('info migrate'),
    'gdbserver': _hmp('gdbserver none'),
}

#: After these the guest stands still where it otherwise ran.
STANDS_STILL = {'stop'}


def _text(value, folder):
    if isinstance(value, str):
        return value.replace('{folder}', folder)
    if isinstance(value, dict):
        return {key: _text(one, folder) for key, one in value.items()}
    if isinstance(value, list):
        return [_text(one, folder) for one in value]
    return value


def _send(pair, guest, names):
    for name in names:
        command, arguments = COMMANDS[name]
        try:
            guest.qmp(command, _text(arguments, pair.run.folder))
        except QmpError:
            pass
        except QmpLost as exc:
            raise AssertionError(f'{guest.side}: {name}: {exc}: '
                                 f'{guest.output()[-400:]}') from exc


def _image(pair, name, path):
    pair.src.qmp('blockdev-add', {'driver': 'file', 'node-name': 'new',
                                  'filename': path})
    seen = len(pair.log)
    pair.src.qmp('blockdev-create', {'job-id': name, 'options': {
        'driver': 'qcow2', 'file': 'new', 'size': SIZE}})
    check(pair.log.wait(lambda: pair.log.find(
        'src', 'JOB_STATUS_CHANGE', after=seen, id=name,
        status='concluded'), 20), f'no image {name}')
    pair.src.qmp('job-dismiss', {'id': name})
    pair.src.qmp('blockdev-del', {'node-name': 'new'})


def _disks(pair):
    folder = pair.run.folder
    for name in ('disk0', 'disk1', 'other'):
        path = f'{folder}/{name}.qcow2'
        open(path, 'wb').close()
        _image(pair, name, path)
    for guest in (pair.src, pair.dst):
        for i in range(2):
            guest.qmp('blockdev-add', {
                'driver': 'file', 'node-name': f'file{i}',
                'filename': f'{folder}/disk{i}.qcow2', 'locking': 'on'})
            guest.qmp('blockdev-add', {'driver': 'qcow2', 'file': f'file{i}',
                                       'node-name': f'disk{i}'})
            guest.qmp('device_add', {'driver': 'virtio-blk-pci',
                                     'id': f'vd{i}', 'drive': f'disk{i}'})
        guest.qmp('blockdev-add', {'driver': 'null-co', 'node-name': 'target',
                                   'size': SIZE})


def _ends_well(pair, names, moment):
    """However it ended: one owner, that can be made to run."""
    what = f'{moment}, {names}'
    end = pair.wait_end()
    owner, other = (pair.dst, pair.src) if end == 'completed' else \
        (pair.src, pair.dst)
    if end == 'completed':
        other.wait_status('postmigrate', 'prelaunch')
    status = owner.wait_status('running', 'paused')
    if not STANDS_STILL & set(names) and status != 'running':
        raise AssertionError(f'{what}: {owner.side} is {status}, {end}')
    owner.qmp('cont')
    equal(owner.wait_status('running'), 'running', f'{what}: after cont')
    said = owner.hmp('qemu-io -d /machine/peripheral/vd0/virtio-backend '
                     '"write 0 64k"')
    check('failed' not in said, f'{what}: {said}')


def _in_rounds(names):
    def act(pair):
        pair.migrate(max_bandwidth=SLOW)
        pair.wait('active')
        _send(pair, pair.src, names)
        pair.src.qmp('migrate-set-parameters', {'max-bandwidth': 1 << 30})
    return act


def _in_pre_switchover(names):
    def act(pair):
        pair.migrate(src_caps={'pause-before-switchover': True})
        pair.wait('pre-switchover')
        _send(pair, pair.src, names)
        try:
            pair.src.qmp('migrate-continue', {'state': 'pre-switchover'})
        except QmpError:
            pass                # one of them has ended it
    return act


def _in_device(names):
    def act(pair):
        pair.migrate(src_caps={'pause-before-switchover': True})
        check(pair.to_device(), 'no device state')
        _send(pair, pair.src, names)
        pair.dst.freeze(False)
    return act


def _in_device_goes_back(names):
    def act(pair):
        pair.migrate(src_caps={'pause-before-switchover': True})
        check(pair.to_device(), 'no device state')
        _send(pair, pair.src, names)
        pair.src.qmp('migrate_cancel')
        pair.dst.freeze(False)
    return act


def _in_paging(side):
    def moment(names):
        def act(pair):
            pair.migrate(handoff=True, hybrid_push_policy='on-demand')
            check(pair.wait('postcopy-active'), 'no postcopy')
            _send(pair, getattr(pair, side), names)
            check(not pair.had(*ENDS), 'it was over too soon')
            pair.src.qmp('migrate-set-parameters',
                         {'hybrid-push-policy': 'bubble'})
        return act
    return moment


def _inmigrate(names):
    def act(pair):
        pair.migrate(src_caps={'pause-before-switchover': True})
        pair.wait('pre-switchover')
        _send(pair, pair.dst, names)
        pair.src.qmp('migrate-continue', {'state': 'pre-switchover'})
    return act


MOMENTS = {
    'in-rounds': _in_rounds, 'in-pre-switchover': _in_pre_switchover,
    'in-device': _in_device, 'in-device-goes-back': _in_device_goes_back,
    'in-paging': _in_paging('src'), 'in-paging-dst': _in_paging('dst'),
    'inmigrate': _inmigrate,
}


def _try(logs, moment, names):
    with machines(logs) as pair:
        _disks(pair)
        MOMENTS[moment](names)(pair)
        _ends_well(pair, names, moment)


def _case(moment):
    def case(logs):
        if not FULL:
            _try(logs, moment, list(COMMANDS))
            return
        failed = []
        for name in COMMANDS:
            try:
                _try(logs, moment, [name])
            except Exception as exc:    # and what do the others do?
                failed.append(f'{name}: {str(exc)[:300]}')
        equal(failed, [], moment)
    return case


CASES = {f'commands-{moment}': _case(moment) for moment in MOMENTS}
