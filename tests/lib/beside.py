"""Cases in processes of their own, several at a time, told in their order.

A process of its own is what makes it safe: whatever a case registers, changes
or leaves is its process's, and Run's token names that process.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import ctypes
import json
import os
import signal
import sys
import tempfile
import time

import tap

PR_SET_PDEATHSIG = 1


class Job:
    """A case that has been started, or will be."""
    def __init__(self, name, function, holds):
        self.name = name
        self.holds = holds
        self.status = None
        self.said = None            # what the function returned
        self._function = function
        self._pid = None
        self._output = self._result = None

    def start(self):
        self._output = tempfile.TemporaryFile()     # closed in tell()
        self._result = tempfile.TemporaryFile()
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            self._run(parent)

    def _run(self, parent):
        """In the process of its own; ends like the program, by sys.exit()."""
        status = 1
        try:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            os.dup2(self._output.fileno(), 1)
            if os.getppid() == parent:
                tap.failures = 0
                said = self._function()
                self._result.write(json.dumps([said, tap.failures]).encode())
                self._result.flush()
                status = 0
        except SystemExit as exc:
            status = exc.code if isinstance(exc.code, int) else 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def ended(self):
        if self.status is None and self._pid:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def tell(self):
        with self._output, self._result:
            self._output.seek(0)
            print(self._output.read().decode(errors='replace'), end='',
                  flush=True)
            self._result.seek(0)
            if self.status == 0:
                self.said, failures = json.load(self._result)
                tap.failures += failures
        if self.status:
            tap.not_ok(f'{self.name}: its process ended with status '
                       f'{self.status}')

    def stop(self):
        if self._pid and self.status is None:
            os.kill(self._pid, signal.SIGTERM)
            self.status = os.waitstatus_to_exitcode(
                os.waitpid(self._pid, 0)[1])


def _may_start(job, running):
    """What it holds nobody else has; who holds ALL is alone."""
    held = {thing for other in running for thing in other.holds}
    return not running or not (ALL in job.holds or ALL in held or
                               held & set(job.holds))


#: Held by who has to be alone.
ALL = 'all'


def run(cases, width):
    """
    cases: (name, function, what it holds); width: so many at a time. Those
    that are alone come last, the others would wait for them. Returns what each
    function did, (name, value) in the order in which they were told.
    """
    jobs = [Job(*case) for case in cases]
    if width > 1:
        jobs.sort(key=lambda job: ALL in job.holds)     # stable
    waiting, running, untold = list(jobs), [], list(jobs)
    said = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        while untold:
            for job in list(waiting):
                if len(running) < width and _may_start(job, running):
                    waiting.remove(job)
                    running.append(job)
                    job.start()
            running = [job for job in running if not job.ended()]
            while untold and untold[0].status is not None:
                job = untold.pop(0)
                job.tell()
                said.append((job.name, job.said))
            time.sleep(0.02)
    finally:
        for job in running:
            job.stop()
    return said
