"""Finds words that QEMU writes otherwise; prints each line that has one.

    words.py FILE...

Of a patch the message counts, and what it adds, if no later patch takes the
line away again.  What is not ours stays as it is: QEMU's own lines, titles of
papers, and the page of results, which is the record of a run.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import re
import sys

HYPHEN = re.compile(r'\b(?:pre|post)-cop(?:y|ie)', re.I)
NOT_OURS = ('docs/results.md',)
TITLES = ('based on improved pre-' + 'copy approach',)


def lines_of(name):
    try:
        with open(name, encoding='utf-8') as file:
            return file.read().splitlines()
    except UnicodeDecodeError:
        return []


def main():
    taken, found = set(), []
    for name in sorted(sys.argv[1:], reverse=True):
        if name in NOT_OURS:
            continue
        patch, message = name.endswith('.patch'), True
        for number, line in enumerate(lines_of(name), 1):
            message = message and line != '---'
            if patch and line.startswith('-'):
                taken.add(line[1:])
            if patch and not message and not line.startswith('+'):
                continue
            if HYPHEN.search(line) and not any(t in line for t in TITLES) \
                    and not (patch and line[1:] in taken):
                found.append(f'{name}:{number}: {line}')
    print('\n'.join(reversed(found)), end='\n' if found else '')


if __name__ == '__main__':
    main()
