"""Prints meson's testlog.json as TAP: one line per case of each test program.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import json
import re
import sys

# A case of a GLib test program, which may be indented under a subtest. One
# that aborts the program has no number.
CASE = re.compile(r'^\s*(ok|not ok)(?: \d+)? (?:- )?(/?\S.*)$')


def cases(entry):
    """The lines for one test program."""
    name = entry['name'].split(' / ')[-1]
    result = entry['result']
    lines = []
    failed = False
    for line in entry.get('stdout', '').splitlines():
        match = CASE.match(line)
        if match:
            failed = failed or match.group(1) == 'not ok'
            lines.append(f'{match.group(1)} - {name}: {match.group(2)}')
    if result == 'SKIP' and not lines:
        lines.append(f'ok - {name} # SKIP by itself')
    elif result not in ('OK', 'SKIP') and not failed:
        lines.append(f'not ok - {name} ended as {result}')
    elif not lines:
        lines.append(f'ok - {name}')
    return lines


def main():
    """Reads the log named on the command line."""
    with open(sys.argv[1], encoding='utf-8') as log:
        for text in log:
            if text.strip():
                print('\n'.join(cases(json.loads(text))))


if __name__ == '__main__':
    main()
