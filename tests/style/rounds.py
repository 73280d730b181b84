"""Is the table of rule 5 in docs/internals.md that of the code? Prints what differs.

    rounds.py [DOCS]      by default this project's docs/internals.md

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import re
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
HEAD = '| rounds of all converge | '
WORDS = {'yes': 'YES', 'no': 'NO', 'either': 'ANY', 'none': 'NONE',
         'of what is not hot': 'NOT_HOT', 'of all': 'ALL'}


def read(name):
    with open(os.path.join(ROOT, name), encoding='utf-8') as file:
        return file.read()


def main():
    code = read('migration/policy/rounds-table.h')
    code = re.findall(r'ROW\((\w+), *(\w+), *(\w+), *(\w+), *(\w+)\)',
                      code[code.index('#define HYBRID_ROUNDS_TABLE(ROW)'):])
    text = read(sys.argv[1] if len(sys.argv) > 1 else 'docs/internals.md')
    table = text[text.index(HEAD):].split('\n\n')[0].splitlines()[2:]
    docs = [tuple(WORDS[cell.strip()] for cell in line.strip('|').split('|'))
            for line in table]
    for row in (*code, *docs):
        if code.count(row) != 1 or docs.count(row) != 1:
            print(' '.join(row), 'is not once in both')


main()
