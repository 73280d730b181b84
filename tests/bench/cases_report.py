"""Synthetic results: the tables, the report and the exit status say so.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import io
import contextlib
import os
import re

import synthetic
from checks import check, equal, has
from hybridmig.bench import cli, docs, stats, store, tables


def call(*argv):
    """(exit status, what was printed) of the program."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            status = cli.main(list(argv))
        except SystemExit as exc:
            status = exc.code
    return status, out.getvalue()


def report_of(folder, cells, tail=b''):
    """(exit status, printed, HTML) of --report on these cells."""
    synthetic.write(folder, cells, tail)
    status, printed = call('--report', '--out', folder)
    with open(os.path.join(folder, 'report.html'), encoding='utf-8') as file:
        return status, printed, file.read()


def peers():
    return [synthetic.cell(name) for name in ('precopy', 'postcopy')]


def all_right(folder):
    status, printed, page = report_of(folder,
                                      peers() + [synthetic.cell()])
    equal(status, 0, 'exit status')
    check('bad:' not in printed, printed)
    check('WRONG:' not in page and 'class="wrong"' not in page,
          'the report names a wrong cell')
    has(page, '0 wrong; 0 cells are WRONG')
    has(page, 'src="data:image/png;base64,')
    links = re.findall(r'(?:src|href)="(?!data:)[^"]*"|https?://', page)
    equal(links, [], 'links out of the report')
    check(os.path.getsize(os.path.join(
        folder, 'pictures', 'sequential_1gbit.png')) > 10000, 'no picture')


def corrupt_page(folder):
    wrong = synthetic.corrupt_page(synthetic.cell())
    status, printed, page = report_of(folder, peers() + [wrong])
    equal(status, 1, 'exit status')
    has(printed, f'bad: {wrong["key"]}')
    has(page, '1 wrong; 1 cells are WRONG')
    has(page, 'memory: 1000 pages checked, 1 wrong (first: 4711)')
    has(page, '<tr class="wrong"><td>hybrid, defaults</td><td>WRONG</td>')
    results = store.load(folder)
    page = docs.text(results, stats.groups(results.cells), {}, 'results')
    has(page, '| hybrid, defaults | WRONG |')
    has(page, '1 wrong (first: 4711)')


def one_wrong_of_three(folder):
    """Two that are right do not hide it, and its figures are no figures."""
    cells = [synthetic.cell(repeat=n, downtime_ms=30.0 + n)
             for n in range(2)]
    cells.append(synthetic.corrupt_page(
        synthetic.cell(repeat=2, downtime_ms=1.0)))
    status, _, page = report_of(folder, cells)
    equal(status, 1, 'exit status')
    has(page, 'WRONG 1 of 3, ok 2 of 3')
    group = stats.groups(store.load(folder).cells)['sequential', '1gbit']
    equal(group['hybrid'].spread('downtime_ms').least, 30.0, 'least downtime')


def failed_cell(folder):
    cell = synthetic.cell(status='failed', reason='QEMU of dst died of signal '
                          '6 <here>')
    cell['raw'] = {}
    status, printed, page = report_of(folder, peers() + [cell])
    equal(status, 1, 'exit status')
    has(printed, f'bad: {cell["key"]}')
    has(page, '<tr class="failed"><td>hybrid, defaults</td><td>failed</td>')
    has(page, 'QEMU of dst died of signal 6 &lt;here&gt;')


def no_converge(folder):
    cell = synthetic.cell('precopy', status='does not converge',
                          downtime_ms=None, wire_mib=4321.0)
    cell['raw']['times'].update(stop=None, resume=None)
    cell['notes'] = {'bound_s': 22.0, 'passes': 9, 'left_mib': 77.0}
    status, _, page = report_of(folder, [cell, synthetic.cell()])
    equal(status, 0, 'exit status')
    has(page, '<td>does not converge</td>')
    has(page, '4321.0')
    has(page, 'cancelled after 22 s in pass 9, 77 MiB left')


def unavailable(folder):
    cell = synthetic.cell('hybrid-no-bitmap', reason='no parameter '
                          'hybrid-hot-threshold',
                          status='not available in this build')
    cell.update(figures={}, raw={}, qemu={}, audit=None)
    status, _, page = report_of(folder, [cell, synthetic.cell()])
    equal(status, 0, 'exit status')
    has(page, '<td>not available in this build</td>')
    has(page, 'no parameter hybrid-hot-threshold')


def lost_second(folder):
    """A second that is lost outside of the downtime is in the table."""
    cell = synthetic.cell(short_s=1.53, lost_s=0.7, stall_ms=1040.0)
    report_of(folder, peers() + [cell])
    group = stats.groups(store.load(folder).cells)['sequential', '1gbit']
    table = tables.outside(group)
    row = dict(zip(table.head, table.rows[-1]))
    equal((row['work lost s'], row['net lost s']), ('1.53', '0.70'),
          'work lost')
    equal(row['longest stall ms'], '1040', 'longest stall')
    equal(row['downtime ms'], '30', 'downtime')


