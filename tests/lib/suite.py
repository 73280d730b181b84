"""Runs a group's cases and prints TAP.

A group gives its table of cases and what holds for all of them; names, order,
processes, time, skips and what is printed of a failure are here. A case is a
function that takes the folder for its logs. It fails by an exception, and is
skipped by Skip; what it returns is told behind its name.

By default the table is the sum of CASES in the modules cases_*.py of the group's
folder. Beside it a module may have
    LONG        names of those that run with HYBRID_FULL=1 only, or by name
    why_not()   says what this machine lacks for its cases, or None

SPDX-License-Identifier: GPL-2.0-or-later
"""
import argparse
import contextlib
import functools
import glob
import importlib
import os
import sys
import time

import beside
import tap
from checks import Skip
from hybridmig import paths


class Case:
    """A row of the table."""
    def __init__(self, name, function, long=False, why_not=None):
        self.name = name
        self.function = function
        self.long = long
        self.why_not = why_not or (lambda: None)


def found_beside(runner):
    """The cases of the modules beside that file."""
    cases = {}
    for path in sorted(glob.glob(os.path.join(os.path.dirname(runner),
                                              'cases_*.py'))):
        module = importlib.import_module(os.path.basename(path)[:-3])
        long = set(getattr(module, 'LONG', ()))
        stale = long - set(module.CASES)
        twice = set(cases) & set(module.CASES)
        if stale or twice:
            raise ValueError(f'{path}: {sorted(stale)} in LONG are no cases, '
                             f'{sorted(twice)} are cases of another module')
        why_not = getattr(module, 'why_not', None)
        cases.update((name, Case(name, function, name in long, why_not))
                     for name, function in module.CASES.items())
    return cases


class Suite:
    """A group; what differs from this one's methods it says itself."""
    name = None
    #: So many at a time; those that were asked for by name run in turn.
    jobs = 1
    #: Each in a process of its own. Not if one leaves to the next what it made.
    apart = True

    def __init__(self, runner):
        self.runner = runner
        self.logs = os.path.join(paths.BUILD, 'test-logs', self.name)

    # What a group may say.

    def cases(self):
        """By their names."""
        return found_beside(self.runner)

    def options(self, parser):
        """More of them."""

    def chosen(self, cases, _args):
        """Names of those that run if none was asked for."""
        full = os.environ.get('HYBRID_FULL') == '1'
        return [name for name, case in cases.items() if full or not case.long]

    def holds(self, _name):
        """What the case must have for itself (beside.py)."""
        return set()

    def why_not(self):
        """What this machine lacks for any of them, or None."""

    @contextlib.contextmanager
    def session(self, _args):
        """Around all of them; may tell more results."""
        yield

    def ended(self, said):
        """said: what each case returned that was right."""

    # The run.

    def _arguments(self):
        parser = argparse.ArgumentParser(prog=f'tests/{self.name}/run')
        parser.add_argument('--only', action='append', metavar='NAME',
                            help='a case, or all whose names hold this; '
                            'repeatable')
        parser.add_argument('--repeat', type=int, default=1)
        parser.add_argument('--list', action='store_true')
        if self.apart:
            parser.add_argument('--jobs', type=int, metavar='N', help='so many '
                                f'at a time (default: {self.jobs}, with '
                                '--only 1)')
        self.options(parser)
        return parser, parser.parse_args()

    @staticmethod
    def _named(texts, names, parser):
        """A case of that name, or else all whose names hold the text."""
        wanted = set()
        for text in texts:
            found = {text} & set(names) or {n for n in names if text in n}
            if not found:
                parser.error(f'no such case: {text}')
            wanted |= found
        return [name for name in names if name in wanted]

    def _run_one(self, case):
        """Returns what there is to tell, or None if it was not right."""
        label = f'{self.name}: {case.name}'
        logs = os.path.join(self.logs,
                            case.name.replace('/', '_').replace(' ', '_'))
        begin = time.monotonic()
        try:
            reason = case.why_not()
            if reason:
                raise Skip(reason)
            said = case.function(logs) or ''
        except Skip as exc:
            tap.skip(label, exc)
            return None
        except Exception as exc:
            tap.not_ok(label)
            tap.note(tap.told(exc))
            if os.path.isdir(logs):
                tap.note(f'logs: {os.path.relpath(logs, paths.ROOT)}')
            return None
        tap.ok(f'{label}: {said}' if said else label,
               f'{time.monotonic() - begin:.1f} s')
        return said

    def _run_all(self, cases, jobs):
        if self.apart:
            said = beside.run(
                [(f'{self.name}: {case.name}',
                  functools.partial(self._run_one, case),
                  self.holds(case.name)) for case in cases], jobs)
            return {label.split(': ', 1)[1]: text for label, text in said}
        return {case.name: self._run_one(case) for case in cases}

    def main(self):
        """Returns the exit status: whether one was not ok."""
        parser, args = self._arguments()
        cases = self.cases()
        names = self._named(args.only, list(cases), parser) if args.only \
            else self.chosen(cases, args)
        if args.list:
            print('\n'.join(names if args.only else cases))
            return 0
        reason = self.why_not()
        if reason:
            tap.skip(self.name, reason)
            return 0
        jobs = (getattr(args, 'jobs', None) or
                (1 if args.only else self.jobs))
        said = {}
        with self.session(args):
            for _ in range(args.repeat):
                said.update(self._run_all([cases[name] for name in names],
                                          jobs))
        self.ended({name: text for name, text in said.items()
                    if text is not None})
        return int(tap.failures > 0)


def run(suite):
    """The program: what is missing is said as a failure of the group."""
    try:
        sys.exit(suite.main())
    except (paths.SetupError, RuntimeError, OSError) as exc:
        tap.not_ok(suite.name, ' '.join(str(exc).split()))
        sys.exit(1)
