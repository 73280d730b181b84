"""The destination's memory check: rows of the guide's table on real hosts.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import os
import pwd
import re
import stat

from common import IDLE, audit, booted, check, equal
from hybridmig import paths
from hybridmig.migrate import Migration
from hybridmig.runs import Run
from memory import (LEDGER, MIB, end, huge_pages, inflate, own_group,
                    scatter, tmpfs)

#: 64 GiB that the guest may get; the host has not as much.
VIRTIO_MEM = ('-object', 'memory-backend-ram,id=vm0,size=64G,reserve=off',
              '-device')
SIZE = '192M,maxmem=80G'
SMALL = '64,maxmem=80G'


def _virtio_mem(requested):
    return (*VIRTIO_MEM,
            f'virtio-mem-pci,memdev=vm0,requested-size={requested}')


def _awake(logs, extra=(), mem=64, **how):
    """A guest of 64 MiB without an operating system, for the audit."""
    return booted(logs, IDLE, bare=True, mem=mem, pages=7000,
                  rate='unlimited', extra=extra, **how)


def _memory_refused(result, what='memory'):
    status, _src, _dst, error = result
    equal(status, 'failed', 'ended as')
    check(f'not enough {what} for the guest' in error, f'error: {error}')


def virtio_mem_empty(logs):
    """What is not plugged is not needed."""
    with booted(logs, IDLE, mem=SIZE, pages=10000,
                extra=_virtio_mem(0)) as pair:
        status, src, dst, error = end(pair)
        equal(status, 'completed', f'ended ({error}) as')
        check(src['memory-needed'] < 400 * MIB, f'needed: {src}')
        check(dst['memory-limit-known'], 'a limit is not known')
        check('memory-warning' not in dst, f'warned: {dst}')
        audit(pair, 'dst')


def virtio_mem_requested(logs):
    """
    What the guest has been asked to plug it can plug by itself; what then?
    is the destination's to say.
    """
    with _awake(logs, _virtio_mem('64G'), SMALL) as pair:
        result = end(pair)
        _memory_refused(result)
        check(result[1]['memory-needed'] >= 65536 * MIB, result[1])
        equal(pair.running_sides(), ['src'], 'the guest runs at')
        check(pair.src.audit().right, 'memory at the source')
        pair.renew_destination()
        # Whatever the source says
        _memory_refused(end(pair, {'hybrid-memory-check': 'enforce'},
                            **{'hybrid-memory-overcommit': 1000,
                               'hybrid-memory-check': 'off'}))
        pair.renew_destination()
        # Its own over-commit is worth more than the source's
        _memory_refused(end(pair, {'hybrid-memory-overcommit': 1},
                            **{'hybrid-memory-overcommit': 1000,
                               'hybrid-memory-check': 'auto'}))
        pair.renew_destination()
        status, _src, dst, _error = end(pair, {'hybrid-memory-check': 'warn'})
        equal(status, 'completed', 'with a warning')
        check('not enough memory' in dst['memory-warning'], dst)
        check('not enough memory' in pair.dst.output(), 'the log')
        audit(pair, 'dst')


def _taken(logs, dst, **src):
    with _awake(logs, _virtio_mem('64G'), SMALL) as pair:
        status, _src, seen, error = end(pair, dst, **src)
        equal(status, 'completed', f'ended ({error}) as')
        audit(pair, 'dst')
        return seen


def overcommit_at_destination(logs):
    seen = _taken(logs, {'hybrid-memory-overcommit': 1000})
    check('memory-warning' not in seen, seen)


def overcommit_at_source(logs):
    _taken(logs, None, **{'hybrid-memory-overcommit': 1000})


def check_off_at_source(logs):
    seen = _taken(logs, None, **{'hybrid-memory-check': 'off'})
    check('memory-limit-known' not in seen, seen)


def check_off_at_destination(logs):
    _taken(logs, {'hybrid-memory-check': 'off'})


def cgroup_limit(logs):
    """
    The harness's own network namespaces hide /sys/fs/cgroup; the limit holds
    all the same.
    """
    with own_group(100 * MIB) as group:
        if not group.path:
            return
        with booted(logs, IDLE) as pair:
            group.take(pair.dst)
            _memory_refused(end(pair))
            pair.renew_destination()
            equal(end(pair)[0], 'completed', 'the second migration')
            audit(pair, 'dst')


#: Neither this process nor the first one sees a control group.
HIDING = '''#!/bin/sh
case "$*" in *-incoming*) ;; *) exec {qemu} "$@";; esac
exec unshare --mount --pid --fork --kill-child --mount-proc {qemu} "$@"
'''


#: What another user than root may open, too, but in this one's own /dev.
OTHER_USER = '''#!/bin/sh
case "$*" in *-incoming*) ;; *) exec {qemu} "$@";; esac
exec unshare --mount sh -c 'mount --bind {folder}/uffd /dev/userfaultfd &&
exec {qemu} -run-with user=nobody "$@"' sh "$@"
'''


def _destination_by(pair, script):
    name = os.path.join(pair.run.folder, 'destination')
    with open(name, 'w', encoding='ascii') as out:
        out.write(script.format(qemu=paths.built('qemu'),
                                folder=pair.run.folder))
    os.chmod(name, stat.S_IRWXU)
    pair.binaries['dst'] = name
    pair.renew_destination()


def other_user(logs):
    """Not root: a ledger of its own, and a limit that it cannot see."""
    if not os.path.exists('/dev/userfaultfd'):
        print('# no /dev/userfaultfd: not tested')
        return
    with _awake(logs) as pair:
        node = os.path.join(pair.run.folder, 'uffd')
        os.mknod(node, stat.S_IFCHR | 0o666,
                 os.stat('/dev/userfaultfd').st_rdev)
        os.chmod(node, 0o666)
        _destination_by(pair, OTHER_USER)
        uid = pwd.getpwnam('nobody').pw_uid
        claims = []

        def look(migration):
            migration.when(lambda: claims.append(_claim_of(pair.dst)), 'src',
                           'MIGRATION_HYBRID_PHASE', phase='rounds', round=1)
        # Slow enough for a look at the claim before it ends
        status, _src, dst, error = end(pair, before=look,
                                       **{'max-bandwidth': 8 << 20})
        equal(status, 'completed', f'ended ({error}) as')
        check(claims[0] and f'/claim-{uid}-' in claims[0], f'claim {claims}')
        equal(dst['memory-limit-known'], False, 'limits are known')
        log = pair.dst.output()
        equal(log.count('warning'), 1, f'warnings in: {log}')
        audit(pair, 'dst')


def cgroup_hidden(logs):
    """A limit that nobody can see is told: once, and with what to do."""
    with _awake(logs) as pair:
        _destination_by(pair, HIDING)
        status, _src, dst, error = end(pair)
        equal(status, 'completed', f'ended ({error}) as')
        equal(dst['memory-limit-known'], False, 'limits are known')
        log = pair.dst.output()
        equal(log.count('cannot be read'), 1, f'warnings in: {log}')
        check('/sys/fs/cgroup' in log, log)
        audit(pair, 'dst')


def balloon(logs):
    """What the balloon has taken is not needed: the limit leaves room."""
    mem = 512
    with own_group(200 * MIB) as group:
        if not group.path:
            return
        path = os.path.join(paths.BUILD, f'balloon-{os.getpid()}')
        with _awake(logs, ('-device', 'virtio-balloon-pci,addr=9,vectors=0'),
                    mem, link={'src_extra': (
                        '-qtest', f'unix:{path},server=on,wait=off',
                        '-qtest-log', '/dev/null')}) as pair:
            group.take(pair.dst)
            _memory_refused(end(pair))
            # The guest takes back by itself what it was not asked for
            inflate(path, 448 * MIB)
            pair.renew_destination()
            group.take(pair.dst)
            _memory_refused(end(pair))
            pair.src.qmp('balloon', {'value': (mem - 448) * MIB})
            equal(pair.src.qmp('query-balloon')['actual'], 64 * MIB, 'actual')
            # What it has left lies anywhere
            scatter(path, range(64 * MIB, mem * MIB, 2 * MIB))
            pair.renew_destination()
            group.take(pair.dst)
            status, src, _dst, error = end(pair)
            equal(status, 'completed', f'ended ({error}) as')
            check(src['memory-needed'] < 120 * MIB, src)
            audit(pair, 'dst')


def _huge(size, more=''):
    return ('-object', f'memory-backend-memfd,id=ram,size={size}M,hugetlb=on,'
            f'hugetlbsize=2M,{more}', '-machine', 'memory-backend=ram')


def huge_pool_shared(logs):
    """Two that come in at once do not count on the same huge pages."""
    with huge_pages(120) as there:
        if not there:
            print('# no huge pages: not tested')
            return
        # What the sources hold is theirs already
        how = {'link': {'src_extra': _huge(64, 'prealloc=on')},
               'dst_extra': _huge(64, 'reserve=off')}
        with _awake(logs, **how) as one, _awake(logs + '-other', **how) as two:
            first = Migration(one, {'events': True, 'postcopy-ram': True,
                                    'hybrid': True,
                                    'pause-before-switchover': True},
                              parameters={'max-bandwidth': 1 << 16})
            first.start()
            first.wait_phase('rounds')
            _memory_refused(end(two), 'huge pages of 2048 KiB')
            one.src.set_parameters({'max-bandwidth': 1 << 30})
            first.wait_status('src', 'pre-switchover')
            one.src.qmp('migrate-continue', {'state': 'pre-switchover'})
            equal(first.wait_end(), 'completed', 'the first')
            audit(one, 'dst')
            audit(two, 'src')


def huge_reserved(logs):
    """What the kernel has set aside is there, however full the pool is."""
    with huge_pages(64) as there:
        if not there:
            print('# no huge pages: not tested')
            return
        with _awake(logs, _huge(64, 'reserve=on')) as pair:
            status, _src, _dst, error = end(pair)
            equal(status, 'completed', f'ended ({error}) as')
            audit(pair, 'dst')


def _on_tmpfs(logs, size, share):
    def memory(folder):
        return ('-object', f'memory-backend-file,id=ram,size=64M,mem-path='
                f'{folder},share={share}')
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(Run(logs=logs))
        small = stack.enter_context(tmpfs(run, size))
        pair = stack.enter_context(_awake(
            logs, machine='pc,memory-backend=ram', dst_extra=memory(small),
            link={'src_extra': memory('/dev/shm')}))
        result = end(pair)
        audit(pair, 'dst' if result[0] == 'completed' else 'src')
        return result


def tmpfs_too_small(logs):
    """A file system with a size has room, too, or not."""
    _memory_refused(_on_tmpfs(logs, '32m', 'on'), 'space in the file system')


def tmpfs_large_enough(logs):
    equal(_on_tmpfs(logs, '80m', 'on')[0], 'completed', 'ended as')


def tmpfs_private(logs):
    """A page of private memory takes the file's page beside its own."""
    _memory_refused(_on_tmpfs(logs, '32m', 'off'), 'space in the file system')


