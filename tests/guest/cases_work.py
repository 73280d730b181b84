"""What the guest can be told to do: workloads, a checked job, touch times.

SPDX-License-Identifier: GPL-2.0-or-later
"""
from common import HOT, IDLE, UNPATCHED, audit, booted, check, equal
from hybridmig import measure
from hybridmig.migrate import Migration

#: Workload, and the share of its steps that write a page.
WORKLOADS = (('zipf pages=8000 rate=2000', 1),
             ('readmostly pages=500 rate=2000', 1 / 16),
             ('moving pages=800 rate=2000 threads=2', 1),
             ('job rate=20', 0))
PACED_S = 2     # of the guest's time, over which a rate is measured


def _progress(pair, seconds):
    """Steps a second and share of writes, over the guest's own time."""
    start = len(pair.console.lines)

    def enough():
        lines = [line for line in pair.console.lines[start:]
                 if line.kind == 'tp']
        if lines and lines[-1].number_of('t') - lines[0].number_of('t') >= \
                seconds * 1_000_000:
            return lines[0], lines[-1]
        return None
    found = pair.console.wait(enough, 60)
    check(found, 'the guest reports no progress')
    took, total, writes = (found[1].number_of(name) - found[0].number_of(name)
                           for name in ('t', 'total', 'writes'))
    return total / (took / 1e6), writes / max(total, 1)


def workloads(logs):
    """Each keeps its rate, writes what it should, and leaves pages right."""
    with booted(logs, IDLE, smp=2, src=UNPATCHED, dst=UNPATCHED) as pair:
        for workload, writes in WORKLOADS:
            pair.src.ask(f'work {workload}')
            wanted = int(workload.split('rate=')[1].split()[0])
            for _ in range(3):      # a busy machine may have no time for it
                rate, share = _progress(pair, PACED_S)
                if rate >= 0.7 * wanted:
                    break
            check(0.7 * wanted <= rate <= 1.1 * wanted,
                  f'{workload}: {rate:.0f} steps a second')
            check(abs(share - writes) <= 0.02,
                  f'{workload}: {share:.3f} of the steps wrote')
            found = pair.src.audit()
            check(found.right, f'{workload}: {found}')
        check(pair.src.ask('job').number_of('done') > 0, 'no job was done')
        pair.src.ask('touch reset')
        equal(pair.src.ask('touch').number_of('count'), 0, 'touches, no work')
        audit(pair, 'src')


def job_through(logs):
    """A job runs through a migration; all its output is right."""
    with booted(logs, 'job') as pair:
        migration = Migration(pair)
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        before = pair.dst.ask('job')
        pair.dst.ask('work job')
        check(_progress(pair, 0.5)[0] > 0, 'the job does not go on')
        after = pair.dst.ask('job')
        check(after.number_of('done') > before.number_of('done') > 0,
              f'job: {before.text}; then {after.text}')
        equal((after.number_of('wrong'), after.number_of('misread')), (0, 0),
              'wrong output')
        pair.dst.ask('corrupt-job 3')
        equal(pair.dst.ask('job').number_of('wrong'), 1, 'the twin: wrong')
        audit(pair, 'dst')


def touch_times(logs):
    """In postcopy pages are waited for, and the guest says how long."""
    with booted(logs, HOT) as pair:
        pair.src.ask('touch reset')
        migration = Migration(pair)
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        equal(migration.hybrid()['action'], 'handoff', 'action')
        touch = pair.dst.ask('touch')
        count, half, most, worst = map(touch.number_of,
                                       ('count', 'p50', 'p99', 'max'))
        check(count and 200 <= half <= most <= worst, f'touch: {touch.text}')
        paging = measure.from_events(migration)['resume']
        check(worst <= paging + 2_000_000,
              f'longest touch {worst} us, postcopy took {paging} us')
        audit(pair, 'dst')


CASES = {f.__name__.replace('_', '-'): f for f in (
    workloads, job_through, touch_times)}
