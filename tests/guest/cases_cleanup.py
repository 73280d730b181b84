"""The next migration is wanted while the last one has failed or was cancelled,
and its thread has not ended.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import glob
import os
import tempfile
import threading
import time

from common import check, equal
from hybridmig import paths
from hybridmig.migrate import DST_CAPABILITIES, SRC_CAPABILITIES
from hybridmig.waiting import until
from machines import SLOW, Machine, machines, refused
from threads import held

#: Bytes of the guest's memory that are no zeros, and where they are.
FULL = 16 << 20
NAMED = ['-name', 'debug-threads=on']
#: Seconds for which the monitor computes, and nobody else gets the big lock.
HELD_S = 4
SAMPLE = 10 << 20


def _thread(guest, name):
    """Its number, None if there is none of that name."""
    for path in glob.glob(f'/proc/{guest.process.pid}/task/*/comm'):
        with contextlib.suppress(OSError), open(path, encoding='ascii') as comm:
            if comm.read().startswith(name):
                return int(path.split('/')[-2])
    return None


@contextlib.contextmanager
def _computing(guest):
    """Until the end of the block, if it is not too long."""
    begin = time.monotonic()
    guest.hmp(f'sum 0 {SAMPLE}')
    size = int(SAMPLE * HELD_S / (time.monotonic() - begin))
    command = threading.Thread(target=guest.hmp, args=[f'sum 0 {size}'])
    command.start()
    time.sleep(0.1)
    try:
        yield
        check(command.is_alive(), 'the command was too short')
    finally:
        command.join()


def _again(pair, second):
    """Works when the thread has ended; to a destination of its own."""
    uri = f'unix:{pair.run.folder}/second.sock'
    for guest, values in ((pair.src, SRC_CAPABILITIES),
                          (second, DST_CAPABILITIES)):
        guest.set_capabilities(values)
    second.qmp('migrate-incoming', {'uri': uri})
    pair.src.set_parameters({'max-bandwidth': 1 << 30})
    begin = len(pair.log.events)
    pair.src.qmp('migrate', {'uri': uri})
    check(pair.log.wait(lambda: any(
        e.name == 'MIGRATION' and e.data['status'] == 'completed'
        for e in pair.log.events[begin:] if e.side == 'src'), 30),
        'the second migration does not complete')
    equal(second.wait_status('running'), 'running', 'the second destination')


@contextlib.contextmanager
def _migrates(logs):
    with contextlib.ExitStack() as stack:
        data = stack.enter_context(tempfile.NamedTemporaryFile())
        data.write(os.urandom(FULL))
        data.flush()
        pair = stack.enter_context(machines(logs, src_extra=[
            *NAMED, '-device',
            f'loader,file={data.name},addr={FULL:#x},force-raw=on']))
        second = Machine(pair.run, pair.log, 'dst2', paths.built('qemu'),
                         ['-incoming', 'defer'])
        # Far from its end an ordinary precopy does without the big lock
        pair.migrate(src_caps={'hybrid': False, 'postcopy-ram': False},
                     max_bandwidth=SLOW, downtime_limit=1,
                     avail_switchover_bandwidth=0)
        pair.wait('active')
        time.sleep(0.5)                 # it waits for its rate
        yield pair, second


def _refused_everywhere(pair, text):
    uri = f'unix:{pair.run.folder}/nobody.sock'
    said = refused(pair.src, 'migrate', {'uri': uri})
    check(text in said, f'migrate: {said}')
    for command in ('savevm s', 'loadvm s'):
        said = pair.src.hmp(command)
        check(text in said, f'{command}: {said}')


def migrate_after_failed(logs):
    with _migrates(logs) as (pair, second):
        thread = _thread(pair.src, 'mig/src/main')
        with contextlib.ExitStack() as stack:
            with _computing(pair.src):
                pair.dst.process.kill()
                pair.dst.process.wait()
                pair.dst.process.returncode = 0
                time.sleep(1)   # it writes each 0.1 s, and then wants the lock
                stack.enter_context(held(thread))
            equal(pair.src.qmp('query-migrate')['status'], 'failed', 'it')
            _refused_everywhere(pair, 'has not ended yet')
            equal(pair.src.qmp('query-migrate')['status'], 'failed', 'then')
        until(lambda: not _thread(pair.src, 'mig/src/main'), 20, 'it ends')
        equal(pair.src.status(), 'running', 'the source')
        _again(pair, second)


def migrate_after_cancel(logs):
    with _migrates(logs) as (pair, second):
        thread = _thread(pair.src, 'mig/src/main')
        with held(thread):
            pair.src.qmp('migrate_cancel')
            _refused_everywhere(pair, 'in progress')
        pair.wait('cancelled')
        equal(pair.src.status(), 'running', 'the source')
        check(pair.dst.wait_exit() is not None, 'the destination lives on')
        _again(pair, second)


CASES = {
    'migrate-after-failed': migrate_after_failed,
    'migrate-after-cancel': migrate_after_cancel,
}
