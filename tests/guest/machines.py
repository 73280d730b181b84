"""QEMUs with no guest but their firmware: for what is decided outside of it.

They start in a fraction of a second, so a table of run states can be walked
through. What is in their memory is not looked at.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import os
import signal
import socket
import subprocess
import threading

from hybridmig import paths
from hybridmig.migrate import DST_CAPABILITIES, ENDS, SRC_CAPABILITIES
from hybridmig.monitor import EventLog, Monitor, Monitored, QmpError
from hybridmig.runs import Run
from hybridmig.waiting import until

#: So slow, in bytes a second, that rounds do not end before somebody wants
#: to hand off: the firmware's memory is next to nothing.
SLOW = 4096


class Machine(Monitored):
    """One of them."""
    def __init__(self, run, log, side, binary, extra=()):
        self.side = side
        self.log = log
        self.log_file = os.path.join(run.folder, f'{side}.log')
        ours, theirs = socket.socketpair()
        with theirs, open(self.log_file, 'ab') as out:
            self.process = subprocess.Popen(
                [binary, '-nodefaults', '-display', 'none', '-m', '64',
                 '-accel', 'tcg', *paths.firmware_args(binary), '-chardev',
                 f'socket,id=qmp,fd={theirs.fileno()}', '-mon',
                 'chardev=qmp,mode=control', '-trace', 'hybrid_*', '-D',
                 os.path.join(run.folder, f'{side}.trace'), *extra],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                pass_fds=[theirs.fileno()])
        run.callback(self.stop)
        self.monitor = Monitor(side, log, ours)

    def hmp(self, line):
        return self.qmp('human-monitor-command', {'command-line': line})

    def status(self):
        return self.qmp('query-status')['status']

    def wait_status(self, *wanted, timeout=20):
        """That it is in; one of these it has to be."""
        return until(lambda: next((s for s in [self.status()] if s in wanted),
                                  None), timeout,
                     f'{self.side} {" or ".join(wanted)}', self.status)

    def output(self):
        with open(self.log_file, encoding='utf-8', errors='replace') as log:
            return log.read()

    def freeze(self, frozen=True):
        self.process.send_signal(signal.SIGSTOP if frozen else
                                 signal.SIGCONT)

    def wait_exit(self, timeout=20):
        """Its exit code, None if it lives on."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(timeout)

    def stop(self):
        """What crashed by itself must not pass unnoticed."""
        code = self.process.poll()
        self.monitor.close()
        self.process.kill()
        self.process.wait()
        if code is not None and code < 0:
            raise RuntimeError(f'QEMU of {self.side} died of signal {-code}: '
                               f'{self.output()[-500:]}')


class Machines:
    """A source and a destination."""
    def __init__(self, run, src_extra=(), dst_extra=(), dst='qemu',
                 line=lambda run, side: []):
        """line(run, side): more arguments, which name files of the run."""
        self.log = EventLog()
        self.run = run
        self.src = Machine(run, self.log, 'src', paths.built('qemu'),
                           [*src_extra, *line(run, 'src')])
        self.dst = Machine(run, self.log, 'dst', paths.built(dst),
                           [*dst_extra, *line(run, 'dst'),
                            '-incoming', 'defer'])

    def migrate(self, handoff=False, src_caps=None, to=None, **parameters):
        """
        handoff: at once, else it completes as precopy; to: by way of that
        """
        caps = {**SRC_CAPABILITIES, **(src_caps or {})}
        if handoff:
            parameters = {'max-bandwidth': SLOW, **parameters}
        else:
            # Rounds that are so short measure no bandwidth
            parameters = {'avail-switchover-bandwidth': 1 << 30,
                          'downtime-limit': 10000, **parameters}
        for guest, values in ((self.src, caps), (self.dst, DST_CAPABILITIES)):
            guest.set_capabilities(values)
        self.src.set_parameters({name.replace('_', '-'): value
                                 for name, value in parameters.items()})
        uri = f'unix:{self.run.folder}/migration.sock'
        self.dst.qmp('migrate-incoming', {'uri': uri})
        self.src.qmp('migrate', {'uri': to or uri})
        if handoff:
            self.src.qmp('migrate-start-postcopy')

    def wait(self, *statuses, side='src', timeout=30):
        """The first of these statuses that a side had; one has to come."""
        return self.log.wait(lambda: self.had(*statuses, side=side), timeout,
                             f'{side} {" or ".join(statuses)}')

    def had(self, *statuses, side='src'):
        return next((s for s in statuses if self.log.find(
            side, 'MIGRATION', status=s)), None)

    def wait_end(self):
        return self.wait(*ENDS)

    @contextlib.contextmanager
    def all_the_time(self, ask):
        """Meanwhile, as long as ask() returns true, it is called again."""
        done = threading.Event()

        def body():
            while not done.is_set() and ask():
                pass
        asks = threading.Thread(target=body)
        asks.start()
        try:
            yield
        finally:
            done.set()
            asks.join()

    def to_device(self):
        """Consent to the switch; the destination does not run: (BACK) or
        whatever comes is the test's matter."""
        self.wait('pre-switchover')
        self.dst.freeze()
        self.src.qmp('migrate-continue', {'state': 'pre-switchover'})
        return self.wait('device')


@contextlib.contextmanager
def machines(logs, **how):
    with Run(logs=logs) as run:
        pair = None
        try:
            pair = Machines(run, **how)
            yield pair
        except BaseException as exc:
            exc.about = f'seen last: {pair.log.seen()}' if pair else None
            run.keep()
            raise


def refused(guest, command, arguments=None):
    """The error's text; it must be one."""
    try:
        guest.qmp(command, arguments)
    except QmpError as exc:
        return str(exc)
    raise AssertionError(f'{command} was not refused at {guest.side}')
