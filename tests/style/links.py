"""Checks what documents refer to; prints each fault.

    links.py FILE...

Links lead to a file, and to a heading in it.  Names in backquotes that begin as
the module's do, and paths in its folders, are there.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import functools
import os
import re
import sys

LINK = re.compile(r'\]\(([^)\s]+)\)')
COMMENT = re.compile(r'/\*.*?\*/', re.S)
CODE = re.compile(r'`[^`\n]*`')


#: Where the names of the module are, those of hooks and QAPI among them
NAMED_IN = ('migration', 'qemu-patches', 'tests/model')
OURS = re.compile(r'`((?:hybrid_|HYBRID_|Hybrid)\w*\w)[`(]')
FILES = re.compile(r'`((?:policy|protocol|common|source|destination|tests|scripts'
                   r'|migration)/[\w./-]+\.\w+)`')


def text_of(name):
    with open(name, encoding='utf-8') as file:
        return file.read()


@functools.lru_cache(maxsize=None)
def anchors(name):
    """What the headings are linked by, as the usual viewers make it."""
    found = set()
    for heading in re.findall(r'^#+ (.*)$', text_of(name), re.M):
        plain = re.sub(r'[^\w\- ]', '', heading.strip().lower()).replace(' ', '-')
        anchor, n = plain, 0
        while anchor in found:
            n += 1
            anchor = f'{plain}-{n}'
        found.add(anchor)
    return found


@functools.lru_cache(maxsize=None)
def module_names():
    found = set()
    for folder in NAMED_IN:
        for parent, _, names in os.walk(folder):
            for name in names:
                text = text_of(os.path.join(parent, name))
                found.update(re.findall(r'\w+', COMMENT.sub('', text)))
    return found


def wrong_names(name):
    text = text_of(name)
    for word in OURS.findall(text):
        if word not in module_names():
            yield f'{name}: nothing is named {word}'
    for path in FILES.findall(text):
        if not any(os.path.exists(os.path.join(folder, path))
                   for folder in ('', 'migration')):
            yield f'{name}: no file {path}'


def faults(name):
    text = CODE.sub('', re.sub(r'^ {4}.*$', '', text_of(name), flags=re.M))
    for target in LINK.findall(text):
        if re.match(r'[a-z]+:', target):
            continue
        path, _, anchor = target.partition('#')
        path = os.path.normpath(os.path.join(os.path.dirname(name), path)) \
            if path else name
        if not os.path.exists(path):
            yield f'{name}: no file {target}'
        elif anchor and anchor not in anchors(path):
            yield f'{name}: no heading {target}'


def main():
    for name in sys.argv[1:]:
        for fault in (*faults(name), *wrong_names(name)):
            print(fault)


if __name__ == '__main__':
    main()
