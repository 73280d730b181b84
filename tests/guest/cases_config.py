"""Two QEMUs that are not configured alike, odd devices, and disks in the state
in which operators have them: unused ones, and jobs that still write.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import time

from cases_errors import OTHER_STATE
from forward import Forwarder, listener
from common import IDLE, audit, booted, check, equal, wait_until
from disks import MIB, Disk
from hybridmig.migrate import Migration

#: The least bare guest that is still handed over.
SMALL = {'bare': True, 'mem': 64, 'pages': 8192, 'rate': '200mbit'}
WORK = 'hot pages=4000 rate=100000'
HANDOFF = {'hybrid-max-rounds': 1}


def _stays(pair, migration, *parts):
    """The guest runs on at the source, whose error says why."""
    equal(migration.wait_end(), 'failed', 'ended as')
    said = migration.info().get('error-desc', '')
    for part in parts:
        check(part in said, f'no word of "{part}": {said}')
    wait_until(lambda: pair.src.status() == 'running', 'it stands still')


def first_reason_wins(logs):
    """
    One thread fails because the other one has failed: the source hears of the
    cause, whichever of them comes to speak first.
    """
    for last in (False, False, False, False, False, False, True):
        with booted(logs, WORK, **OTHER_STATE, **SMALL) as pair:
            migration = Migration(pair, parameters=HANDOFF).start()
            _stays(pair, migration, "'0000:00:09.0/virtio-console'")
            if last:
                audit(pair, 'src')


def icount_at_one_side(logs):
    """
    The destination has no such timers, or a clock that stands still: it says
    so, and neither crashes nor takes a guest that never goes on.
    """
    counts = ['-icount', 'shift=7']
    for src, dst in ((counts, []), ([], counts)):
        for workload in (WORK, IDLE):
            with booted(logs, workload, link={'src_extra': src},
                        dst_extra=dst, **SMALL) as pair:
                parameters = HANDOFF if workload == WORK else None
                migration = Migration(pair, parameters=parameters)
                _stays(pair, migration.start(), 'timer', '-icount')
                audit(pair, 'src')


def isa_vga(logs):
    """What it saves is its own state, not what lies before it in memory."""
    for device in ('isa-vga', 'isa-cirrus-vga'):
        for _ in range(3):
            with booted(logs, WORK, extra=['-device', device],
                        **SMALL) as pair:
                migration = Migration(pair, parameters=HANDOFF).start()
                equal(migration.wait_end(), 'completed', device)
                audit(pair, 'dst')


def unused_disk(logs):
    """An image that no device has is given away, and taken, all the same."""
    with booted(logs, WORK, **SMALL) as pair:
        path = os.path.join(pair.run.folder, 'unused')
        with open(path, 'wb') as image:
            image.truncate(MIB)
        for guest in (pair.src, pair.dst):
            guest.qmp('blockdev-add', {
                'driver': 'raw', 'node-name': 'unused', 'file': {
                    'driver': 'file', 'filename': path}})
        used = Disk(pair, 'used', 'qcow2')
        migration = Migration(pair, parameters=HANDOFF).start()
        equal(migration.wait_end(), 'completed', 'ended as')
        for guest, wanted in ((pair.src, False), (pair.dst, True)):
            nodes = guest.qmp('query-named-block-nodes', {'flat': True})
            equal({n['node-name']: n['active'] for n in nodes
                   if n['node-name'] in ('unused', 'used')},
                  {'unused': wanted, 'used': wanted}, guest.side)
        check('fail' not in used.io(pair.dst, 'write 0 64k'), 'a write')
        audit(pair, 'dst')


def _job(pair, command, **arguments):
    pair.src.qmp(command, {'job-id': 'nightly', **arguments})


def _overlay(pair):
    name = os.path.join(pair.run.folder, 'overlay.qcow2')
    pair.src.qmp('blockdev-snapshot-sync', {
        'node-name': 'disk', 'snapshot-file': name,
        'snapshot-node-name': 'overlay'})


def _target(pair, **limits):
    """A node that a job writes to: so slowly."""
    path = os.path.join(pair.run.folder, 'target')
    with open(path, 'wb') as image:
        image.truncate(32 * MIB)
    pair.src.qmp('object-add', {'qom-type': 'throttle-group', 'id': 'slow',
                                'limits': limits})
    pair.src.qmp('blockdev-add', {
        'driver': 'throttle', 'throttle-group': 'slow', 'node-name': 'target',
        'file': {'driver': 'file', 'filename': path}})


def _stream(pair):
    _overlay(pair)
    _job(pair, 'block-stream', device='overlay', speed=MIB)


def _commit(pair):
    _overlay(pair)
    _job(pair, 'block-commit', device='overlay')


def _mirror(pair):
    _target(pair, **{'bps-write': MIB, 'bps-write-max': MIB})
    # With a larger buffer all would be on its way, and end when it is drained
    _job(pair, 'blockdev-mirror', device='disk', target='target', sync='full',
         **{'buf-size': MIB})


def jobs_that_write_precopy(logs):
    """The same where no handoff is: the first cause is what is said."""
    plain = {'events': True}
    for start in (_stream, _commit, _mirror):
        with booted(logs, WORK, **SMALL) as pair:
            disk = Disk(pair, 'disk', 'qcow2', size=32 * MIB)
            disk.io(pair.src, 'write -P 7 0 16M')
            start(pair)
            migration = Migration(pair, plain, plain,
                                  {'max-bandwidth': 0, 'downtime-limit': 3000})
            migration.start()
            _stays(pair, migration, start.__name__[1:] + " job 'nightly'")
            audit(pair, 'src')


def jobs_that_write(logs):
    """
    After the switch such a job would write to an image that was given away,
    and the source would die of it while the guest still needs its memory. So
    the guest stays, and the source says whose job it is.
    """
    for start in (_stream, _commit, _mirror):
        with booted(logs, WORK, **SMALL) as pair:
            disk = Disk(pair, 'disk', 'qcow2', size=32 * MIB)
            disk.io(pair.src, 'write -P 7 0 16M')
            start(pair)
            migration = Migration(pair, parameters=HANDOFF).start()
            _stays(pair, migration, start.__name__[1:] + " job 'nightly'")
            check('fail' not in disk.io(pair.src, 'write 0 64k'), 'a write')
            audit(pair, 'src')


def mirror_that_is_ready(logs):
    """What it has not written yet it writes before the disk is given away."""
    with booted(logs, WORK, **SMALL) as pair:
        disk = Disk(pair, 'disk', 'raw', size=32 * MIB)
        _target(pair)
        _job(pair, 'blockdev-mirror', device='disk', target='target',
             sync='full', **{'buf-size': MIB})
        check(pair.log.wait(lambda: pair.log.find('src', 'BLOCK_JOB_READY'),
                            60), 'not ready')
        pair.src.qmp('qom-set', {
            'path': '/objects/slow', 'property': 'limits',
            'value': {'bps-write': 8 * MIB}})
        migration = Migration(pair, parameters={
            **HANDOFF, 'max-postcopy-bandwidth': 8 * MIB})
        migration.at_both({'pause-before-switchover': True})
        migration.start()
        migration.wait_status('src', 'pre-switchover')
        disk.io(pair.src, 'write -P 9 0 8M')
        pair.src.qmp('migrate-continue', {'state': 'pre-switchover'})
        equal(migration.wait_end(), 'completed', 'ended as')
        time.sleep(1)           # it looks for more to write once in a while
        equal(pair.src.status(), 'postmigrate', 'the source is')
        with open(os.path.join(pair.run.folder, 'target'), 'rb') as image:
            equal(image.read(8 * MIB).count(b'\x09'), 8 * MIB, 'mirrored')
        said = disk.io(pair.dst, 'read -P 9 0 8M')
        check('fail' not in said, said)
        audit(pair, 'dst')


def preempt_of_old_machine(logs):
    """
    Machine types up to 7.2 connect the channel for requested pages ahead, and
    end it by a message of its own: also if the end is reached after pauses.
    """
    slow = {**HANDOFF, 'max-postcopy-bandwidth': 4 * MIB}
    with booted(logs, WORK, machine='pc-i440fx-7.2', **SMALL) as pair:
        first = Migration(pair, parameters={'max-bandwidth': MIB})
        first.at_both({'postcopy-preempt': True})
        first.start()
        check(first.wait_phase('rounds'), 'no rounds')
        first.cancel()          # the channel was there, for nothing
        equal(first.wait_end(), 'cancelled', 'ended as')
        pair.renew_destination()
        migration = Migration(pair, parameters={**slow, 'max-bandwidth': 0})
        migration.at_both({'postcopy-preempt': True})
        migration.start()
        check(migration.wait_phase('paging'), 'no paging')
        for times in (1, 2):
            migration.pause()
            for side in ('src', 'dst'):
                check(pair.log.wait(lambda side=side, times=times: migration.
                                    times(side, 'postcopy-paused') == times,
                                    30), f'pause {times} of {side}')
            migration.recover()
            check(pair.log.wait(lambda times=times: migration.times(
                'dst', 'postcopy-active') > times, 30), f'recovery {times}')
        pair.src.set_parameters({'max-postcopy-bandwidth': 0})
        equal(migration.wait_end(), 'completed', 'ended as')
        audit(pair, 'dst')


class _SentAgain(Forwarder):
    """
    What the first connection says second comes late, as what is sent again
    does, and what others say, meanwhile.
    """
    LATE_S = 1.5

    def __init__(self, run, target):
        self.path = f'{run.folder}/late.sock'
        super().__init__(target, listener(self.path))
        run.callback(self.close)
        self._start(self._accept)

    def _accept(self):
        late = (1,)
        while True:
            source = self._take()
            destination = self._connect()
            self._start(self._pass, source, destination, late)
            self._start(self._pass, destination, source, ())
            late = ()

    def _pass(self, from_, to, late):
        number = 0
        while data := from_.recv(65536):
            if number in late:
                time.sleep(self.LATE_S)
            to.sendall(data)
            number += 1


def preempt_of_old_machine_tls(logs):
    """
    Such channels are told apart by their order alone, which is that of their
    handshakes at the source: also if the first takes longer to end here.
    """
    with booted(logs, WORK, machine='pc-i440fx-7.2', **SMALL) as pair:
        migration = Migration(pair, parameters=HANDOFF, transport='tls-unix')
        migration.at_both({'postcopy-preempt': True})
        migration.prepare()
        late = _SentAgain(pair.run, migration.listen()[len('unix:'):])
        pair.src.qmp('migrate', {'uri': f'unix:{late.path}'})
        equal(migration.wait_end(), 'completed', 'ended as')
        audit(pair, 'dst')


CASES = {f.__name__.replace('_', '-'): f for f in (
    first_reason_wins, icount_at_one_side, isa_vga, unused_disk,
    jobs_that_write, jobs_that_write_precopy, mirror_that_is_ready,
    preempt_of_old_machine, preempt_of_old_machine_tls)}
