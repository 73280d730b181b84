"""The series as it would be mailed: with the module, file by file.

In this project the module's files stand beside the series.  Who mails it, or
reviews it, wants each patch to bring what it needs.  qemu-patches/module says
which files come where, a text for each patch:

    Into: SUBJECT       the files come with this patch of the series, or
    After: SUBJECT      they are a patch of their own, behind that one
    Files: PATTERN...   as in QEMU's tree; migration/hybrid/ may be left out

    the message of the patch (with After)

A meson.build of the module names at each patch the files that are there.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import argparse
import dataclasses
import fnmatch
import os
import re
import subprocess
import sys

MODULE = 'migration/hybrid/'
#: What a file of the module includes of it
INCLUDED = re.compile(r'^#include "([\w./-]+)"', re.M)
#: A file in a list of meson's, or in a dictionary, with other files
LISTED = re.compile(r"^\s*'([\w./-]+\.c)'(?:: \[.*\])?,\n", re.M)


@dataclasses.dataclass
class Part:
    """Files of the module that one patch brings."""
    name: str
    where: str          # 'Into' or 'After'
    subject: str
    patterns: list
    message: str


def parse(name, text):
    """A Part of a text of qemu-patches/module."""
    head, _, message = text.partition('\n\n')
    fields = dict(re.findall(r'^(Into|After|Files): +(.+(?:\n +.+)*)$', head,
                             re.M))
    where = [key for key in ('Into', 'After') if key in fields]
    if len(where) != 1 or 'Files' not in fields:
        raise ValueError(f'{name}: wants Into or After, and Files')
    if bool(message.strip()) != (where[0] == 'After'):
        raise ValueError(f'{name}: a message goes with After, and only there')
    return Part(name, where[0], ' '.join(fields[where[0]].split()),
                [pattern if pattern.startswith('tests/') else MODULE + pattern
                 for pattern in fields['Files'].split()], message.strip())


def read_parts(folder):
    """All of them, in the order of their names."""
    parts = []
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), encoding='utf-8') as file:
            parts.append(parse(name, file.read()))
    return parts


def only_there(text, folder, there):
    """A meson.build in @folder, without files of its lists that are not."""
    def keep(match):
        path = os.path.normpath(os.path.join(folder, match[1]))
        return match[0] if path in there else ''
    return LISTED.sub(keep, text)


class Export:
    """
    git: runs git in the tree, gives what it prints
    files: {path in the tree: path of the file}
    """
    def __init__(self, tree, git, files, parts):
        self._tree = tree
        self._git = git
        self._files = files
        self._parts = list(parts)
        self._there = set()

    def _bring(self, part):
        found = {path for path in self._files for pattern in part.patterns
                 if fnmatch.fnmatchcase(path, pattern)}
        if not found - self._there:
            raise ValueError(f'{part.name}: brings no file')
        self._there |= found
        lists = {path for path in self._there
                 if os.path.basename(path) == 'meson.build'}
        for path in sorted(found | lists):
            with open(self._files[path], encoding='utf-8') as file:
                text = file.read()
            if path in lists:
                text = only_there(text, os.path.dirname(path), self._there)
            target = os.path.join(self._tree, path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, 'w', encoding='utf-8') as file:
                file.write(text)
            os.chmod(target, os.stat(self._files[path]).st_mode & 0o777)
            self._git('add', '-f', path)
        self._check_includes(part, found)

    def _check_includes(self, part, brought):
        for path in brought:
            with open(self._files[path], encoding='utf-8') as file:
                names = INCLUDED.findall(file.read())
            for name in names:
                for known in (name, MODULE + name, os.path.normpath(
                        os.path.join(os.path.dirname(path), name))):
                    if known in self._files and known not in self._there:
                        raise ValueError(f'{part.name}: {path} includes '
                                         f'{known}, which comes later')

    def _due(self, where, subject):
        due = [part for part in self._parts
               if (part.where, part.subject) == (where, subject)]
        for part in due:
            self._parts.remove(part)
        return due

    def _follow(self, subject):
        for part in self._due('After', subject):
            self._bring(part)
            self._git('commit', '-q', '-m', part.message, '--author',
                      self._git('log', '-1', '--format=%an <%ae>').strip())
            self._follow(part.message.partition('\n')[0])

    def run(self, commits):
        """Each of @commits, and what comes with it and behind it."""
        for commit in commits:
            self._git('cherry-pick', '--allow-empty', commit)
            subject = self._git('log', '-1', '--format=%s').strip()
            into = self._due('Into', subject)
            for part in into:
                self._bring(part)
            if into:
                self._git('commit', '-q', '--amend', '--no-edit')
            self._follow(subject)
        if self._parts:
            raise ValueError('no patch is called so: ' + ', '.join(
                f'{part.name}: "{part.subject}"' for part in self._parts))
        left = sorted(set(self._files) - self._there)
        if left:
            raise ValueError('no patch brings ' + ' '.join(left))


def main():
    parser = argparse.ArgumentParser(
        description='adds the module to the commits base..hybrid of TREE')
    parser.add_argument('tree')
    parser.add_argument('parts', help='the folder qemu-patches/module')
    parser.add_argument('--branch', default='export')
    args = parser.parse_args()

    def git(*words):
        return subprocess.run(['git', '-C', args.tree, *words], check=True,
                              stdout=subprocess.PIPE, text=True).stdout
    #: "file path-in-the-tree", a line each
    files = dict(reversed(line.split()) for line in sys.stdin)
    commits = git('rev-list', '--reverse', 'base..hybrid').split()
    git('checkout', '-q', '-B', args.branch, 'base')
    try:
        Export(args.tree, git, files, read_parts(args.parts)).run(commits)
    except ValueError as exc:
        sys.exit(f'export: {exc}')


if __name__ == '__main__':
    main()
