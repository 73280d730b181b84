"""Disks of a pair that both QEMUs open, and others that want to lock them.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import fcntl
import os
import struct

MIB = 1 << 20
#: file-posix.c: whoever holds a lock here lets nobody else write.
_UNSHARED_WRITE = 201


class Disk:
    """An image, and a virtio disk made of it at both sides."""
    def __init__(self, pair, name, driver='raw', size=16 * MIB, **device):
        self.pair = pair
        self.name = name
        self.path = os.path.join(pair.run.folder, f'{name}.{driver}')
        with open(self.path, 'wb') as image:
            if driver == 'raw':
                image.truncate(size)
        if driver != 'raw':
            self._create(driver, size)
        for guest in (pair.src, pair.dst):
            self.attach(guest, driver, device)

    def _create(self, driver, size):
        qmp = self.pair.src.qmp
        qmp('blockdev-add', {'driver': 'file', 'node-name': 'new',
                             'filename': self.path})
        qmp('blockdev-create', {'job-id': 'new', 'options': {
            'driver': driver, 'file': 'new', 'size': size}})
        self.pair.log.wait(lambda: self.pair.log.find(
            'src', 'JOB_STATUS_CHANGE', id='new', status='concluded'), 20,
            'the image is made')
        qmp('job-dismiss', {'id': 'new'})
        qmp('blockdev-del', {'node-name': 'new'})

    def attach(self, guest, driver, device=None):
        guest.qmp('blockdev-add', {
            'driver': driver, 'node-name': self.name,
            'file': {'driver': 'file', 'filename': self.path,
                     'locking': 'on'}})
        guest.qmp('device_add', {'driver': 'virtio-blk-pci', 'id': self.name,
                                 'drive': self.name, **(device or {})})

    def io(self, guest, command):
        """As the guest's own requests go, through the device."""
        path = f'/machine/peripheral/{self.name}/virtio-backend'
        return guest.qmp('human-monitor-command', {
            'command-line': f'qemu-io -d {path} "{command}"'})

    def active(self, guest):
        nodes = guest.qmp('query-named-block-nodes', {'flat': True})
        return next(node['active'] for node in nodes
                    if node['node-name'] == self.name)

    @contextlib.contextmanager
    def taken(self):
        """Another process has the image, and shares it with no writer."""
        lock = struct.pack('hhqqi', fcntl.F_RDLCK, os.SEEK_SET,
                           _UNSHARED_WRITE, 1, 0)
        with open(self.path, 'rb') as image:
            fcntl.fcntl(image, fcntl.F_OFD_SETLK, lock)
            yield
