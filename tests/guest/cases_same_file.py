"""Both QEMUs on one host were given the same file for the guest's memory.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import os
import shutil
import tempfile

from cases_memory import refused
from common import audit, booted

#: The least bare guest that is still handed over.
SMALL = {'bare': True, 'mem': 64, 'pages': 8192, 'rate': '200mbit'}
WORK = 'hot pages=4000 rate=100000'


@contextlib.contextmanager
def _folder():
    """On tmpfs: what else is refused for another reason."""
    folder = tempfile.mkdtemp(prefix='hm-same-', dir='/dev/shm')
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _refused(logs, share):
    """Before a hole is punched into the memory of the guest that runs."""
    with _folder() as folder:
        backend = f'memory-backend-file,id=ram,size=64M,share={share},' \
            f'mem-path={folder}/'
        with booted(logs, WORK, machine='pc,memory-backend=ram',
                    link={'src_extra': ['-object', f'{backend}ram']},
                    dst_extra=['-object', f'{backend}ram'],
                    **SMALL) as pair:
            refused(pair, "block 'ram'", 'the source has, too')
            audit(pair, 'src')


def same_file_shared(logs):
    _refused(logs, 'on')


def same_file_private(logs):
    """A template: what the guest never wrote is in the file only."""
    _refused(logs, 'off')


def same_file_linked(logs):
    """By another path, so nothing but the file itself tells."""
    with _folder() as folder:
        os.mkdir(f'{folder}/other')
        backend = 'memory-backend-file,id=ram,size=64M,share=on,mem-path='
        with open(f'{folder}/ram', 'wb') as file:
            file.truncate(64 << 20)
        os.link(f'{folder}/ram', f'{folder}/other/memory')
        with booted(logs, WORK, machine='pc,memory-backend=ram',
                    link={'src_extra': ['-object', f'{backend}{folder}/ram']},
                    dst_extra=['-object', f'{backend}{folder}/other/memory'],
                    **SMALL) as pair:
            refused(pair, "block 'ram'", 'the source has, too')
            pair.renew_destination()
            refused(pair, "block 'ram'", 'the source has, too')
            audit(pair, 'src')


CASES = {f.__name__.replace('_', '-'): f for f in (
    same_file_shared, same_file_private, same_file_linked)}
