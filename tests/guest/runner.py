"""Runs the cases of cases_*.py and prints TAP.

Two at a time where they do not measure (alone.py); what was asked for by name
runs one after the other, unless --jobs says otherwise.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import argparse
import functools
import os
import subprocess
import sys
import time
import traceback

import alone
import beside
import cases_address
import cases_alive
import cases_attempt
import cases_bitmap
import cases_bounds
import cases_channel
import cases_config
import cases_copies
import cases_commands
import cases_discard
import cases_dip
import cases_disk
import cases_end
import cases_errors
import cases_fail
import cases_field
import cases_kvm
import cases_leaves
import cases_link
import cases_lost
import cases_memory
import cases_missing
import cases_need
import cases_net
import cases_owner
import cases_peer
import cases_pool
import cases_push
import cases_quit
import cases_relay
import cases_runstate
import cases_single
import cases_stream
import cases_strangers
import cases_switch
import cases_wait
import cases_work
import replay
from common import Skip
from hybridmig import paths

LOGS = os.path.join(paths.BUILD, 'test-logs', 'guest')
#: Mostly a case waits; a machine that continuous integration uses has two cores.
JOBS = 2


def why_not():
    """A reason to skip all, or None."""
    if os.geteuid() != 0:
        return 'needs root for network namespaces'
    probe = subprocess.run(['ip', 'netns', 'add', f'hm-probe-{os.getpid()}'],
                           capture_output=True, text=True, check=False)
    if probe.returncode:
        return f'no network namespaces: {probe.stderr.strip()}'
    subprocess.run(['ip', 'netns', 'del', f'hm-probe-{os.getpid()}'],
                   check=False)
    return None


def run_case(name, case):
    logs = os.path.join(LOGS, name)
    begin = time.monotonic()
    try:
        case(logs)
    except Skip as exc:
        print(f'ok - guest: {name} # SKIP {exc}', flush=True)
        return
    except Exception as exc:
        print(f'not ok - guest: {name}')
        text = ''.join(traceback.format_exception(exc)).rstrip()
        print('\n'.join('# ' + line for line in text.splitlines()[-12:]))
        print(f'# logs: {os.path.relpath(logs, paths.ROOT)}', flush=True)
        return
    print(f'ok - guest: {name} # {time.monotonic() - begin:.1f} s', flush=True)


def main():
    cases = {**cases_link.CASES, **cases_stream.CASES, **cases_end.CASES,
             **cases_push.CASES, **cases_discard.CASES, **cases_peer.CASES,
             **cases_fail.CASES, **cases_switch.CASES, **cases_work.CASES,
             **cases_net.CASES, **cases_bitmap.CASES, **cases_bounds.CASES,
             **cases_disk.CASES,
             **cases_channel.CASES, **cases_owner.CASES, **cases_kvm.CASES,
             **cases_runstate.CASES, **cases_commands.CASES,
             **cases_errors.CASES, **cases_need.CASES,
             **cases_field.CASES,
             **cases_memory.CASES, **cases_lost.CASES, **cases_quit.CASES,
             **cases_missing.CASES,
             **cases_relay.CASES, **cases_dip.CASES, **cases_wait.CASES,
             **cases_attempt.CASES, **cases_alive.CASES,
             **cases_single.CASES, **cases_leaves.CASES,
             **cases_strangers.CASES, **cases_config.CASES,
             **cases_copies.CASES,
             **cases_address.CASES, **cases_pool.CASES}
    parser = argparse.ArgumentParser(prog='tests/guest/run')
    parser.add_argument('--only', action='append', help='a case, repeatable')
    parser.add_argument('--repeat', type=int, default=1)
    parser.add_argument('--jobs', type=int, metavar='N', help='so many at a '
                        f'time (default: {JOBS}, with --only 1)')
    parser.add_argument('--list', action='store_true')
    args = parser.parse_args()
    if args.list:
        print('\n'.join(cases))
        return 0
    unknown = set(args.only or ()) - set(cases)
    if unknown:
        parser.error(f'no such case: {", ".join(sorted(unknown))}')
    stale = alone.unknown(cases)
    if stale:
        parser.error(f'alone.py names no case: {", ".join(stale)}')
    reason = why_not()
    if reason:
        print(f'ok - guest # SKIP {reason}')
        return 0
    usual = set(cases)
    if os.environ.get('HYBRID_FULL') != '1':
        usual -= set(cases_disk.CASES)
        usual -= set(cases_alive.CASES) - cases_alive.USUAL
        usual -= cases_lost.LONG | cases_quit.LONG
        usual -= set(cases_kvm.CASES) - cases_kvm.USUAL
        usual -= set(cases_memory.CASES) - cases_memory.USUAL
        usual -= set(cases_relay.LONG)
        usual -= set(cases_single.CASES) - cases_single.USUAL
    paths.use_qemu_python()
    replay.begin()
    for _ in range(args.repeat):
        beside.run([(f'guest: {name}', functools.partial(run_case, name, case),
                     alone.holds(name)) for name, case in cases.items()
                    if name in (args.only or usual)],
                   args.jobs or (1 if args.only else JOBS))
    replay.handoff()
    if not args.only:
        replay.rounds()
    return 0


if __name__ == '__main__':
    sys.exit(main())
