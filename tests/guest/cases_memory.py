"""Each kind of guest memory, through each end of a migration.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import os
import subprocess
import sys
import tempfile

from common import HOT, IDLE, Skip, audit, booted, check, cut_in_paging, \
    equal, pages_add_up, recover_cut
from hybridmig.migrate import Migration

#: Of the guests here; whole pages of 2 MiB.
MEM = 160
#: Below /sys/kernel/mm/hugepages.
POOL = 'hugepages-2048kB'
GIANT_POOL = 'hugepages-1048576kB'
#: A guest twice.
POOL_PAGES = 2 * MEM // 2


@contextlib.contextmanager
def huge_pages(pages=POOL_PAGES, pool=POOL):
    """The host's pool has that many free pages; afterwards it is as before."""
    folder = f'/sys/kernel/mm/hugepages/{pool}'

    def read(name):
        with open(os.path.join(folder, name), encoding='ascii') as number:
            return int(number.read())

    def write(number):
        with open(os.path.join(folder, 'nr_hugepages'), 'w',
                  encoding='ascii') as out:
            out.write(str(number))
    if not os.path.isdir(folder):
        raise Skip(f'no {pool}')
    before = read('nr_hugepages')
    free = read('free_hugepages') - read('resv_hugepages')
    try:
        write(before + max(0, pages - free))
        free = read('free_hugepages') - read('resv_hugepages')
        if free < pages:
            raise Skip(f'{free} of {pool} are free, {pages} are needed')
        yield
    finally:
        write(before)


@contextlib.contextmanager
def _kind(*objects, machine='pc,memory-backend=m', extra=(), huge=False,
          device=None):
    """
    Settings for booted(). Where an object names {file}, that is one of its
    own in a tmpfs for either side.
    """
    with contextlib.ExitStack() as stack:
        sides = {'src': [], 'dst': []}
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix='hm-', dir='/dev/shm'))
        if huge:
            stack.enter_context(huge_pages())
        for side, args in sides.items():
            for number, text in enumerate(objects):
                file = os.path.join(folder, f'{side}-{number}')
                if '{file}' in text:
                    with open(file, 'wb') as out:
                        out.truncate(MEM << 20)
                args += ['-object', text.format(file=file)]
            args += ['-device', device] if device else []
        yield {'machine': machine, 'extra': list(extra),
               'link': {'src_extra': sides['src']},
               'dst_extra': sides['dst']}


def _one(text, **how):
    return lambda: _kind(f'{text},id=m,size={MEM}M', **how)


def _nodes(*backends):
    """A node for each "TYPE,option=value" of "SIZE"."""
    args = []
    for number in range(len(backends)):
        args += ['-numa', f'node,memdev=m{number}']
    return lambda: _kind(
        *(f'{text},id=m{number},size={size}'
          for number, (text, size) in enumerate(backends)),
        machine='pc', extra=args,
        huge=any('hugetlbsize=2M' in text for text, _ in backends))


HUGE = 'memory-backend-memfd,hugetlb=on,hugetlbsize=2M'
KINDS = {
    'private': _one('memory-backend-ram'),
    'shared': _one('memory-backend-ram,share=on'),
    'prealloc': _one('memory-backend-ram,prealloc=on'),
    'locked': _one('memory-backend-ram', extra=['-overcommit', 'mem-lock=on']),
    'memfd': _one('memory-backend-memfd,share=on'),
    'memfd-private': _one('memory-backend-memfd,share=off'),
    'file': _one('memory-backend-file,mem-path={file},share=on'),
    'file-private': _one('memory-backend-file,mem-path={file},share=off'),
    'huge': _one(f'{HUGE},share=on', huge=True),
    'huge-private': _one(f'{HUGE},share=off', huge=True),
    'huge-prealloc': _one(f'{HUGE},share=on,prealloc=on', huge=True),
    # One of them is no whole number of huge pages, chunks or parts of a log
    'nodes': _nodes((f'{HUGE},share=on', '64M'),
                    ('memory-backend-ram', '75908K'),
                    ('memory-backend-memfd,share=on', '22396K')),
}


