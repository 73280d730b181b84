"""Many migrations of the bare guest with faults in between: tests/guest/soak.py.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import functools
import os
import time

import suite
from cases_kvm import LOGS
from hybridmig import paths
from soak import soak

#: Kind of dirty log, vCPUs
PARTS = (('tcg', 1), ('tcg', 2), ('kvm', 1), ('kvm-ring', 2))
FULL = os.environ.get('HYBRID_FULL') == '1'


class Soak(suite.Suite):
    name = 'soak'
    args = None

    def options(self, parser):
        parser.add_argument('--count', type=int, default=250 if FULL else 12,
                            help='migrations in each part; one takes a second '
                            'or two')
        parser.add_argument('--seed', type=int,
                            default=int(time.time()) if FULL else 1)

    def cases(self):
        return {f'{log}, {smp} vCPU': suite.Case(
            f'{log}, {smp} vCPU', functools.partial(self._part, log, smp),
            why_not=LOGS[log].why_not) for log, smp in PARTS}

    def why_not(self):
        return None if os.geteuid() == 0 else \
            'needs root for network namespaces'

    @contextlib.contextmanager
    def session(self, args):
        paths.use_qemu_python()
        self.args = args
        yield

    def _part(self, log, smp, logs):
        args = self.args
        counts = soak(logs, args.count, args.seed, log, smp)
        return f'{args.count} migrations, seed {args.seed}: ' + ', '.join(
            f'{number} {what}' for what, number in sorted(counts.items()))


if __name__ == '__main__':
    suite.run(Soak(__file__))
