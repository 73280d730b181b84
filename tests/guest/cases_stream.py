"""With hybrid off, the stream is upstream's, byte for byte, but for where time
cuts it into sections.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import os
import re

from common import IDLE, PAGES, PATCHED, UNPATCHED, check, equal
from hybridmig import paths
from hybridmig.guest import GuestConfig
from hybridmig.pair import Pair
from hybridmig.runs import Run


#: The end of a section of RAM and the begin of the next. QEMU ends one when it
#: has taken 50 ms, so on a busy host there are more of them.
BORDER = re.compile(rb'\0\0\0\0\0\0\0\x10\x7e(....)\x02\1', re.DOTALL)


def _capture(run, build, name, capabilities):
    """The stream of a guest that has never run, as a file."""
    config = GuestConfig(mem=160, pages=PAGES, workload=IDLE)
    # Nothing in the state may depend on when the test runs.
    pair = Pair(run, paths.built(build), config=config, rate=None,
                src_extra=['-S', '-rtc', 'base=2020-01-01T00:00:00,clock=vm'])
    pair.src.start()
    path = os.path.join(run.folder, name)
    pair.src.set_capabilities({'events': True, **capabilities})
    pair.src.qmp('migrate', {'uri': f'file:{path}'})
    end = pair.log.wait(
        lambda: pair.log.find('src', 'MIGRATION', status='completed') or
        pair.log.find('src', 'MIGRATION', status='failed'), 60)
    equal(end and end.data['status'], 'completed', f'{name} ended as')
    pair.src.stop()
    with open(path, 'rb') as stream:
        return BORDER.sub(b'', stream.read())


def stream_unchanged(logs):
    with Run(logs=logs) as run, contextlib.ExitStack() as stack:
        stack.callback(run.keep)        # unless all is right
        first = _capture(run, UNPATCHED, 'upstream-1', {})
        second = _capture(run, UNPATCHED, 'upstream-2', {})
        check(len(first) > 1 << 19, f'a stream of only {len(first)} bytes')
        check(first == second, 'two captures of upstream differ')
        patched = _capture(run, PATCHED, 'patched', {})
        check(patched == first, 'the stream of the patched QEMU differs')
        inactive = _capture(run, PATCHED, 'inactive', {'hybrid': True})
        check(inactive == first, 'the stream differs when hybrid is inactive')
        stack.pop_all()


CASES = {'stream-unchanged': stream_unchanged}
