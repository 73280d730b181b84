"""Is the table in docs/handoff.md that of the code? Prints each row in one only.

    handoff.py [DOCS]      by default this project's docs/handoff.md

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import re
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
HEADS = {'SRC': '| source in | event |', 'DST': '| destination in | event |'}


def read(*path):
    with open(os.path.join(ROOT, *path), encoding='utf-8') as file:
        return file.read()


def macro(text, name):
    """What a #define says, over its lines."""
    return re.search(rf'#define {name}\(\w+\)((?:.*\\\n)*.*\n)', text).group(1)


def coded(text, side):
    """The rows of the code, and the side's states in their order."""
    rows = macro(text, f'HANDOFF_{side}_TABLE')
    states = macro(text, f'HANDOFF_{side}_STATES')
    return (set(re.findall(r'ROW\((\w+), (\w+), (\w+)\)', rows)),
            re.findall(r'STATE\((\w+), \d\)', states))


def documented(text, head, states):
    """The rows of the docs, written out: "A to C", "A, B"."""
    rows = set()
    for line in text[text.index(head):].split('\n\n')[0].splitlines()[2:]:
        where, events, after = (cell.strip() for cell in line.strip('|').split('|'))
        if ' to ' in where:
            first, last = (states.index(name) for name in where.split(' to '))
            where = ', '.join(states[first:last + 1])
        rows |= {(state, event, after.split()[0])
                 for state in where.split(', ') for event in events.split(', ')}
    return rows


def main():
    table = read('migration', 'protocol', 'handoff-table.h')
    docs = read(sys.argv[1] if len(sys.argv) > 1 else 'docs/handoff.md')
    for side, head in HEADS.items():
        rows, states = coded(table, side)
        for row in sorted(rows ^ documented(docs, head, states)):
            print(f'{side}: {" ".join(row)} is only in', 'the code' if row in rows
                  else 'the docs')


main()
