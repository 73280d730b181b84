"""A guest whose devices are vhost-user backends, one at each side.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from types import SimpleNamespace

from common import PATCHED, Skip, booted, check, equal, wait_until
from hybridmig import paths
from hybridmig.migrate import Migration
from qtest import Queue, Qtest

MIB = 1 << 20
SLOT, FEATURES = 9, 0
#: In memory that the guest does not use
QUEUE, PLACE = 88 << 20, 80 << 20
PAGES = 16
SMALL = {'bare': True, 'mem': 96, 'pages': 8192, 'rate': '200mbit'}
WORK = 'hot pages=4000 rate=100000'
MEMORY = ['-object', 'memory-backend-memfd,id=mem0,size=96M,share=on',
          '-machine', 'memory-backend=mem0']
DEVICES = {
    'blk': [f'vhost-user-blk-pci,chardev=vu,addr={SLOT},num-queues=1,'
            'disable-modern=on,disable-legacy=off'],
    'net': [f'virtio-net-pci,netdev=vu,addr={SLOT},mq=on,romfile=,'
            'disable-modern=on,disable-legacy=off']}


def needs_vhost_user(device):
    # Without a backend it does not start, if only for want of that
    without = {'blk': ['-device', 'vhost-user-blk-pci,chardev=none'],
               'net': ['-netdev', 'vhost-user,id=net,chardev=none']}[device]
    said = subprocess.run([paths.built(PATCHED), '-display', 'none',
                           '-machine', 'pc,accel=qtest', '-nodefaults',
                           *without], check=False, capture_output=True,
                          text=True).stderr
    if 'not compiled' in said or 'not a valid device' in said:
        raise Skip(f'this QEMU was built without vhost-user for {device}')
    check('none' in said, f'for want of something else: {said}')


class Backend:
    """The process of one side."""
    def __init__(self, folder, side, kind):
        self.path = os.path.join(folder, f'{side}.vu')
        self._log = open(os.path.join(folder, f'{side}.backend'), 'ab')
        self._process = subprocess.Popen(
            [sys.executable, os.path.join(os.path.dirname(__file__),
                                          'vhost_backend.py'),
             self.path, kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._log, text=True)
        if not os.path.exists(self.path) or kind == 'waits':
            equal(self._process.stdout.readline(), 'ready\n', 'the backend')

    def ask(self, *words):
        self._process.stdin.write(' '.join(map(str, words)) + '\n')
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def page(self, number):
        """It waits for it."""
        return self.ask('read', PLACE + number * 4096, 8)

    def reads(self, number):
        """Begins to; returns what waits for the answer."""
        answer = []
        thread = threading.Thread(
            target=lambda: answer.append(self.page(number)), daemon=True)
        thread.start()

        def wait(timeout=20):
            thread.join(timeout)
            check(answer, f'page {number} never came to the backend')
            return answer[0]
        return wait

    def kill(self):
        self._process.kill()
        self._process.communicate()
        self._log.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


def wanted(number):
    """What is written to that page while the guest is stopped."""
    return (0xabcd0000 + number).to_bytes(8, 'big').hex()


class Shared:
    """The pair, and its backends."""
    def __init__(self, pair, folder, backends):
        self.pair, self.folder, self.backends = pair, folder, backends
        self._src = Qtest(SimpleNamespace(
            folder=folder, callback=pair.run.callback), 'src')
        Queue(self._src, SLOT, 0, FEATURES, QUEUE)
        wait_until(lambda: int(backends['src'].ask('regions')) > 0,
                   'the backend knows the memory')

    def start(self, caps=None, **parameters):
        """On demand, with PAGES that have never been sent, to paging."""
        migration = Migration(self.pair, parameters={
            'hybrid-max-rounds': 1, 'hybrid-push-policy': 'on-demand',
            **{name.replace('_', '-'): value
               for name, value in parameters.items()}})
        migration.at_both({'pause-before-switchover': True, **(caps or {})})
        migration.start()
        return migration

    def switch(self, migration):
        migration.wait_status('src', 'pre-switchover')
        for number in range(PAGES):
            self._src.write(PLACE + number * 4096,
                            bytes.fromhex(wanted(number)))
        self.pair.src.qmp('migrate-continue', {'state': 'pre-switchover'})
        check(migration.wait_phase('paging'), 'no paging')
        wait_until(lambda: int(self.backends['dst'].ask('regions')) > 0,
                   'the backend knows the memory')

    def end(self, migration):
        self.pair.src.set_parameters({'hybrid-push-policy': 'bubble'})
        equal(migration.wait_end(), 'completed', 'ended as')
        migration.wait_status('dst', 'completed', timeout=20)


@contextlib.contextmanager
def shared(logs, kind='blk', dst_kind=None, chardev='', device=None):
    """chardev: more of the destination's"""
    needs_vhost_user(device or kind)
    with tempfile.TemporaryDirectory(prefix='vu-') as folder:
        backends = {'src': Backend(folder, 'src', kind),
                    'dst': Backend(folder, 'dst', dst_kind or kind)}

        def line(side, more=''):
            args = ['-chardev', f'socket,id=vu,path={folder}/{side}.vu{more}']
            if (device or kind) == 'net':
                args += ['-netdev', 'vhost-user,chardev=vu,id=vu,queues=2']
            for text in DEVICES[device or kind]:
                args += ['-device', text]
            return MEMORY + args
        where = SimpleNamespace(folder=folder)
        try:
            with booted(logs, WORK, link={
                    'src_extra': line('src') + Qtest.arguments(where, 'src')},
                    dst_extra=line('dst', chardev), replayed=False,
                    **SMALL) as pair:
                yield Shared(pair, folder, backends)
        finally:
            for backend in backends.values():
                backend.kill()
