"""docs/results.md and its pictures, from results: no figure by hand.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os

from .. import paths
from . import overview, report, stats, tables

INTRO = '''# Results

This page is written by `scripts/bench --docs` from the results of a run; [the
bench](benchmark.md) says how each figure is measured.

## What this machine is, and what that shows

{machine}

{meaning}
'''
TCG = '''Guests run on an emulated CPU (TCG). Source, destination and link share
the host's CPUs, so at high link rates a technique that needs more CPU time also
slows the guest. What does show: how the techniques compare with each other on
the same guest and link, bytes, pages, faults, who converges, and whether
memory is right. What does not: absolute times of a production host, of
hardware page tables, or of a network card. Run the bench there
([how](benchmark.md#on-real-hardware-with-kvm)).'''
OTHER = '''Guests run with accelerator {accel}. Source, destination and link share
the host's CPUs.'''


def _escape(text):
    return text.replace('|', '\\|')


def markdown(table):
    lines = ['| ' + ' | '.join(map(_escape, table.head)) + ' |',
             '|' + '---|' * len(table.head)]
    lines += ['| ' + ' | '.join(map(_escape, row)) + ' |'
              for row in table.rows]
    return '\n'.join(lines)


def _bullets(lines):
    return '\n'.join(f'* {line}' for line in lines)


def text(results, found, drawn, folder):
    """The page. @folder: of the pictures, relative to the page."""
    accel = results.header['settings']['accel']
    meaning = TCG if accel == 'tcg' else OTHER.format(accel=accel)
    summed = ', '.join(f'{number} {status}'
                       for status, number in tables.counts(results))
    parts = [INTRO.format(machine=_bullets(report.machine_lines(results)),
                          meaning=meaning),
             f'{len(results.cells)} cells: {summed}. '
             f'{tables.audits(results)}.\n']
    bad = report.warnings(results)
    if bad:
        parts.append('Not as it should be:\n\n' + _bullets(bad) + '\n')
    for link in overview.links_of(found):
        if link in drawn:
            title = f'All techniques and workloads, link {link}'
            parts.append(f'## {title}\n\n![{title}]({folder}/'
                         f'{os.path.basename(drawn[link])})\n')
    for key, group in found.items():
        title = report.group_title(key)
        parts.append(f'## {title}\n')
        if key in drawn:
            parts.append(f'![{title}]({folder}/'
                         f'{os.path.basename(drawn[key])})\n')
        parts.append('From outside, median (least to most):\n\n' +
                     markdown(tables.outside(group)) + '\n')
        parts.append('As QEMU reports:\n\n' +
                     markdown(tables.inside(group)) + '\n')
    return '\n'.join(parts)


def write(results, docs=None):
    """Write the page below @docs; returns its name."""
    docs = docs or os.path.join(paths.ROOT, 'docs')
    found = stats.groups(results.cells)
    drawn = report.draw_all(found, os.path.join(docs, 'results'))
    name = os.path.join(docs, 'results.md')
    with open(name, 'w', encoding='utf-8') as file:
        file.write(text(results, found, drawn, 'results'))
    return name