def _start(pair, caps=None, **parameters):
    migration = Migration(pair, parameters=parameters)
    migration.at_both(caps)
    return migration


def _precopy(pair):
    migration = _start(pair).start()
    equal(migration.wait_end(), 'completed', 'ended as')
    equal(migration.hybrid()['action'], 'complete', 'action')
    pages_add_up(migration)


def _handoff(pair, caps=None):
    migration = _start(pair, caps).start()
    equal(migration.wait_end(), 'completed', 'ended as')
    equal(migration.hybrid()['action'], 'handoff', 'action')
    pages_add_up(migration)


def _preempt(pair):
    _handoff(pair, {'postcopy-preempt': True})


def _recover(pair):
    """The link is cut in the middle of a round before, and in paging."""
    migration = _start(pair, **{'hybrid-max-precopy-bytes': 20 << 20})
    cut_in_paging(migration)
    migration.start()
    recover_cut(migration)
    pages_add_up(migration, lost=True)


def _again(pair):
    """Cancelled in the second round; the next one succeeds."""
    migration = _start(pair)
    migration.when(migration.cancel, 'src', 'MIGRATION_HYBRID_PHASE',
                   phase='rounds', round=1)
    migration.start()
    equal(migration.wait_end(), 'cancelled', 'ended as')
    pair.renew_destination()
    _handoff(pair)


def refused(pair, *parts):
    """In phase 1, by both; the guest runs on at the source."""
    migration = _start(pair).start()
    equal(migration.wait_end(), 'failed', 'ended as')
    equal(migration.event('src', 'STOP'), None, 'the guest was stopped')
    equal(migration.hybrid()['pages']['total'], 0, 'pages sent')
    for part in parts:
        check(part in migration.info()['error-desc'],
              f'no word of "{part}": {migration.info()["error-desc"]}')


def _sizes_differ(src, dst):
    def run(logs):
        with KINDS[src]() as ours, KINDS[dst]() as theirs:
            ours['dst_extra'] = theirs['dst_extra']
            with booted(logs, IDLE, mem=MEM, **ours) as pair:
                refused(pair, "'m'", ' 4 KiB at the ' +
                        ('source' if src == 'private' else 'destination'),
                        ' 2048 KiB at the ' +
                        ('destination' if src == 'private' else 'source'))
                audit(pair, 'src')
    return run


def sizes_swapped(logs):
    """The same sizes of pages in all, but each block has another one."""
    nodes = [(f'{HUGE},share=on', '80M'), ('memory-backend-ram', '80M')]
    with _nodes(*nodes)() as ours, _nodes(*nodes[::-1])() as theirs:
        ours['dst_extra'] = theirs['dst_extra']
        with booted(logs, IDLE, mem=MEM, **ours) as pair:
            refused(pair, "'m", ' 2048 KiB at the ', ' 4 KiB at the ')
            audit(pair, 'src')


def read_only(logs):
    """A file that is mapped for reading: no page can be placed there."""
    with _kind('memory-backend-file,id=n,mem-path={file},size=16M,share=on,'
               'readonly=on', machine='pc,nvdimm=on',
               extra=['-m', '224,slots=1,maxmem=1G'],
               device='nvdimm,memdev=n,unarmed=on') as settings, \
         booted(logs, IDLE, mem=224, **settings) as pair:
        refused(pair, "block 'n'")
        audit(pair, 'src')


@contextlib.contextmanager
def _thief():
    """A process that takes each huge page that nobody has reserved."""
    code = ('import mmap, time\n'
            'taken = []\n'
            'while True:\n'
            '    try:\n'
            '        taken.append(mmap.mmap(-1, 2 << 20, mmap.MAP_SHARED |\n'
            '                     mmap.MAP_ANONYMOUS | 0x40000))\n'
            '    except OSError:\n'
            '        time.sleep(0.0002)\n')
    with subprocess.Popen([sys.executable, '-c', code]) as thief:
        try:
            yield
        finally:
            thief.kill()


