"""An operator ends one of the two QEMUs.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import os
import random
import signal
import socket
import struct
import subprocess
import time

from cases_lost import PATIENCE, _not_at_source, _start
from cases_missing import answers, paused
from common import PATCHED, booted, check, equal, exits, stands_still, \
    wait_until
from hybridmig import paths
from hybridmig.monitor import QmpLost
from hybridmig.runs import Run
from nbd import SlowDisk


def _quit_with_disk(logs, end):
    """
    The destination misses a page; what was written to its disk is flushed
    before it ends, however long that takes.
    """
    with paused(logs) as (pair, _migration):
        disk = SlowDisk(f'{pair.run.folder}/nbd.sock')
        dst = pair.dst
        dst.qmp('blockdev-add', {'node-name': 'slow', 'driver': 'nbd',
                                 'server': {'type': 'unix',
                                            'path': disk.path}})
        dst.qmp('human-monitor-command', {
            'command-line': 'qemu-io slow "write 0 64k"'})
        equal(disk.writes, 1, 'writes')
        disk.flush_takes = 7
        begin = time.monotonic()
        end(dst)
        check(exits(dst, 60), 'the destination does not end')
        took = time.monotonic() - begin
        check(disk.flushes >= 1, f'not flushed, it ended after {took:.1f} s')
        disk.close()
        _not_at_source(pair)


def _sigterm(guest):
    os.kill(guest.machine.get_pid(), signal.SIGTERM)


def sigterm_flushes(logs):
    _quit_with_disk(logs, _sigterm)


def quit_flushes(logs):
    _quit_with_disk(logs, lambda guest: guest.monitor.command(
        'quit', oob=True))


def quit_while_stopping(logs):
    """
    "stop" waits for a vCPU that misses a page of a silent connection, and
    "quit" ends that.
    """
    with booted(logs, 'hot pages=6000 rate=100000', bare=True, pages=8000,
                rate='unlimited') as pair:
        migration, channels = _start(pair, False, **{
            'downtime-limit': 1, 'max-bandwidth': 64 << 20})
        migration.wait_phase('paging', PATIENCE)
        for connection in channels.connections:
            connection.stall()
        stands_still(pair, 'dst')
        in_order = answers(pair.dst)    # or in an exception, with the BQL
        try:
            pair.dst.monitor.command('stop', timeout=2)
        except QmpLost:
            pass                # it does not answer
        pair.dst.monitor.command('quit', oob=True)
        check(exits(pair.dst, 40), 'the destination does not end')
        check(not in_order or 'Not waiting for a vCPU' in pair.dst.output(),
              'it has not ended in order')
        _not_at_source(pair)


def quit_in_a_recording(logs):
    """Out of band, under record/replay."""
    with Run(logs=logs) as run:
        path = f'{run.folder}/rr.sock'
        with subprocess.Popen([
                paths.built(PATCHED), '-M', 'q35', '-nodefaults', '-display',
                'none', '-accel', 'tcg', '-icount',
                f'shift=auto,rr=record,rrfile={run.folder}/rr.bin',
                '-qmp', f'unix:{path},server=on,wait=off']) as qemu:
            try:
                with socket.socket(socket.AF_UNIX) as qmp:
                    wait_until(lambda: not qmp.connect_ex(path), 'no monitor')
                    stream = qmp.makefile('rb')
                    stream.readline()
                    qmp.sendall(b'{"execute": "qmp_capabilities", '
                                b'"arguments": {"enable": ["oob"]}}')
                    stream.readline()
                    qmp.sendall(b'{"exec-oob": "quit", "id": 1}')
                    equal(qemu.wait(20), 0, 'ended with')
            finally:
                qemu.kill()


def _monitor(path):
    qmp = socket.socket(socket.AF_UNIX)
    qmp.settimeout(15)
    wait_until(lambda: not qmp.connect_ex(path), 'no monitor')
    qmp.recv(4096)
    qmp.sendall(b'{"execute": "qmp_capabilities", '
                b'"arguments": {"enable": ["oob"]}}')
    qmp.recv(4096)
    return qmp


def quit_while_asked(logs):
    """
    Clients send commands up to the end.  Upstream's QEMU ends by SIGSEGV in
    one of twenty or thirty.
    """
    command = b'{"execute": "query-status"}'
    for turn in range(100):
        with Run(logs=logs) as run, contextlib.ExitStack() as clean:
            paths_of = [f'{run.folder}/{n}.sock' for n in range(24)]
            qemu = clean.enter_context(subprocess.Popen([
                paths.built(PATCHED), '-M', 'none', '-m', '4M', '-nodefaults',
                '-display', 'none', *(
                    word for path in paths_of for word in
                    ('-qmp', f'unix:{path},server=on,wait=off'))]))
            clean.callback(qemu.kill)
            first, *others = [clean.enter_context(_monitor(path))
                              for path in paths_of]
            first.sendall(b'{"execute": "quit"}')
            while others and qemu.poll() is None:
                one = random.choice(others)
                try:
                    one.send(command, socket.MSG_DONTWAIT)
                except OSError:
                    others.remove(one)
                time.sleep(random.random() / 10000)
            equal(qemu.wait(20), 0, f'turn {turn}: ended with')


def return_path_is_full(logs):
    """A source that asks, and reads no answer: the monitor answers."""
    with Run(logs=logs) as run:
        path, stream = (f'{run.folder}/{name}.sock' for name in ('qmp', 'in'))
        with subprocess.Popen([
                paths.built(PATCHED), '-M', 'none', '-m', '4M', '-nodefaults',
                '-display', 'none', '-qmp', f'unix:{path},server=on,wait=off',
                '-incoming', 'defer']) as qemu, \
                socket.socket(socket.AF_UNIX) as source:
            try:
                _flood(path, stream, source)
            finally:
                qemu.kill()


def _flood(path, stream, source):
    with socket.socket(socket.AF_UNIX) as qmp:
        # The path is there a moment before somebody listens
        wait_until(lambda: not qmp.connect_ex(path), 'no monitor')
        qmp.settimeout(15)
        answers = qmp.makefile('rb')
        answers.readline()

        def command(number, data=b''):
            return struct.pack('>BHH', 8, number, len(data)) + data

        def ask(command):
            qmp.sendall(command)
            while b'"return"' not in (line := answers.readline()):
                check(b'"error"' not in line, line)
        ask(b'{"execute": "qmp_capabilities"}')
        ask(b'{"execute": "migrate-set-capabilities", "arguments": '
            b'{"capabilities": [{"capability": "postcopy-ram", '
            b'"state": true}]}}')
        ask(b'{"execute": "migrate-incoming", "arguments": {"uri": "unix:%s", '
            b'"exit-on-error": false}}' % stream.encode())
        source.connect(stream)
        # The package makes the connection one that blocks
        package = command(4) + command(2, struct.pack('>I', 1)) * 40000
        source.sendall(b'QEVM' + struct.pack('>IBI', 3, 7, 4) + b'none' +
                       command(1) + command(3, struct.pack('>QQ', 4096, 4096)) +
                       command(7, struct.pack('>I', len(package))))
        try:
            source.sendall(package)
        except OSError:
            pass                # it has given up
        time.sleep(0.5)
        ask(b'{"execute": "query-status"}')


_ALL = (sigterm_flushes, quit_flushes, quit_while_stopping,
        quit_in_a_recording, quit_while_asked, return_path_is_full)
CASES = {f.__name__.replace('_', '-'): f for f in _ALL}
LONG = {'quit-flushes', 'quit-while-stopping'}
