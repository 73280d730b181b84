"""Runs QEMU's own migration tests, all of them, and prints TAP.

    run PART [--only TEXT]...     a part of PARTS
    run --list                    the parts

In the parts "forced" each source has -global migration.x-hybrid=on, in "active"
both ends have postcopy-ram besides, so that it takes effect. cases.txt says which cases are run in another way there, or not at all, and why.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import argparse
import fnmatch
import os
import signal
import sys

from hybridmig import paths

import iotests
import qtests

LOGS = os.path.join(paths.BUILD, 'test-logs', 'upstream')
CASES = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'cases.txt')

FORCED = ('hybrid=on',)
#: Rounds that do not end until somebody asks for the switch.
ENDLESS = (*FORCED, 'hybrid-min-gain=0', 'hybrid-max-rounds=1000',
           'hybrid-max-resend=0', 'hybrid-hot-threshold=0')
POSTCOPY = ('postcopy-ram=on',)


class Part:
    """What runs it, the builds of source and destination, their options."""
    def __init__(self, function, src='qemu', dst='qemu', src_options=(),
                 dst_options=()):
        self.function = function
        self.builds = src, dst
        self.options = src_options, dst_options


PARTS = {
    'plain': Part(qtests.run),
    'to-unpatched': Part(qtests.run, dst='qemu-base'),
    'from-unpatched': Part(qtests.run, src='qemu-base'),
    'forced': Part(qtests.run, src_options=FORCED),
    'forced-to-unpatched': Part(qtests.run, dst='qemu-base',
                                src_options=FORCED),
    # Also those cases take part in which nobody thinks of postcopy
    'active': Part(qtests.run, src_options=(*ENDLESS, *POSTCOPY),
                   dst_options=POSTCOPY),
    'iotests': Part(iotests.run),
    'iotests-forced': Part(iotests.run, src_options=FORCED),
}


class Exceptions:
    """What cases.txt says of a part: lines "PARTS HOW CASE REASON"."""
    def __init__(self, part):
        self.how = {}
        with open(CASES, encoding='utf-8') as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip() or line.startswith('#'):
                    continue
                parts, how, case, *reason = line.split(maxsplit=3)
                if not reason or set(parts.split(',')) - set(PARTS):
                    raise ValueError(f'{CASES}:{number}: not as its head says')
                if part in parts.split(','):
                    self.how[case] = (how, reason[0].strip())

    def of(self, case):
        return next((found for pattern, found in self.how.items()
                     if fnmatch.fnmatchcase(case, pattern)), (None, None))

    def stale(self, cases):
        return [pattern for pattern in self.how
                if not fnmatch.filter(cases, pattern)]


#: The tests ask for "-accel kvm -accel tcg" and are content with what there is.
#: Where KVM emulates supervisor code their guest is slower than the link, and a
#: precopy that they want to watch is over before they look.
WITHOUT_KVM = '''#!/usr/bin/env bash
args=()
while [ $# -gt 0 ]; do
    if [ "$1" = -accel ] && [[ ${2:-} == kvm* ]]; then
        shift 2
    else
        args+=("$1")
        shift
    fi
done
exec %s "${args[@]}"
'''
AS_IT_IS = '#!/bin/sh\nexec %s "$@"\n'


def wrapper(part, name, build, options=(), script=AS_IT_IS):
    """A QEMU of that build with these options in front of all others."""
    folder = os.path.join(LOGS, part)
    os.makedirs(folder, exist_ok=True)
    # Its name tells the tests the architecture
    path = os.path.join(folder, name, 'qemu-system-x86_64')
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='ascii') as out:
        out.write(script % ' '.join(
            [paths.need_file(paths.built(build), 'a QEMU'),
             *(f'-global migration.x-{option}' for option in options)]))
    os.chmod(path, 0o755)
    return path


def main():
    parser = argparse.ArgumentParser(prog='tests/upstream/run')
    parser.add_argument('part', nargs='?', choices=PARTS)
    parser.add_argument('--only', action='append', metavar='TEXT',
                        help='cases whose name holds this, repeatable')
    parser.add_argument('--list', action='store_true')
    args = parser.parse_args()
    if args.list or not args.part:
        print('\n'.join(PARTS))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    part = PARTS[args.part]
    os.makedirs(os.path.join(LOGS, args.part), exist_ok=True)
    part.function(args.part, part.builds, part.options, Exceptions(args.part),
                  args.only or [''])
    return 0


if __name__ == '__main__':
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    # The modules above ask this one, not a second one of the same name.
    sys.modules['runner'] = sys.modules['__main__']
    sys.exit(main())
