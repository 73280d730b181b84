"""The guest's own network: a LAN that both hosts are on, and clients.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time

from .net import in_namespace
from .runs import command, delete_namespace
from .waiting import until

CLIENT_ADDRESS = '10.98.0.1'
GUEST_ADDRESS = '10.98.0.2'
GUEST_MAC = '52:54:00:98:00:02'
SERVE_PORT = 7000           # as tests/guest/linux/net.c has it
SQLITE_PORT = 7001
REDIS_PORT = 6379
TAP = 'lan-tap'
_MASK = (1 << 64) - 1


class Lan:
    """A namespace for clients with a bridge, and a bridge at each host.

    It is apart from the link that migrations use, and not shaped. The guest's
    TAP device at each host is ready before QEMU starts. The guest keeps its
    address: after the switch the QEMU there announces it.
    """
    def __init__(self, run, link):
        self.name = f'{run.unique()}-lan'
        run.callback(delete_namespace, self.name)
        command('ip', 'netns', 'add', self.name)
        self._bridge(self.name)
        self._ip(self.name, 'link', 'set', 'lo', 'up')
        self._ip(self.name, 'addr', 'add', f'{CLIENT_ADDRESS}/24',
                 'dev', 'lan')
        for side, host in link.names.items():
            self._bridge(host)
            port = f'to-{side}'
            command('ip', 'link', 'add', port, 'netns', self.name,
                    'type', 'veth', 'peer', 'name', 'lan0', 'netns', host)
            self._ip(host, 'tuntap', 'add', TAP, 'mode', 'tap')
            for space, device in ((self.name, port), (host, 'lan0'),
                                  (host, TAP)):
                self._ip(space, 'link', 'set', device, 'master', 'lan', 'up')

    @staticmethod
    def _ip(name, *argv):
        return command('ip', '-n', name, *argv)

    def _bridge(self, name):
        # Without IPv6 nothing but the guest and its clients is heard.
        command('ip', 'netns', 'exec', name, 'sh', '-c',
                'echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6 '
                '2>/dev/null; :')
        self._ip(name, 'link', 'add', 'lan', 'type', 'bridge',
                 'stp_state', '0', 'forward_delay', '0')
        self._ip(name, 'link', 'set', 'lan', 'up')

    def wrapper(self):
        """The command in front of a client; it dies with the harness."""
        return ['setsid', 'setpriv', '--pdeathsig', 'KILL',
                'ip', 'netns', 'exec', self.name]

    @staticmethod
    def qemu_args():
        """The guest's network card, for both QEMUs."""
        # No option ROM: firmware shall not try to boot from it.
        return ['-netdev', f'tap,id=lan,ifname={TAP},script=no,downscript=no',
                '-device', f'virtio-net-pci,netdev=lan,mac={GUEST_MAC},'
                'romfile=']

    def connect(self, port=SERVE_PORT, timeout=10):
        """A TCP connection from a client to the guest."""
        return in_namespace(self.name, lambda: socket.create_connection(
            (GUEST_ADDRESS, port), timeout))


def expected_answer(number):
    """What the guest answers at SERVE_PORT: mix() of tests/guest/shared/pages.h."""
    x = (number + 0x9e3779b97f4a7c15) & _MASK
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9 & _MASK
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb & _MASK
    return x ^ (x >> 31)


class Session:
    """One TCP connection to the guest that is kept busy.

    A number is sent each period_s seconds or as soon as the one before is
    answered; answers are checked.
    """
    def __init__(self, lan, period_s=0.005, timeout=30, port=SERVE_PORT):
        self.answers = []       # time.monotonic() of each right answer
        self.took = []          # seconds, of each
        self.error = None       # what ended the session, if not stop()
        self._period = period_s
        self._socket = lan.connect(port, timeout)
        self._socket.settimeout(timeout)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            number = 0
            while not self._stop.wait(self._period):
                self._ask(number)
                number += 1
        except (OSError, EOFError, ValueError) as exc:
            self.error = f'{type(exc).__name__}: {exc}'

    def _ask(self, number):
        begin = time.monotonic()
        self._socket.sendall(struct.pack('<Q', number))
        data = b''
        while len(data) < 8:
            piece = self._socket.recv(8 - len(data))
            if not piece:
                raise EOFError('the guest closed the connection')
            data += piece
        if struct.unpack('<Q', data)[0] != expected_answer(number):
            raise ValueError(f'wrong answer to {number}: {data.hex()}')
        now = time.monotonic()
        self.took.append(now - begin)
        self.answers.append(now)

    def wait_answer(self, timeout=10):
        """Until there is an answer to what is sent from now on."""
        start = len(self.answers) + 1
        until(lambda: len(self.answers) > start or self.error, timeout)
        return len(self.answers) > start

    def blackout_us(self):
        """The longest time without an answer."""
        gaps = [b - a for a, b in zip(self.answers, self.answers[1:])]
        return round(max(gaps, default=0) * 1e6)

    def stop(self):
        """Returns what went wrong, or None."""
        self._stop.set()
        self._thread.join()
        self._socket.close()
        return self.error


class RedisLoad:
    """Clients of the guest's Redis, in a process of their own.

    rate:        requests per second in all, or 0 for as many as there can be
    connections: each has keys of its own and one request at a time
    keys:        in all; written once before start() returns
    value_bytes: length of each value
    reads:       share of requests that read
    patch:       (bytes, keys): a write changes so many bytes of so many keys

    What stop() returns is described in redisload.py.
    """
    def __init__(self, pair, rate=500, connections=8, keys=8000,
                 value_bytes=1024, reads=0.5, patch=(0, 0)):
        self._argv = pair.lan.wrapper() + [
            sys.executable, '-m', __package__ + '.redisload',
            '--address', f'{GUEST_ADDRESS}:{REDIS_PORT}',
            '--rate', str(rate), '--connections', str(connections),
            '--keys', str(keys), '--value-bytes', str(value_bytes),
            '--reads', str(reads), '--patch-bytes', str(patch[0]),
            '--patch-keys', str(patch[1])]
        self._run = pair.run
        self._process = None

    def start(self):
        """Returns when all keys are written and the load has begun."""
        folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        self._process = subprocess.Popen(
            self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
            env={**os.environ, 'PYTHONPATH': folder})
        self._run.callback(self._end)
        line = self._process.stdout.readline()
        if line != 'ready\n':
            raise RuntimeError('Redis load: ' +
                               self._process.communicate()[1].strip()[-500:])
        return self

    def count(self):
        """How many requests were answered so far."""
        self._process.stdin.write('count\n')
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def wait_more(self, requests, timeout=60):
        """Until so many more were answered; returns whether they were."""
        start = self.count()
        return until(lambda: self.count() >= start + requests, timeout)

    def stop(self, timeout=120):
        """End the load, read all keys back, return the results."""
        out, error = self._process.communicate('stop\n', timeout)
        if self._process.returncode:
            raise RuntimeError(f'Redis load: {error.strip()[-500:]}')
        return json.loads(out)

    def _end(self):
        self._process.kill()
        self._process.wait()