def _unreserved():
    def read(name):
        with open(f'/sys/kernel/mm/hugepages/{POOL}/{name}',
                  encoding='ascii') as number:
            return int(number.read())
    return read('free_hugepages') - read('resv_hugepages')


def huge_prealloc_kept(logs):
    """
    Postcopy drops at its beginning what was allocated before: the huge pages
    are the destination's all the same, from the first page on.
    """
    with KINDS['huge-prealloc']() as settings, \
         booted(logs, HOT, mem=MEM, rate='100mbit', **settings) as pair:
        before = _unreserved()
        migration = _start(pair).start()
        migration.wait_phase('rounds')
        equal(_unreserved(), before, 'huge pages that others can take')
        equal(migration.wait_end(), 'completed', 'ended as')
        audit(pair, 'dst')


def _taken(logs, kind):
    """
    Huge pages that are dropped at the destination stay reserved for it. If
    they are taken all the same the guest stays at the source.
    """
    with KINDS[kind]() as settings, \
         booted(logs, HOT, mem=MEM, **settings) as pair, _thief():
        migration = _start(pair, **{'hybrid-hot-threshold': 0}).start()
        end = migration.wait_end()
        if end == 'completed':
            equal(migration.hybrid()['action'], 'handoff', 'action')
            check(migration.hybrid()['stop']['discards-before'],
                  'nothing was dropped')
        audit(pair, {'completed': 'dst', 'failed': 'src'}[end])


def huge_taken(logs):
    _taken(logs, 'huge')


def huge_private_taken(logs):
    _taken(logs, 'huge-private')


def giant(logs):
    """
    The first round comes to a page of 1 GiB in its middle and sends all of it:
    a part would have to be sent again, and cannot be dropped alone.
    """
    nodes = _nodes(('memory-backend-ram', '1152M'),
                   ('memory-backend-memfd,hugetlb=on,hugetlbsize=1G,share=on',
                    '1G'))
    with huge_pages(2, GIANT_POOL), nodes() as settings, \
         booted(logs, HOT, mem=2176, rate='unlimited', **settings) as pair:
        migration = _start(pair, **{'hybrid-max-precopy-bytes': 40 << 20,
                                    'max-bandwidth': 60 << 20,
                                    'hybrid-handoff-timeout': 60000}).start()
        equal(migration.wait_end(), 'completed', 'ended as')
        equal(migration.hybrid()['action'], 'handoff', 'action')
        pages_add_up(migration)
        audit(pair, 'dst')


ENDS = {'precopy': (_precopy, IDLE), 'handoff': (_handoff, HOT),
        'preempt': (_preempt, HOT), 'recover': (_recover, HOT),
        'again': (_again, HOT)}


def _case(kind, end):
    act, workload = ENDS[end]

    def run(logs):
        with KINDS[kind]() as settings, \
             booted(logs, workload, mem=MEM, **settings) as pair:
            act(pair)
            audit(pair, 'dst')
    return run


CASES = {
    **{f'memory-{kind}-{end}': _case(kind, end)
       for kind in KINDS for end in ENDS},
    'memory-huge-at-source': _sizes_differ('huge', 'private'),
    'memory-huge-at-destination': _sizes_differ('private', 'huge'),
    'memory-sizes-swapped': sizes_swapped,
    'memory-read-only': read_only,
    'memory-huge-taken': huge_taken,
    'memory-huge-private-taken': huge_private_taken,
    'memory-huge-prealloc-kept': huge_prealloc_kept,
    'memory-giant': giant,
}

#: In the usual run each kind and each end is met, huge pages with all ends.
LONG = set(CASES) - {f'memory-{name}' for name in (
        'huge-at-source', 'read-only', 'huge-taken', 'huge-prealloc-kept',
        'locked-handoff', 'prealloc-again', 'shared-handoff', 'memfd-recover',
        'memfd-private-preempt', 'file-preempt', 'file-private-recover',
        'huge-precopy', 'huge-handoff', 'huge-preempt', 'huge-recover',
        'huge-again', 'huge-private-recover', 'nodes-preempt',
        'nodes-precopy')}
