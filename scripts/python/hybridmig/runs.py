"""A run: its folder, its clean-up, and the leftovers of runs that were killed.

Everything a run makes carries its token, "hm-PID-START", where START is when
the process began (in clock ticks since boot), so that a process id that is
used again is no longer the run's.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

PREFIX = 'hm-'
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _start_of(pid):
    try:
        with open(f'/proc/{pid}/stat', encoding='ascii',
                  errors='replace') as stat:
            return stat.read().rpartition(')')[2].split()[19]
    except OSError:
        return None


def _owner_lives(name):
    """Whether the process lives that a token, or what begins with it, names."""
    parts = name.split('-')
    try:
        return _start_of(int(parts[1])) == parts[2]
    except (IndexError, ValueError):
        return True             # not one of ours


def command(*argv, check=True):
    """Run a tool; its error text is part of the exception."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, check=False,
                          capture_output=True, text=True)
    if check and done.returncode:
        raise RuntimeError(f'{" ".join(argv)}: '
                           f'{(done.stderr or done.stdout).strip()}')
    return done.stdout


def _kill_and_wait(pids, timeout=10):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + timeout
    while time.monotonic() < end and any(_start_of(pid) for pid in pids):
        time.sleep(0.01)


def delete_namespace(name):
    pids = command('ip', 'netns', 'pids', name, check=False).split()
    _kill_and_wait([int(pid) for pid in pids])
    command('ip', 'netns', 'del', name, check=False)


def sweep():
    """Remove what runs left that were killed before they could clean up."""
    for name in command('ip', 'netns', 'list', check=False).splitlines():
        name = name.split()[0] if name.split() else ''
        if name.startswith(PREFIX) and not _owner_lives(name):
            delete_namespace(name)
    folder = tempfile.gettempdir()
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if name.startswith(PREFIX) and not _owner_lives(name) and \
           not os.path.exists(os.path.join(path, 'kept')):
            shutil.rmtree(path, ignore_errors=True)


class Run(contextlib.ExitStack):
    """Use as a context manager in the main thread.

    What is registered (callback, enter_context) is undone in reverse order,
    whatever ends the run. A signal ends it like an exception; while it is
    being undone, further signals wait. The folder is removed unless keep() was
    called.
    """
    #: Of names: a process may have more than one run at a time.
    _numbers = itertools.count(1)

    def __init__(self, logs=None):
        super().__init__()
        self.token = f'{PREFIX}{os.getpid()}-{_start_of(os.getpid())}'
        self.logs = logs
        self.folder = None
        self.kept = False
        self._handlers = {}

    def __enter__(self):
        if os.geteuid() != 0:
            raise PermissionError('network namespaces need root: run this as '
                                  'root, or with sudo')
        super().__enter__()
        for number in SIGNALS:
            self._handlers[number] = signal.signal(number, self._on_signal)
        sweep()
        self.folder = tempfile.mkdtemp(prefix=self.token + '-')
        return self

    def __exit__(self, *details):
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        try:
            return super().__exit__(*details)
        finally:
            self._settle_folder()
            for number, handler in self._handlers.items():
                signal.signal(number, handler)

    @staticmethod
    def _on_signal(number, _frame):
        sys.exit(128 + number)

    def unique(self):
        """A name for something outside the folder, such as a namespace."""
        return f'{self.token}-{next(self._numbers)}'

    def keep(self):
        """Keep the logs; returns where they will be."""
        self.kept = True
        return self.logs or self.folder

    def _settle_folder(self):
        if not self.kept:
            shutil.rmtree(self.folder, ignore_errors=True)
        elif self.logs:
            os.makedirs(self.logs, exist_ok=True)
            for name in os.listdir(self.folder):
                path = os.path.join(self.folder, name)
                if os.path.isfile(path):
                    shutil.copy(path, os.path.join(self.logs, name))
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            with open(os.path.join(self.folder, 'kept'), 'w',
                      encoding='ascii'):
                pass
