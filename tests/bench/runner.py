"""The bench says so when something is wrong; cases_*.py has the cases.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import os
import tempfile

import suite
from hybridmig import paths


class Bench(suite.Suite):
    name = 'bench'

    @staticmethod
    def _in_folder(function):
        """These write results, not logs: into a folder that goes."""
        def run(_logs):
            with tempfile.TemporaryDirectory(prefix='hm-bench-test-') as temp:
                function(os.path.join(temp, 'out'))
        return run

    def cases(self):
        cases = super().cases()
        for case in cases.values():
            case.function = self._in_folder(case.function)
        return cases

    @contextlib.contextmanager
    def session(self, _args):
        with contextlib.suppress(paths.SetupError):     # the cases say so
            paths.use_qemu_python()
        yield


if __name__ == '__main__':
    suite.run(Bench(__file__))
