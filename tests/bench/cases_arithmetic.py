"""Figures from series made by hand, whose right values are known.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import random
import time
import types

import synthetic
from checks import check, equal, near
from hybridmig.bench import (cell, cross, drivers, links, matrix, metrics,
                             observe, speed, store, techniques, worklost)


def lost_of(lost, length=20.0, start=5.0, end=9.0, noise=0.0, **how):
    points = synthetic.series(length, lost, **how)
    source = random.Random(1)
    points = [(at, work * (1 + source.uniform(-noise, noise)))
              for at, work in points]
    return worklost.work_lost(points, 0.0, start, end)


def nothing_lost(_):
    found = lost_of([])
    near(found.lost_s, 0, 1e-6, 'work lost')
    near(found.back_at, 9.0, 1e-6, 'the rate is back')
    near(found.rate, synthetic.RATE, 1e-6, 'rate')


def one_second(_):
    """In which nothing at all is done, across the reports' borders."""
    near(lost_of([(6.23, 7.23)]).lost_s, 1.0, 1e-6, 'work lost')


def several(_):
    near(lost_of([(5.5, 5.75), (6.0, 6.5), (8.9, 9.4)]).lost_s, 1.25, 1e-6,
         'work lost')


def half_speed(_):
    """Every second tenth of a second is lost, until long after the end."""
    lost = [(5 + i / 5, 5.1 + i / 5) for i in range(40)]
    points = synthetic.series(20, lost, period=0.2)
    found = worklost.work_lost(points, 0, 5, 9)
    near(found.lost_s, 4.0, 1e-6, 'work lost')
    near(found.back_at, 13.0, 0.01, 'the rate is back')


def lost_before_start(_):
    """What happened before belongs to the rate, not to the migration."""
    found = lost_of([(1.0, 2.0)])
    near(found.rate, synthetic.RATE * 0.8, 1e-6, 'rate')
    check(found.lost_s < 0, f'work lost: {found.lost_s}')


def never_back(_):
    found = lost_of([(6.0, 30.0)])
    check(not found.back, 'the rate is said to be back')
    near(found.lost_s, 14.0, 1e-6, 'work lost')


def late_dip(_):
    """What is lost after the rate is back is not the migration's."""
    near(lost_of([(6.0, 7.0), (15.0, 16.0)]).lost_s, 1.0, 1e-6, 'work lost')


def catching_up(_):
    """A paced guest makes up for it: before the rate is back, it counts."""
    points = [(at, work * (2 if 7.05 < at <= 8.05 else 1)) for at, work
              in synthetic.series(20, [(6.0, 7.0)])]
    near(worklost.work_lost(points, 0, 5, 9).lost_s, 0, 1e-6, 'work lost')


def burst(_):
    """Reports that are delayed come at the same moment: nothing is lost."""
    points = [(9.4 if 8.8 < at < 9.4 else at, work)
              for at, work in synthetic.series(20)]
    found = worklost.work_lost(points, 0, 5, 9)
    near(found.lost_s, 0, 1e-6, 'work lost')
    check(found.back, 'the rate is not back')


def error_is_said(_):
    """With noise the truth is within the error that is stated."""
    outside = 0
    for seed in range(200):
        source = random.Random(seed)
        points = [(at + source.gauss(0, 0.004),
                   max(0, work * source.gauss(1, 0.05))) for at, work
                  in synthetic.series(20, [(6.0, 7.0)])]
        found = worklost.work_lost(points, 0, 5, 9)
        check(0 < found.error_s < 0.2, f'error {found.error_s}')
        # The scatter of the reports in the interval itself comes on top.
        outside += abs(found.lost_s - 1.0) > 2 * (found.error_s + 0.02)
    check(outside <= 20, f'{outside} of 200 outside of twice the error')


def idle_or_short(_):
    equal(lost_of([], rate=0.0), None, 'work lost of an idle guest')
    equal(worklost.work_lost(synthetic.series(0.3), 0, 0.3, 0.5), None,
          'work lost of too few reports')


def ticks(silences, length=10.0, switch=5.0):
    """A tick each millisecond, but for the silences."""
    return [types.SimpleNamespace(at=i / 1000, side='src' if i / 1000 < switch
                                  else 'dst', count=1)
            for i in range(round(length * 1000))
            if not any(a < i / 1000 < b for a, b in silences)]


def downtime_of_ticks(_):
    gaps = observe.gaps(ticks([(4.99, 5.025), (2.0, 2.4), (5.05, 5.08),
                               (7.0, 7.5)]))
    equal(len(gaps), 4, 'silences')
    near(observe.downtime(gaps, 4.992, 5.02), 0.035, 0.0011, 'downtime')
    near(observe.longest(gaps, 0, 6), 0.4, 0.0011, 'longest stall until 6 s')
    near(observe.longest(gaps, 0, 9), 0.5, 0.0011, 'longest stall')
    equal(observe.downtime(gaps, None, None), None, 'without a switch')
    # The first faults stop it again, for longer, right after RESUME.
    gaps = observe.gaps(ticks([(4.99, 5.02), (5.03, 5.33)]))
    near(observe.downtime(gaps, 4.992, 5.015), 0.3, 0.0011, 'downtime')


