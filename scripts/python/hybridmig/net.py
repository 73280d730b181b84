"""Two network namespaces and the link between them.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import ctypes
import os
import re
import socket
import subprocess
import threading

from . import paths
from .runs import command, delete_namespace

SRC_ADDRESS = '10.99.0.1'
DST_ADDRESS = '10.99.0.2'
DEVICE = 'mig0'
DELAY_MAX_MS = 1000
QUEUE_MAX_MS = 1000
LINE_MIN, LINE_MAX = 4 << 20, 64 << 20
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


def in_namespace(name, function):
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


class DelayLine:
    """The program that carries what is sent over a link with delay."""
    def __init__(self, names, delay_ms, rate):
        # Twice what the link holds; of an unlimited one, what is sensible.
        room = rate // 8 * delay_ms / 1000 * 2 if rate else LINE_MAX
        room = int(min(max(room, LINE_MIN), LINE_MAX))
        program = paths.need_file(paths.tool('delay-link'),
                                  'the program for links with delay')
        self._process = subprocess.Popen(
            ['setsid', 'setpriv', '--pdeathsig', 'KILL', program,
             names['src'], names['dst'], DEVICE, str(round(delay_ms * 1000)),
             str(room)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        if self._process.stdout.readline() != 'ready\n':
            error = self._process.stderr.read().strip()
            self.stop()
            raise RuntimeError(f'no link with delay: {error}')

    def counters(self):
        """{side: counters} of what was sent by that side.

        packets and bytes delivered, packets dropped because too many were
        under way or the other side was down, and late_us, the longest time
        that one came later than the delay says.
        """
        self._process.stdin.write('?\n')
        self._process.stdin.flush()
        words = list(map(int, self._process.stdout.readline().split()))
        names = ('packets', 'bytes', 'dropped', 'late_us')
        return {'src': dict(zip(names, words[:4])),
                'dst': dict(zip(names, words[4:]))}

    def stop(self):
        self._process.kill()
        self._process.communicate()


class Link:
    """Namespaces "src" and "dst" joined by a link of limited rate.

    rate:     of each direction, as rate_bits() reads it
    queue_ms: the depth of the queue in front of each direction, as the time
              that the link takes to send what is in it; short, as that of a
              network card. What comes when it is full is dropped.
    delay_ms: how long a packet is under way in each direction; 0 is a veth

    The rate and the queue are the kernel's tbf either way.
    """
    def __init__(self, run, rate='1gbit', queue_ms=10, delay_ms=0,
                 retries=RETRIES, congestion=None):
        if not 0 <= delay_ms <= DELAY_MAX_MS:
            raise ValueError(f'delay of the link: {delay_ms} ms is not '
                             f'between 0 and {DELAY_MAX_MS} ms')
        if not 1 <= queue_ms <= QUEUE_MAX_MS:
            raise ValueError(f'queue of the link: {queue_ms} ms is not '
                             f'between 1 and {QUEUE_MAX_MS} ms')
        self.rate = rate_bits(rate)
        self.queue_ms = queue_ms
        self.delay_ms = delay_ms
        self.retries = retries
        self.congestion = congestion    # of TCP; None: the machine's
        self.line = None        # of a link with delay
        self.names = {}
        self.cut_mode = None
        self._lock = threading.Lock()
        base = run.unique()
        for side in ('src', 'dst'):
            name = f'{base}-{side}'
            run.callback(delete_namespace, name)
            command('ip', 'netns', 'add', name)
            self.names[side] = name
        self._join(run)

    def _ip(self, side, *argv):
        return command('ip', '-n', self.names[side], *argv)

    def _join(self, run):
        if self.delay_ms:
            self.line = DelayLine(self.names, self.delay_ms, self.rate)
            run.callback(self.line.stop)
        else:
            command('ip', 'link', 'add', DEVICE, 'netns', self.names['src'],
                    'type', 'veth', 'peer', 'name', DEVICE,
                    'netns', self.names['dst'])
        for side, address in (('src', SRC_ADDRESS), ('dst', DST_ADDRESS)):
            command('ip', 'netns', 'exec', self.names[side], 'sh', '-c',
                    'echo 2 >/proc/sys/net/ipv4/tcp_syn_retries;'
                    'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6 '
                    '2>/dev/null; :')
            if self.congestion:
                command('ip', 'netns', 'exec', self.names[side], 'sh', '-c',
                        f'echo {self.congestion} '
                        '>/proc/sys/net/ipv4/tcp_congestion_control')
            self._ip(side, 'link', 'set', 'lo', 'up')
            self._ip(side, 'addr', 'add', f'{address}/24', 'dev', DEVICE)
            self._ip(side, 'link', 'set', DEVICE, 'up')
            if self.rate:
                self._shape(side, 'add')
        self.set_retries(self.retries)
        self._buffers()

    def _buffers(self):
        """Let TCP have four times what is under way and in the queue."""
        both_ways = (2 * self.delay_ms + self.queue_ms) / 1000
        wanted = int(4 * self.rate / 8 * both_ways)
        for side in ('src', 'dst') if self.delay_ms else ():
            command('ip', 'netns', 'exec', self.names[side], 'sh', '-c',
                    'for file in tcp_rmem tcp_wmem; do'
                    '    read least usual most </proc/sys/net/ipv4/$file;'
                    f'    [ "$most" -ge {wanted} ] ||'
                    f'    echo "$least $usual {wanted}"'
                    '        >/proc/sys/net/ipv4/$file;'
                    'done')

    def _burst(self):
        # What passes in half a millisecond, but never less than one segment
        # as TCP hands it down.
        return max(80_000, self.rate // 8 // 2000)

    def _shape(self, side, verb):
        command('tc', '-n', self.names[side], 'qdisc', verb, 'dev', DEVICE,
                'root', 'tbf', 'rate', f'{self.rate}bit',
                'burst', str(self._burst()), 'latency', f'{self.queue_ms}ms')

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
        self._buffers()

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

    def queue_limit_ms(self):
        """How long a packet waits at most: the queue, and tbf's burst."""
        return self.queue_ms + self._burst() * 8000 / self.rate

    def drops(self, side='src'):
        """Packets of one side that were dropped, for the queue was full."""
        text = command('tc', '-n', self.names[side], '-s', 'qdisc', 'show',
                       'dev', DEVICE, 'root')
        return int(re.search(r'dropped (\d+)', text)[1])

    def connected_pair(self):
        """A TCP connection over the link: sockets of source, destination."""
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(
                in_namespace(self.names['dst'],
                              lambda: socket.create_server((DST_ADDRESS, 0))))
            listener.settimeout(10)
            port = listener.getsockname()[1]
            source = in_namespace(
                self.names['src'],
                lambda: socket.create_connection((DST_ADDRESS, port), 10))
            source.settimeout(None)
            destination = listener.accept()[0]
            destination.settimeout(None)
            return source, destination
