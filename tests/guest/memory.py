"""For the cases of the memory check: hosts that have little of it.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import glob
import mmap
import os
import socket
import subprocess

from hybridmig.migrate import Migration
from hybridmig.runs import command
from hybridmig.waiting import until

MIB = 1 << 20
MAP_HUGETLB = 0x40000       # of x86; Python's mmap has no name for it
LEDGER = '/dev/shm/qemu-hybrid'
POOL = '/sys/kernel/mm/hugepages/hugepages-2048kB/'


def end(pair, dst=None, before=None, **parameters):
    """
    Migrate: how it ended, its "hybrid" object and the destination's, the
    error.  dst: parameters set there, the others at the source.
    """
    migration = Migration(pair, parameters=parameters)
    pair.dst.set_parameters(dst)
    seen = {}
    migration.when(lambda: seen.update(migration.hybrid('dst')), 'src',
                   'MIGRATION_HYBRID_PHASE', phase='rounds', round=1)
    if before:
        before(migration)
    migration.start()
    status = migration.wait_status('src', 'completed', 'failed').data['status']
    if status == 'completed':
        pair.log.wait(lambda: migration.event('dst', 'MIGRATION',
                                              status='completed'), 30,
                      'dst completed')
        seen.update(migration.hybrid('dst'))
    return status, migration.hybrid(), seen, \
        migration.info().get('error-desc', '')


class Cgroup:
    """A control group of our own with a limit, version 1 or 2.

    kind: "memory", in bytes, or "pids", processes and threads; path is None if
    we may not have one.
    """
    LIMITS = {'memory': ('memory.limit_in_bytes', 'memory.max'),
              'pids': ('pids.max', 'pids.max')}

    def __init__(self, limit='max', kind='memory'):
        self.path = None
        for top, name in zip((f'/sys/fs/cgroup/{kind}', '/sys/fs/cgroup'),
                             self.LIMITS[kind]):
            path = os.path.join(top, f'hybrid-test-{os.getpid()}')
            with contextlib.suppress(OSError):
                os.mkdir(path)
                self.path = path
                self._limit = name
                self.limit(limit)
                return
            self.close()

    def limit(self, value):
        self._write(self._limit, value)

    def threads(self):
        """How many there are now; kind is pids."""
        with open(os.path.join(self.path, 'pids.current'),
                  encoding='ascii') as f:
            return int(f.read())

    def _write(self, name, value):
        with open(os.path.join(self.path, name), 'w', encoding='ascii') as out:
            out.write(str(value))

    def take(self, guest):
        """From now on what that QEMU touches counts here."""
        for pid in tree(guest.machine.get_pid()):
            self._write('cgroup.procs', pid)

    def close(self):
        def gone():
            with contextlib.suppress(OSError):
                os.rmdir(self.path)
            return not os.path.isdir(self.path)
        if self.path:
            until(gone, 10, f'{self.path} is empty')
        self.path = None


@contextlib.contextmanager
def own_group(limit='max', kind='memory'):
    """A Cgroup, to the end; says so if we may not have one."""
    group = Cgroup(limit, kind)
    try:
        if not group.path:
            print('# no control group of our own: not tested')
        yield group
    finally:
        group.close()


def room_goes(group, left):
    """
    For a destination in that group: what it may have is bounded by @left
    bytes from its first round on.  To be called with the migration.
    """
    def before(migration):
        group.take(migration.pair.dst)
        migration.when(lambda: group.limit(left), 'src',
                       'MIGRATION_HYBRID_PHASE', phase='rounds', round=1)
    return before


def tree(pid):
    """The process, and those that it has started."""
    found = [pid]
    for path in glob.glob(f'/proc/{pid}/task/*/children'):
        with contextlib.suppress(OSError), open(path, encoding='ascii') as f:
            for child in f.read().split():
                found += tree(int(child))
    return found


@contextlib.contextmanager
def huge_pages(count):
    """So many free huge pages of 2 MiB; None if the host has not as many."""
    def read(name):
        with open(POOL + name, encoding='ascii') as f:
            return int(f.read())

    def write(value):
        with open(POOL + 'nr_hugepages', 'w', encoding='ascii') as f:
            f.write(str(value))
    if not os.path.isdir(POOL):
        yield False
        return
    def unused():
        return read('free_hugepages') - read('resv_hugepages')
    before = read('nr_hugepages')
    write(before + max(0, count - unused()))
    more = unused() - count     # of a pool that is there already
    held = mmap.mmap(-1, more << 21, flags=mmap.MAP_PRIVATE |
                     mmap.MAP_ANONYMOUS | MAP_HUGETLB) if more > 0 else None
    try:
        yield unused() == count
    finally:
        if held:
            held.close()
        write(before)


@contextlib.contextmanager
def tmpfs(run, size):
    """A file system in memory with a size."""
    folder = os.path.join(run.folder, f'tmpfs-{size}')
    os.mkdir(folder)
    command('mount', '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', folder)
    try:
        yield folder
    finally:
        subprocess.run(['umount', '-l', folder], check=False)


@contextlib.contextmanager
def _qtest(path):
    """Commands for QEMU's -qtest socket, which answers each."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        lines = sock.makefile('rw', encoding='ascii')

        def ask(text):
            lines.write(text + '\n')
            lines.flush()
            return lines.readline()
        yield ask


def inflate(path, taken):
    """
    As the guest's driver does it: the balloon of device 9 on a "pc" machine
    has taken so many bytes.  path: QEMU's -qtest socket.
    """
    config = 0x80000000 | 9 << 11
    with _qtest(path) as ask:
        for register, value in ((0x10, 0xc000), (0x04, 0x0003)):
            ask(f'outl 0xcf8 {config | register:#x}')
            ask(f'outl 0xcfc {value:#x}')
        # behind the header of a device without MSI-X: num_pages, actual
        ask(f'outl {0xc000 + 20 + 4:#x} {taken >> 12:#x}')


def scatter(path, addresses):
    """Something is in the guest's pages at these addresses."""
    with _qtest(path) as ask:
        for address in addresses:
            ask(f'writeq {address:#x} 0x1')
