"""Noise and real changes between two results.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os

import synthetic
from cases_report import call
from checks import check, equal, has


def compared(folder, before, after):
    names = [synthetic.write(folder, cells, name=f'{name}.jsonl')
             for name, cells in (('a', before), ('b', after))]
    return call('--compare', *names)


def repeated(values, key='short_s', **how):
    return [synthetic.cell(repeat=n, **{key: value}, **how)
            for n, value in enumerate(values)]


def same(folder):
    cells = repeated([0.5, 0.52, 0.49])
    status, text = compared(folder, cells, cells)
    equal(status, 0, 'exit status')
    has(text, 'no change beyond noise')


def noise(folder):
    """Medians 20 % apart, but the ranges overlap."""
    status, text = compared(folder, repeated([0.5, 0.62, 0.45]),
                            repeated([0.6, 0.7, 0.55]))
    equal(status, 0, 'exit status')
    has(text, 'no change beyond noise')


def small(folder):
    """Ranges do not overlap, but it is 4 %."""
    status, _ = compared(folder, repeated([5.0, 5.01, 5.02], 'total_s'),
                         repeated([5.2, 5.21, 5.22], 'total_s'))
    equal(status, 0, 'exit status')


def below_floor(folder):
    """A hundredth of a second of work is nothing, however many percent."""
    status, _ = compared(folder, repeated([0.01, 0.011, 0.012]),
                         repeated([0.02, 0.021, 0.022]))
    equal(status, 0, 'exit status')


def worse(folder):
    status, text = compared(folder, repeated([0.5, 0.52, 0.49]),
                            repeated([0.7, 0.72, 0.69]))
    equal(status, 1, 'exit status')
    has(text, 'WORSE  hybrid/sequential/1gbit: work lost s 0.50 [0.49 to '
              '0.52] -> 0.70 [0.69 to 0.72]')


def better(folder):
    status, text = compared(folder, repeated([0.7, 0.72, 0.69]),
                            repeated([0.5, 0.52, 0.49]))
    equal(status, 3, 'exit status')
    has(text, 'better hybrid/sequential/1gbit: work lost s')


def few(folder):
    """One run each proves nothing; it says so."""
    status, text = compared(folder, repeated([0.5]), repeated([0.9]))
    equal(status, 0, 'exit status')
    has(text, 'not judged, fewer than 3 repetitions:')
    has(text, 'work lost s 0.50')


def went_wrong(folder):
    before = repeated([0.5, 0.5, 0.5])
    after = before[:2] + [synthetic.corrupt_page(before[2])]
    status, text = compared(folder, before, after)
    equal(status, 1, 'exit status')
    has(text, 'WORSE  hybrid/sequential/1gbit: status ok -> '
              'WRONG 1 of 3, ok 2 of 3')


def no_longer_converges(folder):
    status, text = compared(
        folder, repeated([0.5] * 3, technique='precopy'),
        repeated([9.0] * 3, technique='precopy', status='does not converge'))
    equal(status, 1, 'exit status')
    has(text, 'status ok -> does not converge')
    check('work lost' not in text, 'figures of different things compared')


def nothing_common(folder):
    status, text = compared(folder, [synthetic.cell('precopy')],
                            [synthetic.cell('postcopy')])
    equal(status, 4, 'exit status')
    has(text, 'postcopy/sequential/1gbit: only in the second')


def unreadable(folder):
    os.makedirs(folder)
    status, _ = call('--compare', folder, folder)
    equal(status, 1, 'exit status')


CASES = {f'compare: {case.__name__}': case for case in (
    same, noise, small, below_floor, worse, better, few, went_wrong,
    no_longer_converges, nothing_common, unreadable)}
