"""How fast the host computes while a cell runs.

The CPUs of a virtual machine, or of a busy or a hot host, change their speed,
by half and for many seconds, and nothing in /proc says so. A guest that works
as fast as it can then does less, which looks like work lost. So a thread does
the same small piece of work ten times a second and takes the CPU time (not the
time) that it needed. It takes some 0.2 % of one CPU.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import hashlib
import statistics
import threading
import time

PERIOD_S = 0.1
PIECE = bytes(128 * 1024)
#: Pieces that say what the speed was; with less nothing is said.
LEAST_PIECES = 5


def _piece():
    """Seconds of CPU time."""
    begin = time.thread_time()
    hashlib.sha256(PIECE).digest()
    return time.thread_time() - begin


class SpeedProbe:
    """Measures while it is entered."""
    def __init__(self):
        self._ended = threading.Event()
        self._pieces = []       # (when, seconds of CPU time)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self._ended.wait(PERIOD_S):
            took = _piece()
            self._pieces.append((time.monotonic(), took))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()

    def pieces(self):
        return list(self._pieces)


def change(pieces, start, end):
    """Speed after @end as a part of that before @start, or None."""
    before = [took for at, took in pieces if at < start]
    after = [took for at, took in pieces if at >= end]
    if min(len(before), len(after)) < LEAST_PIECES:
        return None
    return statistics.median(before) / statistics.median(after)
