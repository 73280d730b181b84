"""The migrations of a Linux guest; cases_*.py has them.

Two at a time where they do not measure (alone.py).

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import os
import subprocess

import alone
import replay
import suite
from hybridmig import paths


class Guest(suite.Suite):
    name = 'guest'
    #: Mostly a case waits; continuous integration's machine has two cores.
    jobs = 2

    def cases(self):
        cases = super().cases()
        stale = alone.unknown(cases)
        if stale:
            raise ValueError(f'alone.py names no case: {", ".join(stale)}')
        return cases

    def holds(self, name):
        return alone.holds(name)

    def why_not(self):
        if os.geteuid() != 0:
            return 'needs root for network namespaces'
        name = f'hm-probe-{os.getpid()}'
        probe = subprocess.run(['ip', 'netns', 'add', name], check=False,
                               capture_output=True, text=True)
        if probe.returncode:
            return f'no network namespaces: {probe.stderr.strip()}'
        subprocess.run(['ip', 'netns', 'del', name], check=False)
        return None

    @contextlib.contextmanager
    def session(self, args):
        paths.use_qemu_python()
        replay.begin()
        yield
        replay.handoff()
        if not args.only:
            replay.rounds()


if __name__ == '__main__':
    suite.run(Guest(__file__))