def duplicate(folder):
    """The same cell twice: the first counts, and the reader is told."""
    cells = [synthetic.cell(downtime_ms=30.0), synthetic.cell(downtime_ms=5.0)]
    status, printed, page = report_of(folder, cells)
    equal(status, 1, 'exit status')
    has(printed, f'bad: {cells[0]["key"]}')
    has(page, 'recorded twice, the first record counts')
    group = stats.groups(store.load(folder).cells)['sequential', '1gbit']
    equal(group['hybrid'].spread('downtime_ms').median, 30.0, 'downtime')


def disagreement_shown(folder):
    cell = synthetic.cell()
    cell['flags'] = ['downtime: the guest was silent for 1030 ms, QEMU says '
                     '29 ms']
    _, _, page = report_of(folder, [cell])
    has(page, '1gbit/0: downtime: the guest was silent for 1030 ms')
    has(page, '<td>1 of 1</td>')


def busy_host(folder):
    busy = synthetic.cell()
    busy['raw']['others'] = 0.6
    _, _, page = report_of(folder, peers() + [busy])
    has(page, '1 of 3 cells were measured while others used more than 20%')


def uneven_host(folder):
    slowed = synthetic.cell()
    slowed['raw']['speed_change'] = 0.55
    _, _, page = report_of(folder, peers() + [slowed])
    has(page, 'in 1 of 3 cells the host computed at another speed')


def torn_line(folder):
    whole = [synthetic.cell('precopy')]
    status, printed, page = report_of(folder, whole,
                                      b'{"kind":"cell","key":"hyb')
    equal(status, 0, 'exit status')
    has(printed, 'the last line of the results is torn')
    has(page, 'the last line of the results is torn')
    equal(len(store.load(folder).cells), 1, 'cells')


def refused_link(folder):
    entry = {'kind': 'link', 'link': '10gbit', 'shape': '10gbit',
             'used': False, 'fault': 'link 10gbit: 4000 Mbit/s got through'}
    _, _, page = report_of(folder, [entry, synthetic.cell()])
    has(page, 'link 10gbit: 4000 Mbit/s got through; left out')
    _, _, page = report_of(folder + '2', [{**entry, 'used': True}])
    has(page, 'link 10gbit: 4000 Mbit/s got through; run anyway')


def floor_shown(folder):
    entry = {'kind': 'floor', 'link': 'unlimited', 'run': 32,
             'page_cpu_us': 4.321, 'dst_us': 1.234, 'least': 4.1, 'most': 4.6}
    _, _, page = report_of(folder, [entry, synthetic.cell()])
    has(page, 'takes 4.32 us of CPU time (4.10 to 4.60), of it 1.23 at')


def _watched(looks=20, apart=2, pages=10000):
    """A guest that does a tenth less in the tenth of a second of a look."""
    at = [apart * n + 0.05 for n in range(1, looks + 1)]
    reports = [(n / 10, 90 if any(n / 10 - 0.1 < look <= n / 10
                                  for look in at) else 100)
               for n in range(round(10 * apart * (looks + 1)))]
    return {'looks': [(look, pages, 0.0001, True) for look in at],
            'reports': reports, 'took_s': apart * looks}


def sampling_shown(folder):
    full = {'looks': [(0.1, 5000, 0.0002, True), (0.4, 0, 0.0001, False),
                      (0.5, 9000, 0.0001, None)],
            'reports': [], 'took_s': 0.5}
    entry = {'kind': 'sampling', 'workload': 'uniform',
             'slow': [_watched(), _watched()], 'full': full}
    before = {'kind': 'sampling', 'workload': 'sequential', 'windows': []}
    _, _, page = report_of(folder, [before, entry, synthetic.cell()])
    has(page, 'a look costs the guest 10.00 (10.00 to 10.00) ms, '
        '1.00 (1.00 to 1.00) us for each page')
    has(page, 'n = 40; mean 10.0 ms, its standard error 0.0; at moments '
        'without a look 0.00 (')
    has(page, 'at a trickle, 40 looks in 80.0 s took 0.50 (0.50 to 0.50) % '
        'of its work and 0.005 % of one CPU')
    has(page, 'at 1gbit, 3 looks in 0.5 s took 1.00 (1.00 to 1.00) % of its '
        'work and 0.080 % of one CPU')
    check('sequential writer at full speed' not in page,
          'what was measured in another way is shown')
    close = {**entry, 'slow': [_watched(apart=0.4)]}
    _, _, page = report_of(folder + '2', [close, synthetic.cell()])
    has(page, 'too little seen to say what it costs')


def not_results(folder):
    path = synthetic.write(folder, [synthetic.cell()])
    with open(path, 'r+b') as file:
        data = file.read()
        file.seek(0)
        file.write(b'x' + data[1:])
    status, printed = call('--report', '--out', folder)
    equal(status, 1, 'exit status')
    has(printed, 'line 1 is not an entry')
    status, printed = call('--report', '--out', os.path.join(folder, 'no'))
    equal(status, 1, 'exit status')
    has(printed, 'No such file')


CASES = {f'report: {case.__name__}': case for case in (
    all_right, corrupt_page, one_wrong_of_three, failed_cell, no_converge,
    unavailable, lost_second, duplicate, disagreement_shown, busy_host,
    uneven_host, torn_line, refused_link, floor_shown, sampling_shown,
    not_results)}
