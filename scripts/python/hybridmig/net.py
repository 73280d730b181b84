"""Two network namespaces and the link between them.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import ctypes
import os
import re
import socket
import threading

from .runs import command, delete_namespace

SRC_ADDRESS = '10.99.0.1'
DST_ADDRESS = '10.99.0.2'
DEVICE = 'mig0'
NOWHERE = '02:00:00:00:00:fe'
CLONE_NEWNET = 0x40000000

CUT_MODES = ('blackhole', 'down', 'reset', 'to-src', 'to-dst')

# 0.2 s, doubled at each retransmission: a cut is noticed after about 3 s,
# where the kernel's default of 15 takes a quarter of an hour.
RETRIES = 3


def rate_bits(text):
    """"1gbit", "400mbit" as bits per second; 0 for "unlimited"."""
    if text in ('0', 'unlimited', None):
        return 0
    match = re.fullmatch(r'(\d+(?:\.\d+)?)\s*([kmg]?)bit', text.lower())
    if not match:
        raise ValueError(f'not a rate: {text!r} (say for example 1gbit, '
                         '400mbit or unlimited)')
    return int(float(match[1]) *
               {'': 1, 'k': 1e3, 'm': 1e6, 'g': 1e9}[match[2]])


def _in_namespace(name, function):
    """Call function in a thread that has entered the namespace."""
    result, error = [], []

    def body():
        try:
            fd = os.open(f'/run/netns/{name}', os.O_RDONLY | os.O_CLOEXEC)
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(fd, CLONE_NEWNET):
                    number = ctypes.get_errno()
                    raise OSError(number, os.strerror(number), name)
            finally:
                os.close(fd)
            result.append(function())
        except BaseException as exc:    # handed to the caller
            error.append(exc)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if error:
        raise error[0]
    return result[0]


class Link:
    """Namespaces "src" and "dst" joined by a veth of limited rate.

    The rate is that of each direction. The queue in front of the link is
    short, as that of a network card is.
    """
    def __init__(self, run, rate='1gbit', queue_ms=10, retries=RETRIES):
        self.rate = rate_bits(rate)
        self.queue_ms = queue_ms
        self.retries = retries
        self.names = {}
        self.cut_mode = None
        self._lock = threading.Lock()
        base = run.unique()
        for side in ('src', 'dst'):
            name = f'{base}-{side}'
            run.callback(delete_namespace, name)
            command('ip', 'netns', 'add', name)
            self.names[side] = name
        self._join()

    def _ip(self, side, *argv):
        return command('ip', '-n', self.names[side], *argv)

    def _join(self):
        command('ip', 'link', 'add', DEVICE, 'netns', self.names['src'],
                'type', 'veth', 'peer', 'name', DEVICE,
                'netns', self.names['dst'])
        for side, address in (('src', SRC_ADDRESS), ('dst', DST_ADDRESS)):
            command('ip', 'netns', 'exec', self.names[side], 'sh', '-c',
                    'echo 2 >/proc/sys/net/ipv4/tcp_syn_retries;'
                    'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6 '
                    '2>/dev/null; :')
            self._ip(side, 'link', 'set', 'lo', 'up')
            self._ip(side, 'addr', 'add', f'{address}/24', 'dev', DEVICE)
            self._ip(side, 'link', 'set', DEVICE, 'up')
            if self.rate:
                self._shape(side, 'add')
        self.set_retries(self.retries)

    def _shape(self, side, verb):
        # A burst of what passes in half a millisecond, but never less than
        # one segment as TCP hands it down.
        burst = max(80_000, self.rate // 8 // 2000)
        command('tc', '-n', self.names[side], 'qdisc', verb, 'dev', DEVICE,
                'root', 'tbf', 'rate', f'{self.rate}bit',
                'burst', str(burst), 'latency', f'{self.queue_ms}ms')

    def set_retries(self, retries):
        """How long TCP bears a dead link (tcp_retries2), at both ends."""
        self.retries = retries
        for name in self.names.values():
            command('ip', 'netns', 'exec', name, 'sh', '-c',
                    f'echo {retries} >/proc/sys/net/ipv4/tcp_retries2')

    def set_rate(self, rate):
        """Change the rate of a link that has one."""
        self.rate = rate_bits(rate)
        for side in ('src', 'dst'):
            self._shape(side, 'change')

    def wrapper(self, side):
        """The command in front of a process of that side.

        It is in a session of its own, so that Ctrl-C reaches only the harness,
        and dies with the harness. "setpriv" counts on being started by the
        thread that lives longest: start processes from the main thread.
        """
        return ['setsid', 'setpriv', '--pdeathsig', 'KILL',
                'ip', 'netns', 'exec', self.names[side]]

    def cut(self, mode='blackhole'):
        """Cut the link.

        blackhole: packets vanish, nobody is told;
        to-src, to-dst: the same, only in that direction;
        down:      as blackhole, and the network cards lose their carrier;
        reset:     as blackhole, and all TCP connections break at once.
        """
        with self._lock:
            if mode == 'down':
                for side in ('src', 'dst'):
                    self._ip(side, 'link', 'set', DEVICE, 'down')
            elif mode in CUT_MODES:
                if mode != 'to-src':
                    self._mislead('src', DST_ADDRESS)
                if mode != 'to-dst':
                    self._mislead('dst', SRC_ADDRESS)
                if mode == 'reset':
                    self.reset_connections()
            else:
                raise ValueError(f'no such way to cut a link: {mode}')
            self.cut_mode = mode

    def _mislead(self, side, peer):
        """Have packets to the peer carry an address that nobody has."""
        self._ip(side, 'neigh', 'replace', peer, 'lladdr', NOWHERE,
                 'dev', DEVICE, 'nud', 'permanent')

    def reset_connections(self):
        """Break all TCP connections of both sides, as a firewall would."""
        for side in ('dst', 'src'):
            command('ip', 'netns', 'exec', self.names[side],
                    'ss', '-K', '-t', 'state', 'established', check=False)

    def heal(self):
        """Undo a cut; one that is being made is waited for."""
        with self._lock:
            if self.cut_mode == 'down':
                for side in ('src', 'dst'):
                    self._ip(side, 'link', 'set', DEVICE, 'up')
            elif self.cut_mode:
                for side, peer in (('src', DST_ADDRESS), ('dst', SRC_ADDRESS)):
                    command('ip', '-n', self.names[side], 'neigh', 'del', peer,
                            'dev', DEVICE, check=False)
            self.cut_mode = None

    def bytes_sent(self, side='src'):
        """Bytes that left one side, headers included."""
        text = self._ip(side, '-s', 'link', 'show', DEVICE)
        lines = text.splitlines()
        for number, line in enumerate(lines):
            if line.strip().startswith('TX:'):
                return int(lines[number + 1].split()[0])
        raise RuntimeError(f'no counters in: {text}')

    def connected_pair(self):
        """A TCP connection over the link: sockets of source, destination."""
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(
                _in_namespace(self.names['dst'],
                              lambda: socket.create_server((DST_ADDRESS, 0))))
            listener.settimeout(10)
            port = listener.getsockname()[1]
            source = _in_namespace(
                self.names['src'],
                lambda: socket.create_connection((DST_ADDRESS, port), 10))
            source.settimeout(None)
            destination = listener.accept()[0]
            destination.settimeout(None)
            return source, destination
