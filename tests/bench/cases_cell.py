"""One real cell from end to end, and its figures against the raw series.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import subprocess
import time

from checks import check, equal, has, near
from hybridmig import paths
from hybridmig.net import Link
from hybridmig.runs import Run
from hybridmig.bench import (cell, drivers, floor, links, metrics, runner,
                             samples, shortfall, store, techniques, worklost,
                             workloads)
from hybridmig.bench import cli

LINK = links.BenchLink('test', '400mbit', 16384)
WORK = workloads.Workload('test', 'test: sequential writer',
                          'hot pages={half} rate=20000')


def why_not():
    if os.geteuid() != 0:
        return 'needs root for network namespaces'
    for name in ('qemu', 'qemu-base'):
        if not os.path.exists(paths.built(name)):
            return f'no {name} is built'
    return None


def _declare():
    """As if they were in the lists; the tests are small and quick."""
    links.BY_NAME['test'] = LINK
    workloads.BY_NAME['test'] = WORK


def _namespaces(pid):
    names = subprocess.run(['ip', 'netns', 'list'], capture_output=True,
                           text=True, check=True).stdout.split()
    return [name for name in names if name.startswith(f'hm-{pid}-')]


def _run(folder, *names):
    _declare()
    cells = [cell.Cell(name, 'test', 'test', 0) for name in names]
    settings = cell.Settings(logs=os.path.join(paths.BUILD, 'test-logs',
                                               'bench'))
    said = []
    results = runner.Runner(cells, settings, runner.default_binaries(),
                            folder, say=said.append).run()
    equal(_namespaces(os.getpid()), [], 'namespaces left')
    equal([c['key'] for c in results.cells], [c.key for c in cells], 'cells')
    return {c['technique']: c for c in store.load(folder).cells}, said


def _check_series(record):
    """The figures follow from the raw series in the file."""
    raw, figures = record['raw'], record['figures']
    times = raw['times']
    points = [tuple(point) for point in raw['done']]
    lost = worklost.work_lost(points, raw['window'], 0.0, times['end'])
    near(figures['lost_s'], lost.lost_s, 0.02, 'work lost')
    equal(lost.back, raw['back'] is not None, 'the rate is back')
    # The series has tenths of milliseconds
    near(lost.rate, raw['rate'], raw['rate'] / 1000, 'rate before')
    # A busy machine makes it less, nothing makes it more.
    check(2000 < lost.rate < 22000, f'rate before: {lost.rate}')
    fine = samples.unpacked(raw['fine'])
    check(len(fine) > 100 * (fine[-1][0] - fine[0][0]) / 3,
          f'{len(fine)} samples of work')
    found = shortfall.shortfall(fine, 0.0, times['end'], raw['speed_change'],
                                raw['short']['most'])
    near(figures['short_s'], found.lost_s, 0.02, 'work lost')
    equal(raw['short']['most'], 20000, 'the pace')
    near(figures['total_s'], times['end'], 0.001, 'total')
    touching = [to - since for since, to, *_ in raw['gaps']
                if since <= times['resume'] + 0.1 and to >= times['stop']]
    near(figures['downtime_ms'], max(touching) * 1000, 0.5, 'downtime')
    check(figures['stall_ms'] >= figures['downtime_ms'] - 0.5,
          'the longest stall is shorter than the downtime')
    near(figures['wire_mib'], raw['bytes']['src'] / 2**20, 0.01, 'bytes')
    carried = LINK.bits / 8 * (figures['total_s'] + 0.1) / 2**20
    check(figures['wire_mib'] <= carried, 'more bytes than the link carries')
    check(figures['cpu_s'] > 0, 'no CPU time')
    equal(figures['faults'] is not None and
          (figures['faults'] > 0 or not raw['fault_us']), True, 'faults')


def two_cells(folder):
    """Both builds, through to the report."""
    found, said = _run(folder, 'postcopy', 'hybrid')
    for record in found.values():
        equal((record['status'], record['reason']), (metrics.OK, None),
              record['key'])
        equal(record['audit']['wrong'], 0, 'wrong pages')
        equal(record['audit']['pages'], LINK.pages, 'pages checked')
        _check_series(record)
    equal(found['postcopy']['settings']['build'], 'qemu-base', 'build')
    check(found['postcopy']['figures']['faults'] > 0, 'postcopy, no faults')
    check(found['postcopy']['figures']['fault_p50_us'] > 0, 'no latency')
    near(found['postcopy']['figures']['wire_mib'],
         found['postcopy']['qemu']['bytes'] / 2**20, 8, 'bytes of QEMU')
    check(found['hybrid']['raw']['rounds'], 'no rounds of hybrid')
    check(any('left' in line for line in said), 'no progress')
    equal(cli.main(['--report', '--out', folder]), 0, 'exit status')
    with open(os.path.join(folder, 'report.html'), encoding='utf-8') as page:
        text = page.read()
    for record in found.values():
        has(text, f'<td>{record["figures"]["total_s"]:.2f}</td>')
        has(text, f'<td>{record["figures"]["downtime_ms"]:.0f}</td>')


def not_converging(folder):
    """Precopy is ended at its bound, and the guest is right at the source."""
    techniques.BY_NAME['test'] = techniques.Technique(
        'test', 'test: precopy with a short bound', 'qemu-base', 'precopy')
    bounds = drivers.bounds_for
    drivers.bounds_for = lambda seconds: bounds(seconds).__class__(
        4, 5, 60)
    try:
        record = _run(folder, 'test')[0]['test']
    finally:
        drivers.bounds_for = bounds
        techniques.BY_NAME.pop('test')
    equal((record['status'], record['reason']), (metrics.NO_CONVERGE, None),
          'status')
    equal(record['audit']['side'], 'src', 'where the guest is')
    equal(record['audit']['wrong'], 0, 'wrong pages')
    check(record['notes']['left_mib'] > 0, 'nothing left to copy')
    check(record['figures']['wire_mib'] > 100, 'no bytes')


def corrupted(folder):
    """A page corrupted before the audit: the cell is WRONG, and is kept."""
    audit = cell.CellRun._audit

    def corrupt(self, side):
        # One that the writer does not write again.
        self.pair.side(side).ask('corrupt 12345')
        return audit(self, side)
    cell.CellRun._audit = corrupt
    try:
        record = _run(folder, 'postcopy')[0]['postcopy']
    finally:
        cell.CellRun._audit = audit
    equal(record['status'], metrics.WRONG, 'status')
    has(record['reason'], '1 wrong (first: 12345)')
    equal(cli.main(['--report', '--out', folder]), 1, 'exit status')


def unknown_parameter(folder):
    """A row for a parameter that this build has not got."""
    techniques.BY_NAME['test'] = techniques.Technique(
        'test', 'test: no such parameter', 'qemu', 'hybrid',
        parameters={'hybrid-no-such-thing': 1})
    try:
        record = _run(folder, 'test')[0]['test']
    finally:
        techniques.BY_NAME.pop('test')
    equal(record['status'], metrics.UNAVAILABLE, 'status')
    equal(record['reason'], 'no parameter hybrid-no-such-thing', 'reason')


def dies(folder):
    """The destination dies: the cell failed, with a reason, and is kept."""
    drive = drivers.DRIVERS['postcopy']

    def killed(migration, bounds):
        migration.when(migration.pair.dst.kill, 'src', 'MIGRATION',
                       status='postcopy-active')
        return drive(migration, bounds.__class__(5, 5, 6))
    drivers.DRIVERS['postcopy'] = killed
    try:
        record = _run(folder, 'postcopy')[0]['postcopy']
    finally:
        drivers.DRIVERS['postcopy'] = drive
    equal(record['status'], metrics.FAILED, 'status')
    check(record['reason'], 'no reason')


def _processes(*parts):
    """Those with all these parts in their command lines."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/cmdline', 'rb') as file:
                line = file.read().decode('utf-8', 'replace')
            if all(part in line for part in parts):
                found.append(pid)
        except OSError:
            continue            # it has ended just now
    return found