def faults_of_trace(folder):
    os.makedirs(folder)
    name = os.path.join(folder, 'trace')
    with open(name, 'w', encoding='ascii') as file:
        file.write(
            '7@10.000000:postcopy_ram_fault_thread_request Request for '
            'HVA=0x7f0000001234 rb=pc.ram offset=0x1000 pid=9\n'
            '7@10.000100:postcopy_ram_fault_thread_request Request for '
            'HVA=0x7f0000005000 rb=pc.ram offset=0x5000 pid=9\n'
            '7@10.000200:postcopy_ram_fault_thread_request Request for '
            'HVA=0x7f0000001fff rb=pc.ram offset=0x1000 pid=8\n'
            '7@10.000300:hybrid_something else=1\n'
            '8@10.000900:postcopy_page_req_del resolved page req '
            '0x7f0000001000 total 1\n'
            '8@10.002100:postcopy_page_req_del resolved page req '
            '0x7f0000005000 total 0\n'
            '7@10.003000:postcopy_ram_fault_thread_request Request for '
            'HVA=0x7f0000009000 rb=pc.ram offs')
    number, took = observe.faults(name)
    equal(number, 4, 'faults')
    equal(took, [900, 2000], 'latencies')
    equal(observe.faults(name + '-none'), (0, []), 'of no file')


def migration_threads(_):
    """Threads that began and ended in between are known by the sum."""
    before = {'all': 10.0, 'vcpu': 4.0, 'main': 5.0,
              'threads': {'1': 5.0, '2': 4.0, '3': 1.0}}
    after = {'all': 13.0, 'vcpu': 4.5, 'main': 5.25,
             'threads': {'1': 5.25, '2': 4.5, '4': 0.25}}
    used = observe.cpu_between(before, after)
    equal(used, {'all': 3.0, 'vcpu': 0.5, 'main': 0.25, 'migration': 2.5,
                 'begun': 2.25}, 'CPU time')
    pages = 1024
    wire = pages * metrics.PAGE_BYTES / 2**20
    for technique, paging in (('hybrid-at-once', 2000), ('hybrid', None)):
        record = synthetic.cell(technique, cpu_s=4.096, begun_s=2.048,
                                wire_mib=wire)
        metrics.derive(record)
        near(record['figures']['page_cpu_us'], 4000, 0.01, 'CPU a page')
        equal(record['figures'].get('paging_us'), paging, 'paging a page')


def percentiles(_):
    values = list(range(1, 101))
    equal(cell.percentile(values, 50), 50, 'median')
    equal(cell.percentile(values, 99), 99, 'p99')
    equal(cell.percentile([7], 99), 7, 'of one')
    equal(cell.percentile([], 50), None, 'of none')
    thin = cell.thinned(range(100000), 100)
    equal((len(thin), thin[0], thin[-1]), (100, 0, 99999), 'thinned')


def disagreements(_):
    figures = {'downtime_ms': 31.0, 'total_s': 5.0, 'wire_mib': 500.0,
               'lost_s': 0.5}
    qemu = {'downtime_ms': 30.0, 'total_ms': 4990.0, 'bytes': 500e6,
            'degradation': 9.0}
    equal(cross.disagreements(figures, qemu), [], 'disagreements')
    for change, name in (({'downtime_ms': 1030.0}, 'downtime'),
                         ({'downtime_ms': 8.0}, 'downtime'),
                         ({'total_s': 6.0}, 'total'),
                         ({'wire_mib': 900.0}, 'bytes'),
                         ({'wire_mib': 400.0}, 'bytes'),
                         ({'lost_s': 1.5}, 'net work lost')):
        found = cross.disagreements({**figures, **change}, qemu)
        equal([text.split(':')[0] for text in found], [name],
              f'disagreements of {change}')
    equal(cross.disagreements({}, {}), [], 'of nothing')
    raw = {'others': 0.05, 'lost_error_s': 0.1}
    equal(cross.doubts(figures, raw), [], 'doubts')
    equal(len(cross.doubts(figures, {**raw, 'lost_error_s': 0.7})), 1,
          'doubts when the rate before was not steady')
    equal(len(cross.doubts(figures, {**raw, 'others': 0.5})), 1,
          'doubts on a busy host')
    for change, doubted in ((None, 0), (1.0, 0), (0.9, 0), (0.55, 1),
                            (1.6, 1)):
        equal(len(cross.doubts(figures, {**raw, 'speed_change': change})),
              doubted, f'doubts when the speed changes to {change}')


def host_speed(_):
    """Of the host before the start and after the end; not in between."""
    pieces = [(at / 10, 0.001) for at in range(20)]
    pieces += [(at / 10, 0.009) for at in range(20, 40)]
    after = [(at / 10, 0.002) for at in range(40, 45)]
    equal(speed.change(pieces + after[:-1], 2.0, 4.0), None, 'too few')
    near(speed.change(pieces + after, 2.0, 4.0), 0.5, 1e-9, 'change')
    with speed.SpeedProbe() as probe:
        deadline = time.monotonic() + 30
        while len(probe.pieces()) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    pieces = probe.pieces()
    check(len(pieces) >= 3, f'{len(pieces)} pieces of work in 30 s')
    check(all(took > 0 for _, took in pieces), f'no time: {pieces}')


