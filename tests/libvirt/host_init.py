"""Process 1 of a host that is not one: namespaces, and a libvirt in them.

    host_init.py FOLDER NAME UUID

Runs in namespaces of its own (mounts, processes, network, host name). What
libvirt writes goes below FOLDER; the files of the system stay as they are and
stay visible, because no more than libvirt's own places are replaced.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import pathlib
import socket
import subprocess
import sys

# Who started libvirt gives QEMU its user: the packages needed here do not
# make one, and libvirt looks it up even if it is not going to use it.
USER = 'libvirt-qemu:x:64055:64055::/:/bin/false\n'
GROUP = 'libvirt-qemu:x:64055:\n'

LIBVIRTD = '''
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_group = "root"
host_uuid = "{uuid}"
log_filters = "2:qemu.qemu_monitor 3:*"
log_outputs = "2:file:/var/log/libvirt/libvirtd.log"
'''

# No service of the system is there to help: no cgroups, no logging daemon.
QEMU = '''
user = "root"
group = "root"
security_driver = "none"
dynamic_ownership = 0
remember_owner = 0
namespaces = []
cgroup_controllers = []
seccomp_sandbox = 0
stdio_handler = "file"
'''


def mount(*arguments):
    subprocess.run(['mount', *arguments], check=True)


def cover(place, private, own):
    """Put a folder over one of the system's that shows what it has, by links.

    Only the names in "own" are left out: the host's, or not for it to see.
    """
    original = pathlib.Path(f'{private}.system')
    original.mkdir(parents=True)
    private.mkdir()
    mount('--rbind', place, original)
    for name in os.listdir(original):
        if name not in own:
            (private / name).symlink_to(original / name)
    mount('--bind', private, place)
    return original


def prepare(folder, name, uuid):
    cover('/run', folder / 'run', ('libvirt', 'libvirtd.pid', 'guest',
                                   'dbus', 'systemd'))
    cover('/dev/shm', folder / 'shm', ('qemu-hybrid',))
    for place in ('lib', 'log', 'cache'):
        cover(f'/var/{place}', folder / 'var' / place, ('libvirt',))
        (folder / 'var' / place / 'libvirt').mkdir()
    etc = folder / 'etc'
    system = cover('/etc', etc, ('libvirt', 'passwd', 'group', 'hosts'))
    for file, entry in (('passwd', USER), ('group', GROUP)):
        lines = (system / file).read_text(encoding='utf-8',
                                          errors='surrogateescape')
        (etc / file).write_text(
            entry + ''.join(line for line in lines.splitlines(keepends=True)
                            if not line.startswith('libvirt-qemu:')),
            encoding='utf-8', errors='surrogateescape')
    (etc / 'hosts').write_text(f'127.0.0.1 localhost\n127.0.1.1 {name}\n',
                               encoding='ascii')
    (etc / 'libvirt').mkdir()
    (etc / 'libvirt/libvirtd.conf').write_text(LIBVIRTD.format(uuid=uuid),
                                               encoding='ascii')
    (etc / 'libvirt/qemu.conf').write_text(QEMU, encoding='ascii')
    pathlib.Path('/run/guest').mkdir()
    socket.sethostname(name)


def main(folder, name, uuid):
    prepare(pathlib.Path(folder), name, uuid)
    environment = dict(os.environ, LC_ALL='C', HOME='/run')
    daemon = subprocess.Popen(['libvirtd'], stdin=subprocess.DEVNULL,
                              env=environment)
    # QEMUs are daemons: whoever is process 1 is their parent.
    while True:
        pid, status = os.wait()
        if pid == daemon.pid:
            sys.exit(f'libvirtd ended with status {status}')


if __name__ == '__main__':
    main(*sys.argv[1:])
