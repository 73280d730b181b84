"""QMP in the background: commands, and the events of both sides on one clock.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import asyncio
import concurrent.futures
import threading
import time

from .waiting import Watched


class QmpError(Exception):
    """QEMU refused a command."""


class QmpLost(Exception):
    """The connection to QEMU is gone: QEMU has exited, or hangs."""


class Event:
    """One QMP event.

    at:   when it was received, time.monotonic()
    time: QEMU's own stamp, in seconds; both QEMUs use the host's clock
    """
    def __init__(self, side, message):
        self.at = time.monotonic()
        self.side = side
        self.name = message['event']
        self.data = message.get('data', {})
        stamp = message['timestamp']
        self.time = stamp['seconds'] + stamp['microseconds'] / 1e6

    def __str__(self):
        data = ' '.join(f'{key}={value}' for key, value in self.data.items())
        return f'{self.time:.6f} {self.side} {self.name} {data}'.rstrip()


class EventLog(Watched):
    """The events of all sides in the order in which they came."""
    #: How many of them seen() tells.
    TAIL = 4

    def __init__(self):
        super().__init__()
        self.events = []
        self._listeners = []

    def __len__(self):
        return len(self.events)

    def add(self, event):
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()
        for listener in self._listeners:
            listener(event)

    def forget(self):
        """Events so far, and who listens: before another migration."""
        with self._changed:
            self.events.clear()
            self._listeners.clear()

    def on_event(self, listener):
        """Have listener(event) called from the event thread."""
        self._listeners.append(listener)

    def find(self, side=None, name=None, after=0, **data):
        for event in self.events[after:]:
            if (side is None or event.side == side) and \
               (name is None or event.name == name) and \
               all(event.data.get(key) == value
                   for key, value in data.items()):
                return event
        return None

    def last(self, side, name):
        found = [event for event in self.events
                 if event.side == side and event.name == name]
        return found[-1] if found else None

    def seen(self):
        """The last status of each side, the phase, and the last events."""
        sides = []
        for side in ('src', 'dst'):
            words = [event.data[key] for event, key in (
                (self.last(side, 'MIGRATION'), 'status'),
                (self.last(side, 'MIGRATION_HYBRID_PHASE'), 'phase')) if event]
            sides.append(f'{side}: {", ".join(words) or "no migration"}')
        now = time.monotonic()
        return '; '.join(sides + [
            f'{event.side} {event.name} '
            + ' '.join(f'{k}={v}' for k, v in event.data.items())[:60] +
            f' {now - event.at:.2f} s ago'
            for event in self.events[-self.TAIL:]])


class _Loop:
    """The thread with the event loop of all monitors."""
    _loop = None
    _lock = threading.Lock()

    @classmethod
    def get(cls):
        with cls._lock:
            if cls._loop is None:
                cls._loop = asyncio.new_event_loop()
                threading.Thread(target=cls._loop.run_forever, daemon=True,
                                 name='qmp').start()
            return cls._loop


class Monitor:
    """A QMP connection over a socket that is connected already."""
    def __init__(self, side, log, sock):
        # Only now is it known where QEMU's packages are.
        from qemu.qmp import EventListener, QMPClient
        self.side = side
        self.log = log
        self.lost = False
        self._loop = _Loop.get()
        self._client = QMPClient(side)
        self._client.logger.setLevel('CRITICAL')
        self._listener = EventListener()
        self._client.register_listener(self._listener)
        self._tasks = []
        self._run(self._connect(sock), 30)

    async def _connect(self, sock):
        await self._client.connect(sock)
        self._tasks = [asyncio.ensure_future(self._pump()),
                       asyncio.ensure_future(self._watch())]

    async def _pump(self):
        async for message in self._listener:
            self.log.add(Event(self.side, message))

    async def _watch(self):
        """Notices the end of the connection, which is that of QEMU."""
        while self._client.runstate.name == 'RUNNING':
            await self._client.runstate_changed()
        self.lost = True
        self.log.wake()

    def _run(self, coroutine, timeout):
        from qemu.qmp import ExecuteError, QMPError
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result(timeout)
        except ExecuteError as exc:
            raise QmpError(str(exc)) from exc
        except concurrent.futures.TimeoutError as exc:
            future.cancel()
            raise QmpLost(f'{self.side}: QEMU does not answer '
                          f'within {timeout} s') from exc
        except (QMPError, OSError, EOFError) as exc:
            raise QmpLost(f'{self.side}: {exc or type(exc).__name__}') from exc

    def command(self, name, arguments=None, oob=False, timeout=30):
        """Run one command; names in arguments are as QMP spells them."""
        return self._run(self._client.execute(name, arguments, oob), timeout)

    def give_fd(self, fd, name):
        """Hand a file descriptor to QEMU, as "getfd" wants it."""
        async def both():
            self._client.send_fd_scm(fd)
            await self._client.execute('getfd', {'fdname': name})
        self._run(both(), 30)

    def close(self):
        async def stop():
            for task in self._tasks:
                task.cancel()
            try:
                await asyncio.wait_for(self._client.disconnect(), 5)
            except Exception:   # QEMU may have died in any way
                pass
        try:
            self._run(stop(), 10)
        except QmpLost:
            pass


class Monitored:
    """What is asked of a QEMU by its monitor, self.monitor."""
    def qmp(self, name, arguments=None, **how):
        return self.monitor.command(name, arguments, **how)

    def set_capabilities(self, values):
        if values:
            self.qmp('migrate-set-capabilities', {'capabilities': [
                {'capability': name, 'state': bool(state)}
                for name, state in values.items()]})

    def set_parameters(self, values):
        if values:
            self.qmp('migrate-set-parameters', dict(values))
