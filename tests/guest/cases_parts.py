"""Writers of a part of a page, and SQLite, through migrations.

SPDX-License-Identifier: GPL-2.0-or-later
"""
from common import UNPATCHED, audit, booted, check, equal
from hybridmig.console import GuestError
from hybridmig.lan import SQLITE_PORT, Session
from hybridmig.migrate import Migration

#: So few that the same places are not written again in a second.
FEW = 'hot pages=10 rate=200'


def _wait_writes(pair, number):
    """Until the guest has reported so many more."""
    wanted = pair.src.ask('stats').number_of('writes') + number
    check(pair.console.wait(
        lambda: any(line.number_of('writes') >= wanted
                    for line in pair.console.reports()[-1:]), 30),
        f'{number} writes are not done')


def _written(pair, style, number):
    """
    (writes, bytes that they changed, pages) since a mark, of a style that has
    begun anew
    """
    pair.src.ask(f'work idle {style}')
    pair.src.ask('changed mark')
    before = pair.src.ask('stats').number_of('writes')
    pair.src.ask(f'work {FEW} {style}')
    _wait_writes(pair, number)
    pair.src.ask('stop')
    writes = pair.src.ask('stats').number_of('writes') - before
    changed = pair.src.ask('changed')
    return writes, changed.number_of('bytes'), changed.number_of('pages')


def parts(logs):
    """What a writer changed is known; all styles leave pages right."""
    with booted(logs, 'idle', smp=2, src=UNPATCHED, dst=UNPATCHED) as pair:
        for size in (8, 24, 64, 512, 4096):
            found = _written(pair, f'bytes={size}', 30)
            equal(found[1:], (10 * size, 10), f'{found[0]} writes of {size} '
                  'bytes at a fixed place: bytes, pages')
        for size in (8, 24, 64):
            writes, total, pages = _written(pair, f'bytes={size} spread=1',
                                            100)
            check(writes < 640, f'{writes} writes')
            equal((total, pages), (writes * size, 10), f'{writes} writes of '
                  f'{size} bytes at other places: bytes, pages')
        total = _written(pair, 'bytes=512 spread=1', 200)[1]
        equal(total, 10 * 4096, 'bytes, where all of a page has its turn')
        for work in ('random pages=2000 rate=0 bytes=8 spread=1 threads=2',
                     'zipf pages=2000 rate=0 bytes=512 spread=1',
                     'readmostly pages=2000 rate=0 bytes=24 threads=2'):
            pair.src.ask(f'work {work}')
            _wait_writes(pair, 3000)
            found = pair.src.audit()
            check(found.right, f'{work}: {found}')
        for wrong in ('bytes=0', 'bytes=12', 'bytes=8192'):
            try:
                pair.src.ask(f'work hot {wrong}')
            except GuestError as exc:
                check('out of range' in str(exc), str(exc))
                continue
            check(False, f'{wrong} is taken')
        audit(pair, 'src')


def _parts_through(logs, style):
    with booted(logs, f'random pages=8000 rate=0 {style}', smp=2) as pair:
        pair.src.ask('changed mark')
        migration = Migration(pair)
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        changed = pair.dst.ask('changed')
        check(changed.number_of('pages') > 7000, f'changed: {changed.text}')
        audit(pair, 'dst')


def parts_fixed(logs):
    _parts_through(logs, 'bytes=24')


def parts_spread(logs):
    _parts_through(logs, 'bytes=64 spread=1 threads=2')


def sqlite(logs):
    """It goes on through a hybrid migration, and its table is right."""
    with booted(logs, 'idle', mem=288, network=True, rate='200mbit',
                words=('hm.serve=sqlite',)) as pair:
        session = Session(pair.lan, period_s=0, timeout=60, port=SQLITE_PORT)
        check(session.wait_answer(60), f'no answer: {session.error}')
        migration = Migration(pair)
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        check(migration.hybrid()['agreed'], 'not hybrid')
        check(session.wait_answer(60), f'no answer after: {session.error}')
        equal(session.stop(), None, 'what ended the session')
        line = pair.dst.ask('sqlite', timeout=180)
        rows, wrong, done, failed = map(
            line.number_of, ('rows', 'wrong', 'transactions', 'failed'))
        equal((rows, wrong, failed, line.fields['integrity']),
              (20000, 0, 0, 'ok'), 'rows, wrong ones, failed, integrity')
        equal(done, len(session.answers), 'transactions')
        pair.dst.ask('corrupt-sqlite 4711')
        equal(pair.dst.ask('sqlite', timeout=180).number_of('wrong'), 1,
              'the twin: wrong rows')
        audit(pair, 'dst')


def compiler(logs):
    """It works on through a hybrid migration, and all comes out the same."""
    with booted(logs, 'compile', mem=224, network=True,
                words=('hm.serve=nothing',)) as pair:
        migration = Migration(pair)
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        before = pair.dst.ask('compile', timeout=60)
        pair.dst.ask('work compile')
        check(pair.console.wait(
            lambda: any(line.number_of('total') > before.number_of('done')
                        for line in pair.console.reports()[-1:]), 30),
            'the compiler does not go on')
        after = pair.dst.ask('compile', timeout=60)
        check(after.number_of('done') > before.number_of('done') > 0,
              f'compiled: {before.text}; then {after.text}')
        equal([after.number_of(name) for name in ('files', 'wrong',
                                                  'misread')], [32, 0, 0],
              'files, wrong ones')
        pair.dst.ask('corrupt-compile 7')
        equal(pair.dst.ask('compile', timeout=60).number_of('wrong'), 1,
              'the twin: wrong')
        audit(pair, 'dst')


CASES = {case.__name__.replace('_', '-'): case for case in (
    parts, parts_fixed, parts_spread, sqlite, compiler)}
