"""Finds numbers of the module that nothing is said about; prints each.

    constants.py [FOLDER]

A number with a name has a comment: behind it, or above it with no empty line
between.  What it says is for the reader to judge: what the number is for, and
from which measurement it comes, or that it is chosen.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import re
import sys

NUMBER = re.compile(r'^#define +([A-Z]\w*) +(?:.*\W)?\d')
#: Units say themselves what they are
UNITS = ('WORD_BITS', 'US_PER_MS', 'SECOND_US', 'BYTES_PER_MIB')


def unsaid(lines):
    said = False
    for number, line in enumerate(lines, 1):
        found = NUMBER.match(line)
        if not line.strip():
            said = False
        if '*/' in line:
            said = True
        if found and not said and found[1] not in UNITS:
            yield number, found[1]


def main():
    for parent, _, names in os.walk(sys.argv[1] if sys.argv[1:] else 'migration'):
        for name in sorted(names):
            path = os.path.join(parent, name)
            if not name.endswith(('.c', '.h')):
                continue
            with open(path, encoding='utf-8') as file:
                for number, constant in unsaid(file.read().splitlines()):
                    print(f'{path}:{number}: {constant}')


if __name__ == '__main__':
    main()
