"""Runs the cases of cases_*.py, one after the other, and prints TAP.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import argparse
import os
import sys
import tempfile
import time
import traceback

import cases_arithmetic
import cases_cell
import cases_compare
import cases_report
from hybridmig import paths


def run_case(name, case):
    begin = time.monotonic()
    reason = case.why_not() if hasattr(case, 'why_not') else None
    if reason:
        print(f'ok - bench: {name} # SKIP {reason}', flush=True)
        return
    try:
        with tempfile.TemporaryDirectory(prefix='hm-bench-test-') as folder:
            case(os.path.join(folder, 'out'))
    except Exception as exc:
        print(f'not ok - bench: {name}')
        text = ''.join(traceback.format_exception(exc)).rstrip()
        print('\n'.join('# ' + line for line in text.splitlines()[-12:]),
              flush=True)
        return
    print(f'ok - bench: {name} # {time.monotonic() - begin:.1f} s',
          flush=True)


def main():
    cases = {**cases_arithmetic.CASES, **cases_report.CASES,
             **cases_compare.CASES, **cases_cell.CASES}
    parser = argparse.ArgumentParser(prog='tests/bench/run')
    parser.add_argument('--only', action='append', help='a case, repeatable')
    parser.add_argument('--list', action='store_true')
    args = parser.parse_args()
    if args.list:
        print('\n'.join(cases))
        return 0
    unknown = set(args.only or ()) - set(cases)
    if unknown:
        parser.error(f'no such case: {", ".join(sorted(unknown))}')
    for name, case in cases.items():
        if not args.only or name in args.only:
            run_case(name, case)
    return 0


if __name__ == '__main__':
    try:
        paths.use_qemu_python()
    except paths.SetupError:
        pass        # cases that need it say so
    sys.exit(main())
