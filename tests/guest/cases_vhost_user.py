"""Devices in processes of their own: they see the guest's memory, and miss
pages of it as QEMU does.

SPDX-License-Identifier: GPL-2.0-or-later
"""
from common import audit, check, equal, pause_both, wait_until
from hybridmig import holdings
from vhost import Backend, shared, wanted


def _given_back(it):
    """The backend's userfaultfd, which QEMU has had, too."""
    pid = it.pair.dst.machine.get_pid()
    wait_until(lambda: not holdings.Holdings(pid).files[
        'anon_inode:[userfaultfd]'], 'the destination has one open')


def vhost_user_missed(logs):
    """What the backend misses is asked for, comes, and is not waited for twice."""
    for caps in (None, {'postcopy-preempt': True}):
        with shared(logs) as it:
            migration = it.start(caps)
            it.switch(migration)
            for number in (3, 0, 7):
                equal(it.backends['dst'].page(number), wanted(number), number)
            it.end(migration)
            for number in range(16):
                equal(it.backends['dst'].page(number), wanted(number), number)
            equal(it.backends['dst'].ask('missing'), '0', 'it was not told')
            _given_back(it)
            audit(it.pair, 'dst')


def vhost_user_recovered(logs):
    """What it asked for in vain is asked for again."""
    for caps in (None, {'postcopy-preempt': True}):
        with shared(logs) as it:
            migration = it.start(caps)
            it.switch(migration)
            equal(it.backends['dst'].page(1), wanted(1), 'page 1')
            it.pair.link.cut()
            page = it.backends['dst'].reads(2)
            pause_both(migration)
            it.pair.link.heal()
            migration.recover()
            equal(page(), wanted(2), 'page 2')
            it.end(migration)
            audit(it.pair, 'dst')


def vhost_user_leaves(logs):
    """A backend that dies meanwhile; the next one is let in when all is there."""
    with shared(logs, chardev=',reconnect-ms=200') as it:
        dst = it.pair.dst
        migration = it.start()
        it.switch(migration)
        equal(it.backends['dst'].page(1), wanted(1), 'page 1')
        it.backends['dst'].kill()
        it.backends['dst'] = Backend(it.folder, 'dst', 'blk')
        wait_until(lambda: 'Guest memory is missing' in dst.output(),
                   'it was let in')
        check(len(dst.output()) < 10000, 'what QEMU says has no end')
        it.backends['dst'].kill()       # it has been turned away
        it.backends['dst'] = Backend(it.folder, 'dst', 'blk')
        it.end(migration)
        _given_back(it)
        audit(it.pair, 'dst')


def _connected(guest):
    """Is the chardev?"""
    return any(chardev['label'] == 'vu' and 'disconnected' not in
               chardev['filename'] for chardev in guest.qmp('query-chardev'))


def vhost_user_late(logs):
    """One that comes back when the others have been asked already."""
    with shared(logs, chardev=',reconnect-ms=200') as it:
        dst = it.pair.dst
        migration = it.start()
        migration.wait_status('src', 'pre-switchover')
        it.backends['dst'].kill()
        wait_until(lambda: not _connected(dst), 'QEMU has not noticed')
        it.backends['dst'] = Backend(it.folder, 'dst', 'blk')
        wait_until(lambda: _connected(dst), 'it was not let in')
        it.switch(migration)
        for number in (3, 0, 7):
            equal(it.backends['dst'].page(number), wanted(number), number)
        it.end(migration)
        audit(it.pair, 'dst')


def vhost_user_queues(logs):
    """One connection with a device for each pair of queues is asked once."""
    with shared(logs, 'net') as it:
        migration = it.start()
        it.switch(migration)
        equal(it.backends['dst'].ask('advised'), '1', 'asked for faults')
        page = it.backends['dst'].reads(5)
        equal(page(), wanted(5), 'page 5')
        it.end(migration)
        audit(it.pair, 'dst')


def vhost_user_unable(logs):
    """One that cannot say what it misses: known before a page is sent."""
    with shared(logs, dst_kind='blind') as it:
        try:
            migration = it.start()
        except Exception as exc:        # the destination's capability
            check('not capable of postcopy' in str(exc), exc)
        else:
            equal(migration.wait_end(), 'failed', 'ended as')
            said = migration.info().get('error-desc', '')
            check('not capable of postcopy' in said, said)
        audit(it.pair, 'src')


CASES = {f.__name__.replace('_', '-'): f for f in (
    vhost_user_missed, vhost_user_recovered, vhost_user_leaves,
    vhost_user_late, vhost_user_queues, vhost_user_unable)}
#: Needs a network backend, which this project's QEMU is built without.
LONG = {'vhost-user-queues'}