def _when(guest, message):
    """When the destination had, or sent, that message; seconds."""
    with open(guest.trace_file, encoding='utf-8', errors='replace') as trace:
        for line in trace:
            found = re.match(r'\d+@([\d.]+):hybrid_message .*\b' + message,
                             line)
            if found:
                return float(found.group(1))
    raise AssertionError(f'no message {message}')


def check_is_quick(logs):
    """The main loop waits for the answer: not for a look at every page."""
    memfd = ('-object', 'memory-backend-memfd,id=ram,size=32G',
             '-machine', 'memory-backend=ram')
    with _awake(logs, memfd, '32G') as pair:
        took = []
        for _ in range(3):          # a busy machine may keep it waiting
            migration = Migration(pair, parameters={
                'max-bandwidth': 1 << 16, 'hybrid-memory-overcommit': 1000})
            migration.start()
            migration.wait_phase('rounds')
            migration.cancel()
            equal(migration.wait_end(), 'cancelled', 'ended as')
            took.append(_when(pair.dst, 'READY') -
                        _when(pair.dst, 'SETTINGS'))
            if took[-1] < 0.2:      # page by page 0.6 s on one at rest
                break
            pair.renew_destination()
        check(took[-1] < 0.2, f'the check took {took} s')
        print(f'# the check of 32 GiB took {took[-1] * 1000:.1f} ms')
        audit(pair, 'src')


