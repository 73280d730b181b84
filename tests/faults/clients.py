"""Clients of a QEMU that behave badly, and hands on its sockets and limits.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import ctypes
import json
import os
import resource
import socket
import time

import memory

CAPABILITIES = {'execute': 'qmp_capabilities'}
#: Its answer is some 200 KiB long: a few fill any pipe.
LONG = {'execute': 'query-qmp-schema'}
MANY = 8
_PIDFD_OPEN, _PIDFD_GETFD = 434, 438
PORTS = range(4444, 4461)
_libc = ctypes.CDLL(None, use_errno=True)


# ---- a second client of the monitor ----

def _path(world, side):
    return os.path.join(world.run.folder, f'{side}.second')


def second_monitor(world):
    """Arguments of both QEMUs, for clients that come and go."""
    for side in ('src', 'dst'):
        added = ['-chardev', f'socket,id=second,path={_path(world, side)},'
                 'server=on,wait=off', '-mon', 'chardev=second,mode=control']
        world.pair.extra[side] += added
        world.pair.side(side).extra += added


def _connect(world, side):
    """It need not be answered: the main loop may be held at the point."""
    client = socket.socket(socket.AF_UNIX)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(_path(world, side))
    world.run.callback(client.close)
    return client


def _say(client, *commands):
    client.sendall(b''.join(json.dumps(c).encode() + b'\n' for c in commands))


def vanishes(side):
    """Ends in the middle of a command, with answers that nobody has read."""
    def act(world):
        client = _connect(world, side)
        _say(client, CAPABILITIES, LONG, {'execute': 'query-migrate'})
        client.sendall(b'{"execute": "migrate_cancel", "argu')
        time.sleep(0.3)
        client.close()
    return act


def reads_nothing(side):
    """Asks for much, and takes no byte of it, nor of the events."""
    def act(world):
        client = _connect(world, side)
        _say(client, CAPABILITIES, *[LONG] * MANY)
        time.sleep(0.3)
        world.deaf = client         # kept open
    return act


# ---- its connections ----

def _sockets(pid):
    """Duplicates of the process's connections of a migration."""
    handle = _libc.syscall(_PIDFD_OPEN, pid, 0)
    if handle < 0:
        return
    try:
        for number in os.listdir(f'/proc/{pid}/fd'):
            copy = _libc.syscall(_PIDFD_GETFD, handle, int(number), 0)
            if copy < 0:
                continue
            try:
                found = socket.socket(fileno=copy)
            except OSError:
                os.close(copy)      # no socket
                continue
            with found:
                yield found
    finally:
        os.close(handle)


def _ports(sock):
    """(the source's port, the destination's port), or None."""
    try:
        here, there = sock.getsockname(), sock.getpeername()
    except OSError:
        return None
    if sock.family != socket.AF_INET:
        return None
    if there[1] in PORTS:
        return here[1], there[1]
    return (there[1], here[1]) if here[1] in PORTS else None


def half_close(side, how):
    """
    The main connection is closed in one direction, as a middlebox or a peer
    does that is half gone.  Found by the ports: the source's first is main.
    """
    def act(world):
        pid = world.pair.side(side).machine.get_pid()
        found = sorted(filter(None, map(_ports, _sockets(pid))))
        for sock in _sockets(pid):
            if found and _ports(sock) == found[0]:
                sock.shutdown(how)
                return
    return act


# ---- its memory ----

def out_of_memory(world):
    """Its host has nothing left: the kernel kills it when it wants more."""
    dst = world.pair.dst
    group = memory.Cgroup(1 << 20)
    world.run.callback(group.close)
    # At the end: what is killed is gone only then
    world.run.callback(dst.kill)
    dst._killed = True          # whoever looks why it has died
    group.take(dst)
    world.group = group


def memory_again(world):
    world.group._write('memory.limit_in_bytes' if '/memory/' in
                       world.group.path else 'memory.max', 1 << 40)


def no_more_memory(world):
    """No mapping more than it has: it ends itself when it wants one."""
    dst = world.pair.dst
    pid = dst.machine.get_pid()
    dst._killed = True
    with open(f'/proc/{pid}/statm', encoding='ascii') as statm:
        now = int(statm.read().split()[0]) * resource.getpagesize()
    resource.prlimit(pid, resource.RLIMIT_AS, (now, resource.RLIM_INFINITY))


def memory_unlimited(world):
    resource.prlimit(world.pair.dst.machine.get_pid(), resource.RLIMIT_AS,
                     (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


# ---- a snapshot ----

NODE = 'late'


def snapshot_disk(world):
    """A qcow2 node at both, which is no disk of the guest's."""
    path = os.path.join(world.run.folder, 'snapshot.qcow2')
    qmp = world.pair.src.qmp
    with open(path, 'wb'):
        pass
    qmp('blockdev-add', {'driver': 'file', 'node-name': 'new',
                         'filename': path})
    qmp('blockdev-create', {'job-id': 'new', 'options': {
        'driver': 'qcow2', 'file': 'new', 'size': 1 << 24}})
    world.pair.log.wait(lambda: world.pair.log.find(
        'src', 'JOB_STATUS_CHANGE', id='new', status='concluded'), 20,
        'the image is made')
    qmp('job-dismiss', {'id': 'new'})
    qmp('blockdev-del', {'node-name': 'new'})
    for guest in world.pair.guests:
        guest.qmp('blockdev-add', {
            'driver': 'qcow2', 'node-name': NODE,
            'file': {'driver': 'file', 'filename': path}})


SNAPSHOT = {'job-id': 'snapshot', 'tag': 'one', 'vmstate': NODE,
            'devices': [NODE]}
