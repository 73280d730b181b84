"""Results made by hand: what the bench would have written of such cells.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import copy
import json
import os

from hybridmig.bench import store

PERIOD = 0.1
RATE = 1000.0       # units of work per second
HEADER = {
    'began': '2026-01-01T00:00:00+0000', 'project': 'test',
    'host': {'cpu': 'test CPU', 'cpus': 2, 'memory_gib': 4,
             'kernel': '1.2.3', 'system': 'test'},
    'versions': {'qemu': {'version': '10.0.0', 'sha256': 'abc'}},
    'settings': {'scale': 1.0, 'accel': 'tcg', 'machine': 'pc',
                 'fault_trace': True}}


def series(length, lost=(), start=0.0, rate=RATE, period=PERIOD):
    """Reports each period; in the intervals of @lost no work is done."""
    points, number = [], round(length / period)
    for i in range(number + 1):
        at = start + i * period
        stood = sum(max(0.0, min(at, to) - max(at - period, since))
                    for since, to in lost)
        points.append((round(at, 6), rate * (period - stood)))
    return points


def cell(technique='hybrid', workload='sequential', link='1gbit', repeat=0,
         status='ok', reason=None, **figures):
    """A record; figures that are not given are ordinary ones."""
    values = {'downtime_ms': 30.0, 'stall_ms': 40.0, 'total_s': 5.0,
              'wire_mib': 500.0, 'back_mib': 1.0, 'short_s': 0.5, 'lost_s': 0.5,
              'cpu_s': 3.0, 'faults': 100, 'fault_p50_us': 900,
              'fault_p99_us': 3000, **figures}
    return {
        'kind': 'cell', 'key': f'{technique}/{workload}/{link}/{repeat}',
        'technique': technique, 'workload': workload, 'link': link,
        'repeat': repeat, 'status': status, 'reason': reason,
        'figures': values if status != 'failed' else {},
        'qemu': {'by': 'hybrid', 'preparation_ms': 4000.0,
                 'downtime_ms': 29.0, 'resume_ms': 900.0,
                 'total_ms': 4990.0, 'pages': 128000, 'bytes': 520000000,
                 'degradation': 9.0},
        'flags': [], 'notes': {},
        'audit': {'side': 'dst', 'pages': 1000, 'wrong': 0,
                  'text': '1000 pages checked, 0 wrong', 'faults': []},
        'raw': {'done': [[round(at - 2, 4), work] for at, work
                         in series(10, [(5.9, 6.4)])],
                'sides': [['src', None], ['dst', 4.0]],
                'gaps': [[3.98, 4.01, 'src', 'dst']], 'window': -2.0,
                'times': {'stop': 3.98, 'resume': 4.01, 'end': 5.0},
                'back': 5.0, 'rate': RATE, 'lost_error_s': 0.01,
                'phases': [], 'rounds': [], 'fault_us': [], 'others': 0.05},
        'settings': {}, 'took_s': 9.5}


def corrupt_page(record):
    """As cell.py writes it when the audit found a wrong page."""
    record = copy.deepcopy(record)
    text = '1000 pages checked, 1 wrong (first: 4711)'
    record.update(status='WRONG', reason=f'memory: {text}')
    record['audit'].update(wrong=1, text=text)
    return record


def write(folder, cells, tail=b'', name=store.NAME, header=None):
    """A file of results; @tail is added as it is. Returns its name."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    entries = [{'kind': 'header', 'format': store.FORMAT,
                **(header or HEADER)}] + list(cells)
    with open(path, 'wb') as file:
        for entry in entries:
            file.write(json.dumps(entry).encode() + b'\n')
        file.write(tail)
    return path
