"""A Debian disk image that boots by itself, and is migrated.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import subprocess

from common import PATCHED, UNPATCHED, audit, booted, check, equal
from hybridmig import measure, paths
from hybridmig.lan import Session
from hybridmig.migrate import DST_CAPABILITIES, Migration
from hybridmig.runs import command

BOOT_S = 240
MEM_MIB = 384
#: More than the link carries, so that the guest is handed over.
WORK = 'hot pages=8000 rate=30000'


def _image(name):
    """The image of that name, made first if it is not there or is old."""
    done = subprocess.run([os.path.join(paths.ROOT, 'scripts/image'),
                           '--build-dir', paths.BUILD], check=False,
                          stdin=subprocess.DEVNULL, capture_output=True,
                          text=True)
    check(done.returncode == 0, f'scripts/image: {done.stderr[-800:]}')
    return os.path.join(paths.BUILD, 'images', name)


def _own_copy(run, image, disk_format):
    """The image itself is only read."""
    mine = os.path.join(run.folder, f'disk.{disk_format}')
    if disk_format == 'qcow2':
        command('qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'qcow2',
                '-b', image, mine)
    else:
        command('cp', '--sparse=always', image, mine)
    return mine


def _files(pair):
    line = pair.dst.ask('files', 120)
    return [line.number_of(name)
            for name in ('count', 'wrong', 'wrong-on-disk')]


def _count(pair):
    """Files that the guest has written and synced, as it said last."""
    lines = pair.console.reports()
    return lines[-1].number_of('files') if lines else 0


def _written(pair, more):
    """Until the guest has written so many more files."""
    start = _count(pair)
    check(pair.console.wait(lambda: _count(pair) >= start + more, 120),
          f'no {more} files written')


def _through(logs, build, disk_format, caps, prepare=None):
    """
    The guest boots from the image and is migrated. Files are written before,
    during and after, a TCP session lives on, and the twins of both checks
    fail.
    """
    image = _image(f'debian.{disk_format}')
    with booted(logs, WORK, src=build, dst=build, mem=MEM_MIB, network=True,
                boot_timeout=BOOT_S,
                disk=lambda run: _own_copy(run, image, disk_format)) as pair:
        session = Session(pair.lan)
        pair.src.ask('files start')
        _written(pair, 5)
        check(session.wait_answer(), 'no session before')
        migration = Migration(pair, src_caps=caps)
        if prepare:
            prepare(pair, migration)
        before = _count(pair)
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        check(_count(pair) > before, 'no file was written meanwhile')
        check(session.wait_answer(), f'no session after: {session.error}')
        _written(pair, 5)
        check(session.blackout_us() > measure.stop_to_resume_us(migration),
              f'a session that paused for {session.blackout_us()} us only')
        equal(session.stop(), None, 'what ended the TCP session')
        pair.dst.ask('files stop')
        count, *wrong = _files(pair)
        check(count >= 10, f'only {count} files')
        equal(wrong, [0, 0], 'wrong files in memory, on the disk')
        pair.dst.ask(f'corrupt-file {count // 2}')
        equal(_files(pair), [count, 1, 1], 'after a file was corrupted')
        audit(pair, 'dst')
        _still_whole(pair, disk_format)


def _still_whole(pair, disk_format):
    """The image's own structure, once nobody uses it."""
    pair.src.stop()
    pair.dst.stop()
    if disk_format == 'qcow2':
        command('qemu-img', 'check', '-q', pair.config.disk)


def disk_qcow2(logs):
    _through(logs, PATCHED, 'qcow2', None)


def disk_raw_unpatched(logs):
    def prepare(pair, migration):
        migration.when(lambda: pair.src.qmp('migrate-start-postcopy'),
                       'src', 'MIGRATION_PASS', **{'pass': 2})
    _through(logs, UNPATCHED, 'raw', DST_CAPABILITIES, prepare)


CASES = {f.__name__.replace('_', '-'): f for f in (
    disk_qcow2, disk_raw_unpatched)}
LONG = set(CASES)
