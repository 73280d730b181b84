"""Where QEMU, its Python packages, the guest and the firmware are.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), '../../..'))
BUILD = os.environ.get('HYBRID_BUILD') or os.path.join(ROOT, 'build')
FIRMWARE = ('/usr/share/seabios', '/usr/share/qemu', '/usr/lib/ipxe/qemu')


class SetupError(Exception):
    """Something that is needed is not there; says what to do."""


def built(name):
    """The QEMU of a build: "qemu" is patched, "qemu-base" is not."""
    return os.path.join(BUILD, name, 'qemu-system-x86_64')


def kernel():
    return os.path.join(BUILD, 'guest', 'vmlinuz')


def initrd():
    return os.path.join(BUILD, 'guest', 'initrd.gz')


def bare(name):
    """Of the guest without an operating system, see tests/guest/bare."""
    return os.path.join(BUILD, 'guest', 'bare', name)


def programs_initrd():
    """The same with Redis, SQLite and a network card."""
    return os.path.join(BUILD, 'guest', 'initrd-programs.gz')


def tool(name):
    """A small program of the project, compiled by the set-up."""
    return os.path.join(BUILD, 'tools', name)


def need_file(path, what):
    if not os.path.isfile(path):
        raise SetupError(f'{what} not found: {path}\n'
                         'scripts/setup builds it; options name another one '
                         '(scripts/harness --help)')
    return os.path.abspath(path)


def source_tree(binary):
    """The QEMU source tree that a binary was built in, or None."""
    folder = os.path.dirname(os.path.realpath(binary))
    for candidate in (os.path.dirname(folder), folder):
        if os.path.isdir(os.path.join(candidate, 'python/qemu/machine')):
            return candidate
    return None


def use_qemu_python(explicit=None, binary=None):
    """Put QEMU's own Python packages (qemu.qmp, qemu.machine) on the path."""
    candidates = [explicit] if explicit else []
    if not explicit:
        candidates += [os.path.join(BUILD, tree, 'python')
                       for tree in ('qemu-src', 'qemu-base-src')]
        tree = source_tree(binary) if binary else None
        if tree:
            candidates.append(os.path.join(tree, 'python'))
    for folder in candidates:
        if os.path.isfile(os.path.join(folder, 'qemu/machine/machine.py')):
            if folder not in sys.path:
                sys.path.insert(0, os.path.abspath(folder))
            return folder
    raise SetupError("QEMU's Python packages not found in: " +
                     ', '.join(candidates) +
                     '\nscripts/setup fetches them, --qemu-python names '
                     'another folder')


def firmware_args(binary):
    """-L options, only for a build whose own firmware folder lacks it."""
    share = os.path.join(os.path.dirname(os.path.realpath(binary)),
                         'qemu-bundle/usr/local/share/qemu/bios-256k.bin')
    args = []
    if not os.path.exists(share):
        for folder in FIRMWARE:
            if os.path.isdir(folder):
                args += ['-L', folder]
    return args
