"""Guest cases: a pool of huge pages, not reserved, of which too little is left.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import mmap
import os
import threading

from common import IDLE, audit, booted, check, equal
from hybridmig.migrate import Migration
from memory import MAP_HUGETLB, POOL, end, huge_pages

MAP_NORESERVE = 0x4000      # of Linux
SIZE = 64
#: That the guest has touched, and what both together would like to have.
TOUCHED = 12
BOTH = 2 * SIZE // 2 + 4


def _guest(logs, share, **how):
    memory = ('-object', f'memory-backend-memfd,id=ram,size={SIZE}M,hugetlb=on,'
              f'hugetlbsize=2M,reserve=off,share={share}',
              '-machine', 'memory-backend=ram')
    return booted(logs, IDLE, bare=True, mem=SIZE, pages=5000,
                  extra=memory, **how)


def _open(guest):
    """What this QEMU has open, but for the device that it keeps."""
    folder = f'/proc/{guest.machine.get_pid()}/fd'
    found = (os.readlink(os.path.join(folder, name))
             for name in os.listdir(folder))
    return ' '.join(name for name in found if name != '/dev/userfaultfd')


@contextlib.contextmanager
def _memory_of(guest):
    """As a process that shares the guest's memory sees it."""
    pid = guest.machine.get_pid()
    folder = f'/proc/{pid}/fd'
    name = next(name for name in os.listdir(folder) if 'memory-backend-memfd'
                in os.readlink(os.path.join(folder, name)))
    with open(os.path.join(folder, name), 'r+b') as file, \
            mmap.mmap(file.fileno(), SIZE << 20,
                      flags=mmap.MAP_SHARED | MAP_NORESERVE) as memory:
        yield memory


def _held(guest):
    """KiB of huge pages that this QEMU has."""
    with open(f'/proc/{guest.machine.get_pid()}/smaps_rollup',
              encoding='ascii') as lines:
        return sum(int(line.split()[1]) for line in lines
                   if line.startswith(('Shared_Hugetlb', 'Private_Hugetlb')))


class Taken:
    """Takes what the pool has left, but for @leave pages, until it is closed."""
    def __init__(self):
        self.memory = None
        self.done = threading.Event()

    def take(self, leave):
        with open(f'{POOL}free_hugepages', encoding='ascii') as file:
            pages = int(file.read()) - leave
        while not self.memory:
            try:
                self.memory = mmap.mmap(-1, pages << 21, flags=mmap.MAP_PRIVATE
                                        | mmap.MAP_ANONYMOUS | MAP_HUGETLB)
            except OSError:     # the destination has taken some meanwhile
                pages -= 1
        for page in range(pages):
            self.memory[page << 21] = 1
        self.done.set()

    def close(self):
        if self.memory:
            self.memory.close()


def _not_taken(logs, share):
    with huge_pages(TOUCHED + SIZE // 2 + 2) as there:
        if not there:
            print('# no huge pages: not tested')
            return
        with _guest(logs, share, rate='unlimited') as pair:
            before = _held(pair.src)
            status, _src, _dst, error = end(pair)
            equal(status, 'completed', f'ended ({error}) as')
            equal(_held(pair.src), before, 'KiB of huge pages at the source')
            check('userfaultfd' not in _open(pair.src), 'it is left open')
            audit(pair, 'dst')


def not_taken(logs):
    """What the guest never touched is not taken from the pool to be read."""
    _not_taken(logs, 'off')


def not_taken_shared(logs):
    """Nor of memory that another process may have filled."""
    _not_taken(logs, 'on')


def filled_by_another(logs):
    """
    What only another process has written is no hole: it is sent, with the
    pages around it that nobody has.
    """
    with huge_pages(TOUCHED + SIZE // 2 + 4) as there:
        if not there:
            print('# no huge pages: not tested')
            return
        with _guest(logs, 'on', rate='unlimited') as pair:
            at = SIZE - 8 << 20         # the guest uses what lies below
            with _memory_of(pair.src) as memory:
                memory[at:at + 4] = b'else'
                before = _held(pair.src)
                status, _src, _dst, error = end(pair)
                equal(status, 'completed', f'ended ({error}) as')
                equal(_held(pair.src), before + 2048, 'KiB at the source')
            with _memory_of(pair.dst) as memory:
                equal(bytes(memory[at:at + 4]), b'else', 'what was written')
            audit(pair, 'dst')


def emptied(logs):
    """
    The pool is empty before all has come: the guest goes on at the source, and
    the destination says what it has no room for.
    """
    with huge_pages(TOUCHED + SIZE // 2 + 2) as there:
        if not there:
            print('# no huge pages: not tested')
            return
        with contextlib.closing(Taken()) as taken, \
                _guest(logs, 'on', rate='200mbit') as pair:
            status, _src, _dst, error = end(pair, before=lambda migration: (
                migration.when(lambda: taken.take(2), 'src',
                               'MIGRATION_HYBRID_PHASE', phase='rounds')))
            check(taken.done.wait(20), 'not taken')
            equal(status, 'failed', 'ended as')
            check('No huge page of 2048 KiB is left in the pool for memory '
                  "block 'ram'" in error, f'error: {error}')
            audit(pair, 'src')


def emptied_in_paging(logs):
    """The pool is empty behind the switch: a pause, and then a recovery."""
    with huge_pages(BOTH) as there:
        if not there:
            print('# no huge pages: not tested')
            return
        with contextlib.closing(Taken()) as taken, \
                _guest(logs, 'off', rate='100mbit') as pair:
            migration = Migration(pair)
            migration.when(lambda: pair.src.qmp('migrate-start-postcopy'),
                           'src', 'MIGRATION_HYBRID_PHASE', phase='rounds')
            migration.when(lambda: taken.take(2), 'src',
                           'MIGRATION_HYBRID_PHASE', phase='state-transfer')
            migration.start()
            for side in ('src', 'dst'):
                migration.wait_status(side, 'postcopy-paused')
            error = migration.info().get('error-desc', '')
            check('none is left in the pool' in error, f'error: {error}')
            taken.close()
            taken.memory = None
            migration.recover()
            equal(migration.wait_end(), 'completed', 'ended as')
            audit(pair, 'dst')


CASES = {f'pool-{f.__name__.replace("_", "-")}': f for f in (
    not_taken, not_taken_shared, filled_by_another, emptied,
    emptied_in_paging)}
