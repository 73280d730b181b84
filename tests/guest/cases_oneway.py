"""Descriptors from which nothing comes back are refused at once.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import os

from common import audit, booted, check, equal
from hybridmig.migrate import Migration
from hybridmig.monitor import QmpError

SMALL = {'bare': True, 'mem': 64, 'pages': 8192, 'rate': '200mbit'}


@contextlib.contextmanager
def _file(folder, flags):
    fd = os.open(os.path.join(folder, 'file'), flags | os.O_CREAT)
    yield fd
    os.close(fd)


@contextlib.contextmanager
def _pipe(end):
    ends = os.pipe()
    yield ends[end]
    for fd in ends:
        os.close(fd)


@contextlib.contextmanager
def _fifo(folder):
    path = os.path.join(folder, 'fifo')
    os.mkfifo(path)
    fd = os.open(path, os.O_RDWR)
    yield fd
    os.close(fd)


def _refused(pair, migration, name):
    try:
        pair.src.qmp('migrate', {'uri': f'fd:{name}'})
    except QmpError as exc:
        check("'postcopy-ram' does not go with a file or a pipe" in str(exc),
              f'{name}: {exc}')
    else:
        raise AssertionError(f'{name} is accepted')
    info = migration.info()
    check('status' not in info, f'{name}: something has begun: {info}')
    check('answers nothing' in info['hybrid']['reason'], f'{info}')
    equal(pair.src.status(), 'running', f'{name}: the guest is')
    pair.src.qmp('closefd', {'fdname': name})   # it is still there


def fd_of_one_way(logs):
    with booted(logs, 'idle', **SMALL) as pair:
        migration = Migration(pair, transport='fd')
        migration.prepare()
        folder = pair.run.folder
        for name, opened in (
                ('file', _file(folder, os.O_RDWR)),
                ('log', _file(folder, os.O_WRONLY)),
                ('pipe-out', _pipe(1)), ('pipe-in', _pipe(0)),
                ('fifo', _fifo(folder))):
            with opened as fd:
                pair.src.monitor.give_fd(fd, name)
                _refused(pair, migration, name)
        equal(os.path.getsize(os.path.join(folder, 'file')), 0, 'written')
        # What there is no descriptor of is an error of its own.
        try:
            pair.src.qmp('migrate', {'uri': 'fd:nothing'})
        except QmpError as exc:
            check('has not been found' in str(exc), str(exc))
        migration = Migration(pair, transport='fd').start()
        equal(migration.wait_end(), 'completed', 'ended as')
        audit(pair, 'dst')


CASES = {'fd-of-one-way': fd_of_one_way}
