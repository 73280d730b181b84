"""Checks which way the module's files know each other; prints each fault.

    arrows.py [FOLDER]      the module, by default this project's migration/

A file may include, and call, what is in its own folder or below (ROOMS).  No
two files reach each other in a circle; "file" is a .c with its .h.  The folders
of PURE include no header of QEMU.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import collections
import os
import re
import sys

#: From the ground up; source and destination stand side by side.
ROOMS = {'osdep': 0, 'protocol': 1, 'policy': 2, 'common': 3,
         'source': 4, 'destination': 4, '': 5}
PURE = ('osdep', 'protocol', 'policy')
#: How QEMU's tree calls the module
PREFIX = 'migration/hybrid/'
#: Made by meson
GENERATED = ('points-config.h',)
DEFINED = re.compile(
    r'^(?!static|typedef|#)[A-Za-z_][\w \*]*?[ \*](\w+)\s*\([^;{}]*\)\s*\{', re.M)
COMMENT = re.compile(r'/\*.*?\*/', re.S)
STRING = re.compile(r'"(?:\\.|[^"\\\n])*"')


class Module:
    """Its files, without comments, by their names in the folder."""
    def __init__(self, folder):
        self.texts = {}
        for parent, _, names in os.walk(folder):
            for name in names:
                if name.endswith(('.c', '.h')) and name != 'trace.h':
                    path = os.path.join(parent, name)
                    with open(path, encoding='utf-8') as file:
                        self.texts[os.path.relpath(path, folder)] = \
                            COMMENT.sub('', file.read())
        self.where = {}
        for name, text in self.texts.items():
            if name.endswith('.c'):
                for function in DEFINED.findall(text):
                    self.where.setdefault(function, name)

    def includes(self, name):
        """The module's own files that @name includes, and the others."""
        own, others = [], []
        for mark, header in re.findall(r'^#\s*include ([<"])([^>"]+)[>"]',
                                       self.texts[name], re.M):
            path = os.path.normpath(os.path.join(os.path.dirname(name), header))
            if header.startswith(PREFIX):
                path = header[len(PREFIX):]
            if path in self.texts:
                own.append(path)
            elif mark == '"' and path not in (*GENERATED, 'trace.h'):
                others.append(header)
        return own, others

    def calls(self, name):
        """The module's files of which @name uses a function."""
        text = STRING.sub('', self.texts[name])
        found = {self.where[word] for word in re.findall(r'\b\w+\b', text)
                 if word in self.where}
        return found - {name} if name.endswith('.c') else set()


def unit(name):
    return os.path.splitext(name)[0]


def room(name):
    first = name.split('/')[0] if '/' in name else unit(name)
    return first if first in ROOMS else ''


def wrong_rooms(module):
    """Files that know what is above them, or beside them in another room."""
    for name in sorted(module.texts):
        own, others = module.includes(name)
        for how, known in (('includes', own), ('calls', module.calls(name))):
            for other in known:
                here, there = room(name), room(other)
                if here != there and ROOMS[there] >= ROOMS[here]:
                    yield f'{name} {how} {other}'
        if room(name) in PURE:
            for header in others:
                if (room(name), header) != ('osdep', 'qemu/osdep.h'):
                    yield f'{name} includes {header}'


def circle(edges):
    """The units of one circle, or none: depth first, without recursion."""
    done = set()
    for start in sorted(edges):
        path, stack = [], [(start, iter(sorted(edges[start])))]
        if start in done:
            continue
        path.append(start)
        while stack:
            step = next(stack[-1][1], None)
            if step is None:
                done.add(path.pop())
                stack.pop()
            elif step in path:
                return path[path.index(step):] + [step]
            elif step not in done:
                path.append(step)
                stack.append((step, iter(sorted(edges[step]))))
    return []


def circles(module):
    edges = collections.defaultdict(set)
    for name in module.texts:
        for other in (*module.includes(name)[0], *module.calls(name)):
            if unit(other) != unit(name):
                edges[unit(name)].add(unit(other))
    for known in list(edges.values()):
        for other in known:
            edges.setdefault(other, set())
    found = circle(edges)
    if found:
        yield 'a circle: ' + ' -> '.join(found)


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else 'migration'
    module = Module(folder)
    if not module.texts or not module.where:
        print(f'no module in {folder}')
    for fault in (*wrong_rooms(module), *circles(module)):
        print(fault)


if __name__ == '__main__':
    main()
