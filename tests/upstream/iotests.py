"""QEMU's iotests that migrate, in the formats that people use.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import glob
import os
import re
import signal
import subprocess

import tap
from hybridmig import paths

FORMATS = ('qcow2', 'raw')
GROUP = re.compile(r'^# group:.*\bmigration\b', re.MULTILINE)
RESULT = re.compile(r'(ok|not ok) \S+ (\S+)(?:\s+# SKIP\s*(.*))?')
#: Some compare all that QEMU says; the rest of it has to be as expected.
NOT_WARNED = '''#!/usr/bin/env bash
exec %s "$@" 2> >(grep --line-buffered -v "hybrid does not apply" >&2)
'''
#: For one of them; QEMU's own build gives them three minutes.
CASE_S = 600


def _folder():
    return os.path.join(paths.BUILD, 'qemu-src', 'tests', 'qemu-iotests')


def _suits(text, form):
    """What the test itself says of the formats that it can do with."""
    says = re.search(r'_?supported_fmts?(?:=\[| )([^\]\n]*)', text)
    return says is None or form in says[1] or 'generic' in says[1]


def _migrating():
    """Those of QEMU's group "migration", and whoever migrates besides."""
    found = []
    for path in sorted(glob.glob(os.path.join(_folder(), '[0-9][0-9][0-9]')) +
                       glob.glob(os.path.join(_folder(), 'tests', '*'))):
        if os.path.splitext(path)[1] or not os.access(path, os.X_OK):
            continue
        with open(path, encoding='utf-8', errors='replace') as file:
            text = file.read()
        if GROUP.search(text) or re.search(r'\bmigrate\b', text):
            found += [f'{form}/{os.path.basename(path)}' for form in FORMATS
                      if _suits(text, form)]
    return found


def _environment(qemu, scratch):
    tools = os.path.join(paths.BUILD, 'qemu-tools')
    os.makedirs(scratch, exist_ok=True)
    return {**os.environ, 'PYTHON': '/usr/bin/python3', 'QEMU_PROG': qemu,
            'TEST_DIR': scratch,
            'QEMU_IMG_PROG': os.path.join(tools, 'qemu-img'),
            'QEMU_IO_PROG': os.path.join(tools, 'qemu-io'),
            'QEMU_NBD_PROG': os.path.join(tools, 'qemu-nbd'),
            'QSD_PROG': os.path.join(tools, 'storage-daemon',
                                     'qemu-storage-daemon')}


def _one(case, form, env, log):
    """Its state, and why it was skipped or failed."""
    with open(log, 'wb') as out:
        process = subprocess.Popen(
            ['/usr/bin/python3', 'check', '-tap', f'-{form}', case,
             '--source-dir', _folder(), '--build-dir',
             os.path.join(paths.BUILD, 'qemu', 'tests', 'qemu-iotests')],
            cwd=_folder(), env=env, stdin=subprocess.DEVNULL, stdout=out,
            stderr=subprocess.STDOUT, start_new_session=True)
        try:
            process.wait(CASE_S)
        except subprocess.TimeoutExpired:
            return 'not ok', f'no result within {CASE_S} s'
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
    with open(log, encoding='utf-8', errors='replace') as lines:
        for line in lines:
            found = RESULT.match(line)
            if found:
                why = f'SKIP {found[3]}' if found[3] is not None else None
                return found[1], why
    return 'not ok', f'no result, see {os.path.relpath(log, paths.ROOT)}'


def run(part, builds, options, exceptions, only):
    from runner import AS_IT_IS, LOGS, wrapper
    usual, not_warned = (
        _environment(wrapper(part, name, builds[0], options[0], script),
                     os.path.join(LOGS, part, 'scratch'))
        for name, script in (('qemu', AS_IT_IS), ('not-warned', NOT_WARNED)))
    cases = _migrating()
    for case in exceptions.stale(cases):
        tap.not_ok(f'{part}: cases.txt names {case}, which does not migrate')
    for case in cases:
        form, name = case.split('/')
        how, reason = exceptions.of(case)
        if not any(text in case for text in only):
            continue
        if how == 'left-out':
            tap.note(f'{case} is left out: {reason}')
            continue
        log = os.path.join(LOGS, part, f'{form}-{name}.log')
        env = not_warned if how == 'warned' else usual
        state, why = _one(name, form, env, log)
        tell = tap.ok if state == 'ok' else tap.not_ok
        tell(f'{part} {case}', remark=why)