def _claim_of(guest):
    """The file that this QEMU holds open in the ledger, or None."""
    folder = f'/proc/{guest.machine.get_pid()}/fd'
    for name in os.listdir(folder):
        with contextlib.suppress(OSError):
            path = os.readlink(os.path.join(folder, name))
            if path.startswith(LEDGER) and '/claim-' in path:
                return path
    return None


def ledger_claims(logs):
    """What is to come is noted, and nothing is left of it."""
    with _awake(logs) as pair:
        claims = []

        def look(migration):
            migration.when(lambda: claims.append(_claim_of(pair.dst)), 'src',
                           'MIGRATION_HYBRID_PHASE', phase='rounds', round=1)
        status, _src, _dst, error = end(pair, before=look)
        equal(status, 'completed', f'ended ({error}) as')
        check(claims and claims[0], 'nothing was claimed')
        equal(_claim_of(pair.dst), None, 'left behind')
        check('cannot note' not in pair.dst.output(), pair.dst.output())
        audit(pair, 'dst')


CASES = {f.__name__.replace('_', '-'): f for f in (
    virtio_mem_empty, virtio_mem_requested, overcommit_at_destination,
    overcommit_at_source, check_off_at_source, check_off_at_destination,
    cgroup_limit, cgroup_hidden, other_user, balloon, huge_pool_shared, huge_reserved,
    tmpfs_too_small, tmpfs_large_enough, tmpfs_private, ledger_claims, check_is_quick)}
