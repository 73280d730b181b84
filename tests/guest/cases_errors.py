"""A destination that fails says why and lives on, if it was asked to.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os

from cases_fail import freeze
from common import HOT, IDLE, audit, booted, check, equal, exits
from hybridmig.migrate import Migration
from hybridmig.monitor import QmpError
from hybridmig.net import DST_ADDRESS
from hybridmig.waiting import until

#: The same cards at both ends, whose state does not fit: seen at the stop only
OTHER_STATE = {'extra': ('-device', 'virtio-serial-pci,addr=9'),
               'link': {'src_extra': ['-chardev', 'null,id=n', '-device',
                                      'virtserialport,chardev=n']}}


def _threads(guest):
    folder = f'/proc/{guest.machine.get_pid()}/task'
    return len(os.listdir(folder))


def _descriptors(guest):
    """What is open, but for the device that QEMU keeps open for later."""
    folder = f'/proc/{guest.machine.get_pid()}/fd'
    found = []
    for name in os.listdir(folder):
        try:
            found.append(os.readlink(os.path.join(folder, name)))
        except OSError:
            pass
    return sorted(f for f in found if not f.endswith('/dev/userfaultfd'))


def _settles(read, wanted, what):
    """Threads of a pool come and go by themselves."""
    until(lambda: read() <= wanted, 20, f'{what}, before {wanted}', read)


def _lives_on(logs, fail, workload=HOT, preempt=False, **settings):
    """
    fail(pair, migration) has the destination fail.  It is alive, says why,
    and has let go of all that it had for the migration; the guest is fine.
    """
    with booted(logs, workload, **settings) as pair:
        migration = Migration(pair,
                              parameters={'hybrid-handoff-timeout': 3000})
        migration.at_both({'postcopy-preempt': preempt})
        migration.incoming = {'exit-on-error': False}
        threads = _threads(pair.dst)
        descriptors = len(_descriptors(pair.dst))
        fail(pair, migration)
        migration.wait_status('dst', 'failed')
        check(migration.info('dst').get('error-desc'), 'and does not say why')
        equal(pair.dst.status(), 'inmigrate', 'run state')
        _settles(lambda: _threads(pair.dst), threads, 'threads')
        _settles(lambda: len(_descriptors(pair.dst)), descriptors,
                 'descriptors')
        check('userfault' not in ' '.join(_descriptors(pair.dst)),
              'userfaultfd is open')
        pair.dst.qmp('quit')
        check(exits(pair.dst), 'quit does not end it')
        equal(pair.dst.machine.exitcode(), 0, 'exit code')
        audit(pair, 'src')


def _package(pair, migration):
    migration.start()
    equal(migration.wait_end(), 'failed', 'ended as')


def bad_device_lives_on(logs):
    _lives_on(logs, _package, **OTHER_STATE)


def bad_device_lives_on_preempt(logs):
    _lives_on(logs, _package, preempt=True, **OTHER_STATE)


def bad_device_lives_on_precopy(logs):
    _lives_on(logs, _package, workload=IDLE, **OTHER_STATE)


def _cancelled(pair, migration):
    """ABORT is behind the package, which the destination is to load."""
    def act():
        freeze(pair)
        pair.src.qmp('migrate-continue', {'state': 'pre-switchover'})
        migration.wait_status('src', 'device')
        migration.cancel()
        migration.wait_status('src', 'cancelled')
        freeze(pair, False)
    migration.src_caps['pause-before-switchover'] = True
    migration.when(act, 'src', 'MIGRATION', status='pre-switchover')
    migration.start()
    equal(migration.wait_end(), 'cancelled', 'ended as')


def abort_lives_on(logs):
    _lives_on(logs, _cancelled)


def _silent(pair, migration):
    """
    As above, but the source says nothing and the link is lost.  What it sent
    has no end: the first that looks is the thread that loads the pages.
    """
    migration.when(pair.link.cut, 'src', 'MIGRATION_HYBRID_PHASE',
                   phase='rounds', round=1)
    migration.start(f'tcp:{DST_ADDRESS}:4444')
    check(pair.log.wait(lambda: pair.link.cut_mode, 60), 'no rounds')
    pair.dst.monitor.command('yank', {'instances': [{'type': 'migration'}]},
                             oob=True)
    pair.src.qmp('migrate_cancel')
    migration.wait_status('src', 'cancelled')
    pair.link.heal()


def yank_lives_on(logs):
    _lives_on(logs, _silent)


#: What differs at the destination, and what the source's error must name
MISMATCHES = {
    'device': ({'dst_extra': ['-device', 'virtio-balloon-pci,addr=9'],
                'link': {'src_extra': ['-device', 'virtio-rng-pci,addr=9']}},
               {}, "'virtio-rng' at 0000:00:09.0 is missing"),
    'device-state': (OTHER_STATE, {},
                     "device '0000:00:09.0/virtio-console': Failed to load"),
    'usb': ({'extra': ('-device', 'usb-ehci,addr=9'),
             'link': {'src_extra': ['-device', 'usb-tablet']}},
            {}, 'usb-ptr'),
    'memory': ({'dst_extra': ['-m', '192']}, {}, "'pc.ram' has"),
    'machine': ({'dst_extra': ['-machine', 'pc-i440fx-9.0']},
                {}, "local is 'pc-i440fx-9.0'"),
    'vcpus': ({'dst_extra': ['-smp', '2'], 'smp': 3}, {}, "'cpu_common'"),
    'preempt-src': ({}, {'src_caps': True},
                    'postcopy-preempt is off at the destination'),
    'preempt-dst': ({}, {'dst_caps': True},
                    'postcopy-preempt is on at the destination'),
}


def _mismatch(logs, name):
    settings, preempt, text = MISMATCHES[name]
    with booted(logs, IDLE, **settings) as pair:
        migration = Migration(pair)
        for caps in preempt:
            getattr(migration, caps)['postcopy-preempt'] = True
        migration.start()
        equal(migration.wait_end(), 'failed', 'ended as')
        error = migration.info()['error-desc']
        check(text in error, f'the error says: {error}')
        check(pair.log.wait(lambda: text in pair.src.output(), 10),
              'the log of the source does not say it')
        check(exits(pair.dst), 'the destination does not exit')
        audit(pair, 'src')


def _mismatch_case(name):
    return lambda logs: _mismatch(logs, name)


def refused_while_it_comes_in(logs):
    """Nothing is changed under the feet of a stream that is loaded."""
    with booted(logs) as pair:
        migration = Migration(pair, parameters={'max-bandwidth': 4000000})
        migration.start()
        migration.wait_status('dst', 'active')
        for name, arguments in (
                ('migrate-set-capabilities', {'capabilities': [
                    {'capability': 'postcopy-ram', 'state': False}]}),
                ('migrate-set-capabilities', {'capabilities': [
                    {'capability': 'multifd', 'state': True}]}),
                ('migrate-set-parameters', {'multifd-channels': 200}),
                ('migrate', {'uri': 'exec:cat >/dev/null'}),
                ('xen-load-devices-state', {'filename': '/dev/null'}),
                ('migrate-incoming', {'uri': 'tcp:127.0.0.1:0'})):
            try:
                pair.dst.qmp(name, arguments)
            except QmpError:
                continue
            raise AssertionError(f'{name} {arguments} is accepted')
        # what changes nothing is none of it
        pair.dst.set_parameters({'max-postcopy-bandwidth': 0,
                                 'multifd-channels': 2, 'mode': 'normal'})
        pair.dst.set_capabilities({'postcopy-ram': True})
        pair.src.set_parameters({'max-bandwidth': 0})
        equal(migration.wait_end(), 'completed', 'ended as')
        # and what was refused is possible again
        pair.dst.set_capabilities({'postcopy-ram': False})
        audit(pair, 'dst')


CASES = {f.__name__.replace('_', '-'): f for f in (
    bad_device_lives_on, bad_device_lives_on_preempt,
    bad_device_lives_on_precopy, abort_lives_on, yank_lives_on,
    refused_while_it_comes_in)}
CASES.update({f'mismatch-{name}': _mismatch_case(name)
              for name in MISMATCHES})