def link_refused(_):
    link = links.BY_NAME['1gbit']
    links.judge(link, 0.957e9, 0.1)
    links.judge(links.BY_NAME['wan'], 0.19e9, 40.4)
    links.judge(links.BY_NAME['unlimited'], 3e9, 0.1)
    for spec, bits, rtt in ((link, 0.7e9, 0.1), (link, 2e9, 0.1),
                            (link, 0.957e9, 9.0),
                            (links.BY_NAME['wan'], 0.19e9, 0.3)):
        try:
            links.judge(spec, bits, rtt)
        except links.LinkError:
            continue
        check(False, f'{bits / 1e6} Mbit/s, {rtt} ms pass for {spec.name}')
    try:
        links.check_machine(10**9, 0)
    except links.LinkError:
        return
    check(False, 'a petabyte fits this machine')


def interleaved(_):
    cells = matrix.cells('all', ['precopy/idle-*/1gbit',
                                 'hybrid/idle-*/1gbit'], 2)
    equal([c.key for c in cells], [
        f'{t}/{w}/1gbit/{r}' for r in range(2)
        for w in ('idle-free', 'idle-full') for t in ('precopy', 'hybrid')],
          'order')
    try:
        matrix.cells('all', ['hybird'], 1)
    except matrix.MatrixError:
        return
    check(False, 'a pattern that matches nothing passes')


def plans(_):
    """What is for guests that change few bytes of a page has its own plan."""
    names = {plan: {cell.key[:-2] for cell in matrix.cells(plan)}
             for plan in matrix.PLANS}
    for plan in matrix.PLANS:
        check(names[plan] <= names['all'], f'{plan} has more than all')
    for name, plan, there in (
            ('hybrid-no-deltas/small/1gbit', 'standard', True),
            ('hybrid/write-8/1gbit', 'standard', False),
            ('hybrid/write-8/1gbit', 'deltas', True),
            ('hybrid-no-deltas/idle-full/1gbit', 'standard', False),
            ('hybrid/small-uniform-paced/wan', 'deltas', True),
            ('hybrid-handoff-now/uniform-near/wan', 'deltas', True),
            ('hybrid-handoff-now/uniform-near/wan', 'standard', False),
            ('hybrid/uniform-near/1gbit', 'standard', False),
            ('hybrid-handoff-now/zipf/1gbit', 'standard', False),
            ('hybrid/two-vcpus-random/1gbit', 'standard', True)):
        equal(name in names[plan], there, f'{name} in {plan}')


def declared(_):
    """All techniques have the same bandwidth and downtime limit."""
    for technique in techniques.TECHNIQUES:
        check(technique.driver in drivers.DRIVERS, technique.name)
        parameters = technique.all_parameters()
        for name, value in techniques.COMMON_PARAMETERS.items():
            equal(parameters[name], value, f'{technique.name}: {name}')
        hybrid = 'hybrid' in technique.all_src_caps()
        equal(technique.build, 'qemu' if hybrid else 'qemu-base',
              f'{technique.name}: build')
    for mem, size in ((640, 1024), (512, 512)):
        equal(techniques.BY_NAME['precopy-xbzrle'].all_parameters(mem)[
            'xbzrle-cache-size'], size * 2**20, f'cache for {mem} MiB')
    names = [technique.name for technique in techniques.TECHNIQUES]
    equal(len(set(names)), len(names), 'different names')


def resumed(folder):
    """A torn last line is cut off, and what is there stays."""
    path = synthetic.write(folder, [synthetic.cell('precopy')],
                           b'{"kind":"cell","key":"po')
    try:
        store.Writer(path, synthetic.HEADER)
        check(False, 'results are overwritten')
    except store.StoreError:
        pass
    writer = store.Writer(path, synthetic.HEADER, resume=True)
    check(writer.results.torn, 'the torn line is not noticed')
    writer.write(synthetic.cell('postcopy'))
    writer.close()
    results = store.load(path)
    equal([c['key'] for c in results.cells],
          ['precopy/sequential/1gbit/0', 'postcopy/sequential/1gbit/0'],
          'cells')
    equal(results.torn, None, 'torn')
    other = {**synthetic.HEADER,
             'versions': {'qemu': {'version': '10.0.1', 'sha256': 'def'}}}
    try:
        store.Writer(path, other, resume=True)
    except store.StoreError:
        return
    check(False, 'results of another build are added')


CASES = {f'figures: {case.__name__}': case for case in (
    nothing_lost, one_second, several, half_speed, lost_before_start,
    never_back, late_dip, catching_up, burst, error_is_said, idle_or_short,
    downtime_of_ticks, faults_of_trace, migration_threads, percentiles,
    disagreements, host_speed, link_refused, interleaved, plans,
    declared, resumed)}
