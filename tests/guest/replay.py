"""What the tests' real migrations did is checked once more, without QEMU.

The steps of their handoff have to be a path of the model (tests/model), and
the policy has to decide again as it did in each of their rounds (tests/unit).

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import shutil
import subprocess

import tap
from hybridmig import paths, record

FOLDER = os.path.join(paths.BUILD, 'test-logs', 'guest-traces')
HANDOFF = os.path.join(FOLDER, 'handoff')
ROUNDS = os.path.join(FOLDER, 'data')   # the unit test looks below "data"
LEAST_ROUNDS = 3                        # and wants to find a few


def begin():
    """Forget what was saved in an earlier run."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    for folder in (HANDOFF, ROUNDS):
        os.makedirs(folder)


def save(pair, name):
    """Keep the traces of a test while its QEMUs' files are there."""
    if not os.path.isdir(FOLDER):
        begin()
    lines = [line for guest in pair.guests
             for line in record.trace_lines(guest)]
    if pair.follows_model and any(map(record.STEP.search, lines)):
        with open(os.path.join(HANDOFF, name + '.log'), 'w',
                  encoding='utf-8') as out:
            out.write('\n'.join(lines) + '\n')
    rounds = record.rounds_text(pair.src)
    if rounds:
        with open(os.path.join(ROUNDS, name + '.rounds'), 'w',
                  encoding='ascii') as out:
            out.write(f'# Guest test {name}\n{rounds}')


def _saved(folder):
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder))]


def _result(done, name):
    return tap.result(done.returncode == 0, f'guest: {name}',
                      done.stdout + done.stderr)


def handoff():
    """Each trace by itself, so that a failure names the test."""
    right, traces = True, _saved(HANDOFF)
    for trace in traces:
        done = subprocess.run(
            [os.path.join(paths.ROOT, 'tests/model/replay'), trace],
            capture_output=True, text=True, check=False)
        name = os.path.basename(trace)[:-4]
        right &= _result(done, f'{name}: its handoff is a path of the model')
    return right and bool(traces)


def rounds():
    """All at once: a wrong decision names its file and line."""
    program = os.path.join(paths.BUILD, 'unit/tests/unit/test-rounds-replay')
    traces = _saved(ROUNDS)
    if len(traces) < LEAST_ROUNDS:
        tap.not_ok(f'guest: only {len(traces)} runs recorded their rounds')
        return False
    done = subprocess.run([program], env={**os.environ,
                                          'G_TEST_SRCDIR': FOLDER},
                          capture_output=True, text=True, check=False)
    return _result(done, f'the policy decides again as in {len(traces)} runs')
