"""QEMU's migration-test --full.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import re
import select
import signal
import subprocess
import time

import tap
from hybridmig import paths

#: What a case may take; some wait for a minute by themselves, and it is long
#: on a machine that does other things as well.
CASE_S = 600
#: Of the series; tests/qtest/run has them.
OURS = '/x86_64/migration/hybrid/'
RESULT = re.compile(r'\s*(ok|not ok) \d+ (/\S+)(?:\s+# SKIP\s*(.*))?')


def _program():
    return os.path.join(paths.BUILD, 'qemu', 'tests', 'qtest',
                        'migration-test')


def _has_kvm():
    """Where it emulates supervisor code the guest is slower than the link."""
    with open('/proc/cpuinfo', encoding='utf-8') as info:
        return re.search(r'^flags.*\b(vmx|svm)\b', info.read(), re.M)


def _environment(src=None, dst=None):
    """Only one of _SRC and _DST is allowed; that one differs."""
    env = {**os.environ, 'PYTHON': '/usr/bin/python3',
           'G_TEST_DBUS_DAEMON': '/bin/false',
           'QTEST_QEMU_BINARY': dst or paths.built('qemu')}
    if src and src != dst:
        env['QTEST_QEMU_BINARY_SRC'] = src
    return env


def _all_cases():
    done = subprocess.run([_program(), '--full', '-l'], check=True,
                          env=_environment(), stdin=subprocess.DEVNULL,
                          cwd=os.path.join(paths.BUILD, 'qemu'),
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True)
    return [line for line in done.stdout.splitlines()
            if line.startswith('/')]


class Attempt:
    """One call of the program, from the start to a case that ends it."""
    def __init__(self, everything, cases, env, log, tell):
        skip = [word for case in everything if case not in cases
                for word in ('-s', case)]
        self.results = {}
        self._tell = tell
        with open(log + '.log', 'ab') as errors, \
                open(log + '.tap', 'a', encoding='utf-8') as self._copy:
            # As a session of its own: the QEMUs end with it
            self._process = subprocess.Popen(
                ['setpriv', '--pdeathsig', 'KILL', _program(), '--full',
                 '--tap', '-k', *skip], env=env,
                cwd=os.path.join(paths.BUILD, 'qemu'),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=errors, start_new_session=True)
            try:
                self.why = self._read(cases)
            finally:
                self._kill()

    def _kill(self):
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()

    def _read(self, cases):
        """Why it has ended before all cases have; None if it has not."""
        out = self._process.stdout.fileno()
        rest, end = b'', time.monotonic() + CASE_S
        while True:
            ready, _, _ = select.select(
                [out], [], [], max(0, end - time.monotonic()))
            if not ready:
                return f'no result within {CASE_S} s'
            data = os.read(out, 65536)
            if not data:
                return f'ended with status {self._process.wait()}'
            *lines, rest = (rest + data).split(b'\n')
            for line in lines:
                text = line.decode(errors='replace')
                self._copy.write(text + '\n')
                found = RESULT.match(text)
                if found and found[2] in cases:
                    self.results[found[2]] = (found[1], found[3])
                    self._tell(found[2], found[1], found[3])
                    end = time.monotonic() + CASE_S
            if len(self.results) == len(cases):
                return None


def _run(everything, cases, src, dst, log, tell):
    """Go on behind a case that crashes or hangs."""
    left = list(cases)
    while left:
        attempt = Attempt(everything, left, _environment(src, dst), log,
                          tell)
        left = [case for case in left if case not in attempt.results]
        if left and attempt.why:
            failed = [case for case, (state, _) in attempt.results.items()
                      if state == 'not ok']
            if not failed:      # it ended without a word of which one
                tell(left.pop(0), 'not ok', None, attempt.why)


def run(part, builds, options, exceptions, only):
    """All cases; each is told, also one that is left out."""
    from runner import AS_IT_IS, ENDLESS, LOGS, WITHOUT_KVM, wrapper

    def tell(case, state, skipped, why=None):
        if skipped is not None:
            why = f'SKIP {skipped}'
        (tap.ok if state == 'ok' else tap.not_ok)(f'{part} {case}', remark=why)
    everything = _all_cases()
    for case in exceptions.stale(everything):
        tap.not_ok(f'{part}: cases.txt names {case}, QEMU has no such case')
    ways = {}
    for case in everything:
        if case.startswith(OURS):
            continue
        how, reason = exceptions.of(case)
        if not any(text in case for text in only):
            continue
        if how == 'kvm' and not _has_kvm():
            tell(case, 'ok', 'no KVM that runs supervisor code by itself')
        elif how == 'left-out':
            tap.note(f'{case} is left out: {reason}')
        else:
            ways.setdefault(how, []).append(case)
    log = os.path.join(LOGS, part, 'migration-test')
    for name in (log + '.tap', log + '.log'):
        open(name, 'wb').close()
    for how, cases in sorted(ways.items(), key=lambda way: way[0] or ''):
        script = AS_IT_IS if how == 'kvm' else WITHOUT_KVM
        src, dst = (
            wrapper(part, f'{side}-{how or "usual"}', build,
                    ENDLESS if how == 'asked' and side == 'src' else more,
                    script)
            for side, build, more in zip(('src', 'dst'), builds, options))
        _run(everything, cases, src, dst, log, tell)
