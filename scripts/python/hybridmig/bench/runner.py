"""Runs a matrix: checks first, then cell by cell, each written at once.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import dataclasses
import os
import sys
import time

from .. import paths
from ..net import Link
from ..runs import Run
from . import (builds, floor, host, links, matrix, metrics, sampling, store,
               warm)
from .cell import Cell, CellRun, unavailable
from .techniques import BY_NAME as TECHNIQUES
from .workloads import BY_NAME as WORKLOADS

#: Beyond the two guests of a cell.
WARM_SPARE_MIB = 512


def ask_builds(binaries):
    """name -> Build, for the binaries given."""
    with Run() as run:
        return {name: builds.Build(run, binary)
                for name, binary in binaries.items()}


def _memory(cells, scale, warm_only=False):
    return max((WORKLOADS[c.workload].config(links.BY_NAME[c.link], scale).mem
                for c in cells
                if links.BY_NAME[c.link].warm or not warm_only), default=0)


class Runner:
    """One call of the program."""
    def __init__(self, cells, settings, binaries, out, resume=False,
                 bad_links='refuse', say=print):
        self.cells = cells
        self.settings = settings
        self.binaries = binaries
        self.path = os.path.join(out, store.NAME)
        self.resume = resume
        self.bad_links = bad_links
        self.say = say
        self.writer = None
        self.builds = {}

    def _header(self):
        # Where logs are is no property of the results.
        values = dataclasses.asdict(self.settings)
        values.pop('logs')
        return {'began': time.strftime('%Y-%m-%dT%H:%M:%S%z'),
                'project': host.project(), 'host': host.machine(),
                'versions': host.versions(self.builds), 'settings': values}

    def run(self):
        """Returns the results of the file."""
        self.builds = ask_builds(self.binaries)
        self.writer = store.Writer(self.path, self._header(), self.resume)
        try:
            if self.writer.results.torn is not None:
                self.say('the last line of the results was torn, it is cut '
                         'off')
            done = self.writer.results.keys()
            todo = [cell for cell in self.cells if cell.key not in done]
            if len(todo) < len(self.cells):
                self.say(f'{len(self.cells) - len(todo)} of '
                         f'{len(self.cells)} cells are done already')
            todo = self._check(todo)
            with Run() as run:
                self._warm(run, todo)
                self._floors(todo)
                self._sampling(todo)
                self._all(todo)
        finally:
            self.writer.close()
        return self.writer.results

    def _check(self, todo):
        """The machine and each link; returns the cells that can be run."""
        if not todo:
            return todo
        scale = self.settings.scale
        links.check_machine(_memory(todo, scale), self._warm_mib(todo))
        refused = set()
        for name in dict.fromkeys(cell.link for cell in todo):
            spec = links.BY_NAME[name]
            try:
                with Run() as run:
                    found = links.check(run, spec, Link)
                self.say(f'link {name} ({spec.text()}): '
                         f'{found["mbit_s"]:.0f} Mbit/s, round trip '
                         f'{found["round_trip_ms"]:.2f} ms')
            except links.LinkError as exc:
                if self.bad_links == 'refuse':
                    raise
                found = {'fault': str(exc)}
                if self.bad_links == 'skip':
                    refused.add(name)
                self.say(f'{exc}; '
                         f'{"left out" if name in refused else "run anyway"}')
            self.writer.write({'kind': 'link', 'link': name,
                               'shape': spec.text(),
                               'used': name not in refused, **found})
        return [cell for cell in todo if cell.link not in refused]

    def _warm_mib(self, todo):
        mem = _memory(todo, self.settings.scale, warm_only=True)
        return 2 * mem + WARM_SPARE_MIB if mem else 0

    def _warm(self, run, todo):
        mib = self._warm_mib(todo)
        if mib:
            self.say(f'touch {mib} MiB of memory, so that it is warm')
            warm.start(run, mib)

    def _floors(self, todo):
        """What a page costs without QEMU, where CPU time is what limits."""
        for name in dict.fromkeys(cell.link for cell in todo):
            spec = links.BY_NAME[name]
            if not spec.warm:
                continue
            with Run() as run:
                found = floor.measure(Link(run, **spec.arguments()))
            self.say(f'link {name}: to carry and place a page takes '
                     f'{found["page_cpu_us"]:.2f} us of CPU time without QEMU')
            self.writer.write({'kind': 'floor', 'link': name, **found})

    def _sampling(self, todo):
        """The page bitmap's cost, if what it is worth is to be seen."""
        if not any(cell.technique == 'hybrid-no-bitmap' for cell in todo):
            return
        for workload in sampling.WORKLOADS:
            if workload in self.writer.results.sampling:
                continue
            with Run() as run:
                entry = sampling.measure(
                    run, self.binaries['qemu'], workload, self.settings.accel,
                    self.settings.machine)
            self.say(sampling.text(entry))
            self.writer.write({'kind': 'sampling', **entry})

    def _all(self, todo):
        clock = matrix.Clock(self.settings.scale)
        for record in self.writer.results.cells:
            if record['status'] != metrics.UNAVAILABLE:
                clock.add(_cell_of(record), record['took_s'])
        missing = {}
        for cell in todo:
            technique = TECHNIQUES[cell.technique]
            if technique.name not in missing:
                missing[technique.name] = \
                    self.builds[technique.build].why_not(technique)
        usable = [c for c in todo if not missing[c.technique]]
        self.say(f'{len(todo)} cells, about '
                 f'{matrix.duration(clock.left(usable))}')
        for number, cell in enumerate(todo, 1):
            reason = missing[cell.technique]
            if reason:
                record = unavailable(cell, reason)
            else:
                record = CellRun(cell, self.settings, self.binaries).run()
                clock.add(cell, record['took_s'])
                usable.remove(cell)
            self.writer.write({'kind': 'cell', **record})
            self.say(f'[{number}/{len(todo)}] {cell.key}: '
                     f'{short(record)}; '
                     f'{matrix.duration(clock.left(usable))} left')


def _cell_of(record):
    return Cell(record['technique'], record['workload'], record['link'],
                record['repeat'])


def short(record):
    """What a cell found, in one line."""
    parts = [record['status']]
    if record['reason']:
        parts.append(f'({record["reason"]})')
    figures = record['figures']
    shown = [f'{title} {figures[key]:.{digits}f} {unit}'
             for key, title, digits, unit in (
                 ('downtime_ms', 'downtime', 0, 'ms'),
                 ('total_s', 'total', 2, 's'),
                 ('wire_mib', 'wire', 0, 'MiB'),
                 ('short_s', 'work lost', 2, 's'))
             if figures.get(key) is not None]
    return ' '.join(parts) + (': ' + ', '.join(shown) if shown else '')


def default_binaries():
    return {name: paths.built(name) for name in ('qemu-base', 'qemu')}


def say(text):
    sys.stdout.write(text + '\n')
    sys.stdout.flush()
