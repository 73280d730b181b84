"""Finds public functions of the module that nothing but tests calls; prints each.

    callers.py [FOLDER]    the module, by default this project's migration/

A function that a header of the module declares is called by another of its
files, or by a patch of the series.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import re
import sys

SERIES = 'qemu-patches'
COMMENT = re.compile(r'/\*.*?\*/', re.S)
DECLARED = re.compile(
    r'^[A-Za-z_][\w \*]*?[ \*]((?:hybrid|handoff)\w+)\s*\([^;{}]*\)[^;{}]*;', re.M)


def texts(folder, ending):
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.endswith(ending):
                path = os.path.join(parent, name)
                with open(path, encoding='utf-8') as file:
                    yield path, file.read()


def main():
    folder = sys.argv[1] if sys.argv[1:] else 'migration'
    module = {path: COMMENT.sub('', text) for path, text in texts(folder, ('.c', '.h'))}
    patches = ''.join(text for _, text in texts(SERIES, '.patch'))
    added = set(re.findall(r'\w+', '\n'.join(re.findall(r'^\+.*', patches, re.M))))
    uses = {}
    for text in module.values():
        for word in re.findall(r'\w+', text):
            uses[word] = uses.get(word, 0) + 1
    for path, text in sorted(module.items()):
        for name in DECLARED.findall(text) if path.endswith('.h') else ():
            # Declared and defined: twice
            if uses[name] < 3 and name not in added:
                print(f'{path}: nothing calls {name}')


if __name__ == '__main__':
    main()
