"""What a process holds: descriptors, threads, memory. To see what it leaks.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import collections
import contextlib
import glob
import os
import re
import time

#: QEMU's pool lets them wait for more work, and then end.
TRANSIENT = {'worker'}


class Holdings:
    """A look at one process."""
    def __init__(self, pid):
        self.files = collections.Counter()
        for name in os.listdir(f'/proc/{pid}/fd'):
            try:
                self.files[_kind(os.readlink(f'/proc/{pid}/fd/{name}'))] += 1
            except FileNotFoundError:
                pass            # closed just now
        self.threads = collections.Counter()
        for name in os.listdir(f'/proc/{pid}/task'):
            try:
                with open(f'/proc/{pid}/task/{name}/comm',
                          encoding='utf-8') as comm:
                    self.threads[comm.read().strip()] += 1
            except (FileNotFoundError, ProcessLookupError):
                pass
        for name in TRANSIENT:
            del self.threads[name]
        with open(f'/proc/{pid}/status', encoding='utf-8') as status:
            self.rss_kib = int(re.search(r'VmRSS:\s+(\d+)', status.read())[1])

    def more_than(self, before):
        """In words, what there was not before; empty if nothing."""
        more = (self.files - before.files) + (self.threads - before.threads)
        return ', '.join(f'{count} {name}'
                         for name, count in sorted(more.items()))


def waited_us(pid):
    """How long its threads wanted a CPU and had none, in all."""
    waited = 0
    for name in glob.glob(f'/proc/{pid}/task/*/schedstat'):
        with contextlib.suppress(OSError), open(name, encoding='ascii') as one:
            waited += int(one.read().split()[1]) // 1000
    return waited


def settle(pid, before, timeout=20):
    """Wait until nothing is held that was not before; what is, in words."""
    end = time.monotonic() + timeout
    while True:
        now = Holdings(pid)
        more = now.more_than(before)
        if not more or time.monotonic() > end:
            return now, more
        time.sleep(0.05)


def _kind(target):
    """The same for all sockets, all claims in the ledger, all logs of runs.

    In a chroot the device of a QEMU in a namespace is named from outside.
    """
    for pattern, kind in ((r'^(socket|pipe):\[\d+\]$', r'\1'),
                          (r'/claim-\w+', '/claim'),
                          (r'^.*(/dev/userfaultfd)$', r'\1'),
                          (r'^.*/hm-.*\.(\w+)( \(deleted\))?$', r'\1')):
        target = re.sub(pattern, kind, target)
    return target
