"""Load for a Redis server whose answers are checked.

Run by RedisLoad in lan.py, in the clients' network namespace. Prints "ready"
when the load has begun. To a line "count" it prints how many requests were
answered so far. Any other line, or the end of its input, ends the load; then
it reads all keys back and prints one JSON object:

    requests        that were answered, without the writing of all keys before
    p50_us, p99_us, max_us
                    latency, from when a request was due to its answer: when
                    the server stands still, those that pile up count too
    blackout_us     the longest time without any answer
    errors          answers that were refusals, and connections that broke
    reconnects      connections made again
    wrong           wrong values: read under load, or at the end
    keys            that were read back at the end
    first_wrong     some words about the first wrong value, or null
    series          [[time.monotonic() of the answer, latency in us, "get" or
                    "set"], ...] in the order of the answers

Each key is written by one connection only, with a version that goes up by
one, or, with --patch-bytes, by patches: so many bytes of as many keys as
--patch-keys says, in one request. A write whose answer is lost may or may not have happened: until the key
is written or read again, either version is right.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import argparse
import asyncio
import hashlib
import json
import random
import sys
import time

TIMEOUT_S = 60      # without an answer a connection counts as broken
RETRY_S = 0.1
BATCH = 100         # keys at a time, before and after the load
PATCH_AT = 1000     # bytes into the value
#: So many keys in one request: a client that asked for each would be slower
#: than the server. Arguments: patch, key, how far to the next one, how many.
PATCH = b'''
local at, step, all = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[5])
for i = 1, tonumber(ARGV[4]) do
    redis.call("SETRANGE", "key" .. at, %d, ARGV[1])
    at = (at + step) %% all
end
return ARGV[4]
''' % PATCH_AT


def value_of(key, version, length):
    """The text that a key holds in a version; every byte depends on both."""
    head = f'{key}:{version}:'
    need = length - len(head)
    body = hashlib.shake_128(head.encode()).hexdigest((need + 1) // 2)
    return (head + body[:need]).encode()


def patched(value, version, length):
    """What is left of it when a part was written over, as PATCH does."""
    if version == 1:
        return value
    return value[:PATCH_AT] + patch_of(version, length) + \
        value[PATCH_AT + length:]


def patch_of(version, length):
    return hashlib.shake_128(b'%d' % version).hexdigest(
        (length + 1) // 2)[:length].encode()


def request(*words):
    """Words as the server reads them."""
    parts = [b'*%d\r\n' % len(words)]
    for word in words:
        parts.append(b'$%d\r\n%s\r\n' % (len(word), word))
    return b''.join(parts)


class Refused(Exception):
    """The server answered with an error."""


class Client:
    """One connection and its keys."""
    def __init__(self, index, args, load):
        self.args = args
        self.load = load
        self.random = random.Random(index)
        self.keys = [f'key{number}' for number in
                     range(index, args.keys, args.connections)]
        self.acked = {}         # key: version
        self.pending = {}       # key: versions whose write was not answered
        self.read_back = set()
        self.patches = 1        # their version; 1 is what was there before
        self.script = None
        self.reader = self.writer = None

    async def connect(self):
        host, port = self.args.address.rsplit(':', 1)
        self.reader, self.writer = await asyncio.wait_for(
            asyncio.open_connection(host, int(port)), TIMEOUT_S)

    async def _answer(self):
        line = await self.reader.readline()
        if not line.endswith(b'\r\n'):
            raise ConnectionError('the connection has ended')
        if line[:1] == b'-':
            raise Refused(line.decode().strip())
        if line[:1] != b'$':
            return line[1:-2]
        length = int(line[1:])
        if length < 0:
            return None
        return (await self.reader.readexactly(length + 2))[:-2]

    async def _ask(self, *words):
        self.writer.write(request(*words))
        return await asyncio.wait_for(self._answer(), TIMEOUT_S)

    def _value(self, key, version):
        if self.args.patch_bytes:
            return patched(value_of(key, 1, self.args.value_bytes), version,
                           self.args.patch_bytes)
        return value_of(key, version, self.args.value_bytes)

    async def patch(self):
        """A part of some keys, the same bytes in all of them."""
        args = self.args
        first = self.random.randrange(len(self.keys))
        some = [self.keys[(first + i) % len(self.keys)]
                for i in range(args.patch_keys)]
        self.patches += 1
        for key in some:
            self.pending.setdefault(key, []).append(self.patches)
        if not self.script:
            self.script = await self._ask(b'SCRIPT', b'LOAD', PATCH)
        answer = await self._ask(
            b'EVALSHA', self.script, b'0',
            patch_of(self.patches, args.patch_bytes), some[0][3:].encode(),
            *(b'%d' % number for number in (args.connections, len(some),
                                            args.keys)))
        if answer != b'%d' % len(some):
            raise Refused(f'PATCH: {answer}')
        for key in some:
            self.acked[key] = self.patches
            del self.pending[key]

    async def set(self, key):
        pending = self.pending.setdefault(key, [])
        version = max([self.acked[key]] + pending) + 1
        pending.append(version)
        answer = await self._ask(b'SET', key.encode(),
                                 self._value(key, version))
        if answer != b'OK':
            raise Refused(f'SET {key}: {answer}')
        self.acked[key] = version
        del self.pending[key]

    async def get(self, key):
        self._judge(key, await self._ask(b'GET', key.encode()))

    def _judge(self, key, value):
        right = [self.acked[key]] + self.pending.get(key, [])
        for version in right:
            if value == self._value(key, version):
                self.acked[key] = version
                self.pending.pop(key, None)
                return
        self.load.note_wrong(f'{key}, expected version '
                             f'{" or ".join(map(str, right))}: {value!r:.80}')

    def _batches(self):
        for start in range(0, len(self.keys), BATCH):
            yield self.keys[start:start + BATCH]

    async def preload(self):
        for some in self._batches():
            self.writer.write(b''.join(
                request(b'SET', key.encode(), self._value(key, 1))
                for key in some))
            for key in some:
                if await self._answer() != b'OK':
                    raise Refused(f'SET {key}')
                self.acked[key] = 1

    async def once(self, due):
        key = self.random.choice(self.keys)
        kind = 'get' if self.random.random() < self.args.reads else 'set'
        if kind == 'get':
            await self.get(key)
        elif self.args.patch_bytes:
            await self.patch()
        else:
            await self.set(key)
        now = time.monotonic()
        self.load.series.append((now, round((now - due) * 1e6), kind))

    async def run(self, begin, period):
        """Requests that are due at begin and each period after it."""
        due = begin
        while not self.load.stopping:
            now = time.monotonic()
            if not period:
                due = now
            elif due > now:
                await asyncio.sleep(due - now)
                continue
            await self.survive(lambda at=due: self.once(at))
            due += period

    async def survive(self, action):
        """Do action; connect again as often as the connection breaks."""
        while True:
            try:
                if self.writer is None:
                    await self.connect()
                    self.load.reconnects += 1
                return await action()
            except Refused as exc:
                self.load.note_error(str(exc))
                return None
            except (OSError, EOFError, asyncio.TimeoutError) as exc:
                self.load.note_error(f'{type(exc).__name__} {exc}')
                if self.writer:
                    self.writer.close()
                self.writer = None
                if self.load.stopping and self.load.give_up():
                    return None
                await asyncio.sleep(RETRY_S)

    async def _read_back(self, some):
        self.writer.write(b''.join(request(b'GET', key.encode())
                                   for key in some))
        for key in some:
            self._judge(key, await asyncio.wait_for(self._answer(),
                                                    TIMEOUT_S))
            self.read_back.add(key)

    async def verify(self):
        for some in self._batches():
            await self.survive(lambda some=some: self._read_back(some))


class Load:
    """All connections, and what came of them."""
    def __init__(self, args):
        self.args = args
        self.series = []
        self.errors = self.reconnects = self.wrong = self.verified = 0
        self.first_wrong = self.first_error = None
        self.stopping = False
        self.deadline = None

    def note_wrong(self, text):
        self.wrong += 1
        self.first_wrong = self.first_wrong or text

    def note_error(self, text):
        self.errors += 1
        self.first_error = self.first_error or text

    def give_up(self):
        """At the end a server that is not there is not waited for."""
        return self.deadline is not None and time.monotonic() > self.deadline

    async def run(self):
        args = self.args
        clients = [Client(index, args, self)
                   for index in range(args.connections)]
        for client in clients:
            await client.connect()
            await client.preload()
        begin = time.monotonic()
        period = args.connections / args.rate if args.rate else 0
        tasks = [asyncio.ensure_future(
            client.run(begin + period * index / args.connections, period))
            for index, client in enumerate(clients)]
        print('ready', flush=True)
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, sys.stdin.readline) == \
                'count\n':
            print(len(self.series), flush=True)
        self.stopping = True
        self.deadline = time.monotonic() + 10
        await asyncio.gather(*tasks)
        end = time.monotonic()
        await asyncio.gather(*(client.verify() for client in clients))
        self.verified = sum(len(client.read_back) for client in clients)
        return self.results(begin, end)

    def results(self, begin, end):
        latencies = sorted(entry[1] for entry in self.series)
        times = [begin] + [entry[0] for entry in self.series] + [end]
        gaps = [b - a for a, b in zip(times, times[1:])]

        def part(share):
            if not latencies:
                return None
            return latencies[min(int(len(latencies) * share),
                                 len(latencies) - 1)]
        return {'requests': len(latencies), 'p50_us': part(0.5),
                'p99_us': part(0.99), 'max_us': part(1),
                'blackout_us': round(max(gaps) * 1e6),
                'errors': self.errors, 'first_error': self.first_error,
                'reconnects': self.reconnects, 'wrong': self.wrong,
                'first_wrong': self.first_wrong, 'keys': self.verified,
                'series': self.series}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--address', required=True)
    parser.add_argument('--rate', type=float, required=True)
    parser.add_argument('--connections', type=int, required=True)
    parser.add_argument('--keys', type=int, required=True)
    parser.add_argument('--value-bytes', type=int, required=True)
    parser.add_argument('--reads', type=float, required=True)
    parser.add_argument('--patch-bytes', type=int, required=True)
    parser.add_argument('--patch-keys', type=int, required=True)
    args = parser.parse_args()
    json.dump(asyncio.run(Load(args).run()), sys.stdout)


if __name__ == '__main__':
    main()