def ended_and_resumed(folder):
    """A signal in the middle of a cell: nothing is left, and it goes on."""
    command = [os.path.join(paths.ROOT, 'scripts/bench'), '--only',
               'postcopy/idle-full/slow', '--scale', '0.2', '--repeat', '1',
               '--bad-links', 'run', '--out', folder]
    bench = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    token = f'hm-{bench.pid}-'
    try:
        for line in bench.stdout:
            if 'cells, about' in line:
                break
        end = time.monotonic() + 60
        while not (qemus := _processes(token, 'qemu-system-x86_64')) and \
                time.monotonic() < end:
            time.sleep(0.05)
        check(qemus, 'no QEMU was started')
        bench.terminate()
        equal(bench.wait(60), 143, 'exit status')
    finally:
        bench.kill()
        bench.wait()
        bench.stdout.close()
    equal(_processes(token), [], 'processes left')
    equal(_namespaces(bench.pid), [], 'namespaces left')
    equal(store.load(folder).cells, [], 'cells')
    again = subprocess.run(command + ['--resume'], capture_output=True,
                           text=True, check=False)
    equal(again.returncode, 0, f'exit status ({again.stderr})')
    equal([(c['key'], c['status']) for c in store.load(folder).cells],
          [('postcopy/idle-full/slow/0', metrics.OK)], 'cells')


def floor_measured(_folder):
    """One page at a time costs more than a run of them."""
    with Run() as run:
        link = Link(run, rate='unlimited')
        one, many = (floor.measure(link, pages=8192, run=number, times=3)
                     for number in (1, 32))
    for found in (one, many):
        check(found['src_us'] > 0 and found['dst_us'] > 0, f'CPU: {found}')
        near(found['src_us'] + found['dst_us'], found['page_cpu_us'], 0.001,
             'both sides')
        check(found['least'] <= found['page_cpu_us'] <= found['most'],
              f'spread: {found}')
    check(one['page_cpu_us'] > many['page_cpu_us'],
          f'a page at a time takes {one}, a run of 32 {many}')


CASES = {f'cell: {case.__name__}': case for case in (
    two_cells, not_converging, corrupted, unknown_parameter, dies,
    ended_and_resumed, floor_measured)}
