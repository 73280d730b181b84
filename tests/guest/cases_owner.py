"""Who owns the guest when its disks cannot be had.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import os
import signal
import threading
import time

from common import HOT, IDLE, audit, booted, check, equal, freeze
from disks import Disk
from hybridmig.migrate import Migration
from hybridmig.monitor import QmpError, QmpLost
from hybridmig.runs import command
from hybridmig.waiting import until
from proxy import Proxy


def _refused(guest, command, arguments=None):
    try:
        guest.qmp(command, arguments)
    except QmpError as exc:
        return str(exc)
    raise AssertionError(f'{command} was not refused')


def _has_status(guest, wanted, timeout=20):
    until(lambda: guest.status() == wanted, timeout,
          f'{guest.side} {wanted}', guest.status)


def through_proxy(pair, migration, on_message):
    migration.transport = 'unix'
    migration.prepare()
    proxy = Proxy(pair.run, migration.listen()[len('unix:'):], on_message)
    pair.src.qmp('migrate', {'uri': f'unix:{proxy.path}'})
    return proxy


def in_handoff(pair, migration, action):
    """
    action() when the guest is stopped, its disks are inactive and the
    destination, which does not run meanwhile, has not loaded the package.
    """
    def act():
        freeze(pair)
        try:
            pair.src.qmp('migrate-continue', {'state': 'pre-switchover'})
            migration.wait_status('src', 'device')
            action()
        finally:
            freeze(pair, False)
    migration.src_caps['pause-before-switchover'] = True
    migration.when(act, 'src', 'MIGRATION', status='pre-switchover')


def _cannot_go_back(logs, action, ends, workload=HOT, drivers=('qcow2',),
                    paused=False):
    """The guest stays at the source, whose last disk somebody else has."""
    with booted(logs, workload) as pair:
        disks = [Disk(pair, f'disk{i}', driver)
                 for i, driver in enumerate(drivers)]
        disks[0].io(pair.src, 'write -P 0x51 0 1M')
        migration = Migration(pair, parameters={
            'hybrid-handoff-timeout': 1000})
        if paused:
            pair.src.qmp('stop')
        in_handoff(pair, migration, lambda: action(migration))
        with disks[-1].taken():
            migration.start()
            equal(migration.wait_end(), ends, 'ended as')
            _has_status(pair.src, 'paused')
            error = migration.info()['error-desc']
            check('write" lock' in error, f'error: {error}')
            check(paused or 'paused here' in error, f'error: {error}')
            if ends == 'failed':
                check('hybrid-handoff-timeout' in error, f'error: {error}')
            check('write" lock' in pair.src.output(), 'not in the log')
            check('write" lock' in _refused(pair.src, 'cont'), 'cont')
            equal(disks[-1].active(pair.src), False, 'the disk is active')
            equal(pair.running_sides(), [], 'the guest runs at')
        pair.src.qmp('cont')
        for disk in disks:
            disk.io(pair.src, 'write -P 0x52 1M 1M')
        check('failed' not in disks[0].io(pair.src, 'read -P 0x51 0 1M'),
              'what was written before is lost')
        # And then it can be migrated.
        pair.renew_destination()
        for disk, driver in zip(disks, drivers):
            disk.attach(pair.dst, driver)
        again = Migration(pair)
        again.src_caps['pause-before-switchover'] = False
        again.start()
        equal(again.wait_end(), 'completed', 'the second migration')
        for disk in disks:
            said = disk.io(pair.dst, 'read -P 0x52 1M 1M')
            check('failed' not in said, f'the disk holds another text: {said}')
        audit(pair, 'dst')


def _time_out(migration):
    migration.wait_status('src', 'failed')


def _cancel(migration):
    migration.cancel()


def disk_taken_time_out(logs):
    _cannot_go_back(logs, _time_out, 'failed')


def disk_taken_cancel(logs):
    _cannot_go_back(logs, _cancel, 'cancelled', IDLE, ('raw',))


def one_of_two_disks_taken(logs):
    _cannot_go_back(logs, _time_out, 'failed', IDLE, ('raw', 'qcow2'))


def disk_taken_paused_guest(logs):
    _cannot_go_back(logs, _cancel, 'cancelled', IDLE, ('qcow2',), paused=True)


def _taken_at_destination(logs, workload, hybrid=True):
    """GRANT has come, the disk cannot be had: "cont" tries again."""
    with booted(logs, workload) as pair, contextlib.ExitStack() as stack:
        disk = Disk(pair, 'disk0', 'qcow2')
        disk.io(pair.src, 'write -P 0x51 0 1M')
        migration = Migration(pair)
        migration.src_caps['hybrid'] = hybrid
        stack.enter_context(disk.taken())
        migration.start()
        migration.wait_status('src', 'completed', timeout=60)
        _has_status(pair.dst, 'paused')
        check('write" lock' in _refused(pair.dst, 'cont'), 'cont')
        equal(pair.running_sides(), [], 'the guest runs at')
        check('write" lock' in pair.dst.output(), 'not in the log')
        stack.close()
        pair.dst.qmp('cont')
        said = disk.io(pair.dst, 'read -P 0x51 0 1M')
        check('failed' not in said, f'the disk holds another text: {said}')
        disk.io(pair.dst, 'write -P 0x52 1M 1M')
        audit(pair, 'dst')


def taken_at_destination(logs):
    _taken_at_destination(logs, HOT)


def taken_at_destination_precopy(logs):
    _taken_at_destination(logs, IDLE)


def taken_at_destination_plain(logs):
    _taken_at_destination(logs, IDLE, hybrid=False)


def disks_of_all_kinds(logs):
    """
    An I/O thread, a persistent dirty bitmap, an export for NBD that may stay
    on an inactive disk, and one that is only read: all go along.
    """
    with booted(logs) as pair:
        for guest in (pair.src, pair.dst):
            guest.qmp('object-add', {'qom-type': 'iothread', 'id': 'io'})
        threaded = Disk(pair, 'threaded', 'qcow2', iothread='io')
        exported = Disk(pair, 'exported', 'raw')
        pair.src.qmp('block-dirty-bitmap-add', {
            'node': 'threaded', 'name': 'bitmap', 'persistent': True})
        pair.src.qmp('nbd-server-start', {'addr': {'type': 'unix', 'data': {
            'path': f'{pair.run.folder}/nbd.sock'}}})
        pair.src.qmp('block-export-add', {
            'type': 'nbd', 'id': 'export', 'node-name': 'exported',
            'allow-inactive': True})
        for disk in (threaded, exported):
            disk.io(pair.src, 'write -P 0x51 0 1M')
        migration = Migration(pair)
        in_handoff(pair, migration, migration.cancel)
        migration.start()
        equal(migration.wait_end(), 'cancelled', 'ended as')
        _has_status(pair.src, 'running')
        for disk in (threaded, exported):
            disk.io(pair.src, 'write -P 0x52 1M 1M')
        pair.renew_destination()
        pair.dst.qmp('object-add', {'qom-type': 'iothread', 'id': 'io'})
        threaded.attach(pair.dst, 'qcow2', {'iothread': 'io'})
        exported.attach(pair.dst, 'raw')
        again = Migration(pair)
        again.src_caps['pause-before-switchover'] = False
        again.start()
        equal(again.wait_end(), 'completed', 'the second migration')
        for disk in (threaded, exported):
            for command_ in ('read -P 0x51 0 1M', 'read -P 0x52 1M 1M',
                             'write -P 0x53 2M 1M', 'read -P 0x53 2M 1M'):
                said = disk.io(pair.dst, command_)
                check('failed' not in said, f'{disk.name}: {command_}: {said}')
        node = next(n for n in pair.dst.qmp('query-named-block-nodes')
                    if n['node-name'] == 'threaded')
        equal([(b['name'], b['busy']) for b in node['dirty-bitmaps']],
              [('bitmap', False)], 'bitmaps')
        check(node['dirty-bitmaps'][0]['count'] >= 3 << 20,
              f'the bitmap: {node["dirty-bitmaps"]}')
        audit(pair, 'dst')


def busy_at_the_end(logs):
    """
    The destination runs the guest, but its main loop is busy for longer than
    the time-out: it lives, and nothing is paused. Through a relay, so that
    only its messages show it.
    """
    with booted(logs, IDLE, rate='unlimited') as pair:
        migration = Migration(pair, parameters={
            'hybrid-handoff-timeout': 1500})
        fifo = os.path.join(pair.run.folder, 'fifo')
        os.mkfifo(fifo)
        seen = []

        def block():
            with contextlib.suppress(QmpLost):  # until the other end is open
                pair.dst.qmp('pmemsave', {'val': 0, 'size': 1,
                                          'filename': fifo}, timeout=60)

        def on_message(name):
            seen.append(name)
            if seen.count('RUNNING') == 1 and name == 'RUNNING':
                threading.Thread(target=block, daemon=True).start()
                time.sleep(0.5)
        through_proxy(pair, migration, on_message)
        check(pair.log.wait(lambda: 'RUNNING' in seen, 60), 'no RUNNING')
        time.sleep(5)
        equal(migration.info()['status'], 'device', 'meanwhile')
        check('STATS' not in seen, 'the destination was not busy')
        pair.log.wait(lambda: seen.count('RUNNING') > 2, 20,
                      f'signs of life, not only {seen}')
        with open(fifo, 'rb'):
            equal(migration.wait_end(), 'completed', 'ended as')
        audit(pair, 'dst')


def stopped_behind_grant(logs):
    """The destination's process stands still; its host says that it is
    there, so this is no lost link."""
    with booted(logs, IDLE, rate='unlimited') as pair:
        migration = Migration(pair, parameters={
            'hybrid-handoff-timeout': 1000})
        frozen = threading.Event()

        pids = command('ip', 'netns', 'pids', pair.link.names['dst'])

        def act():
            for pid in pids.split():        # at once
                os.kill(int(pid), signal.SIGSTOP)
            frozen.set()
        migration.when(act, 'src', 'MIGRATION_HYBRID_PHASE', phase='resume')
        migration.start()
        check(frozen.wait(60), 'no GRANT')
        time.sleep(4)
        check(migration.info()['status'] in ('device', 'completed'),
              f'meanwhile {migration.info()["status"]}')
        freeze(pair, False)
        equal(migration.wait_end(), 'completed', 'ended as')
        audit(pair, 'dst')


CASES = {f.__name__.replace('_', '-'): f for f in (
    disk_taken_time_out, disk_taken_cancel, one_of_two_disks_taken,
    disk_taken_paused_guest, taken_at_destination,
    taken_at_destination_precopy, taken_at_destination_plain,
    disks_of_all_kinds, busy_at_the_end, stopped_behind_grant)}
