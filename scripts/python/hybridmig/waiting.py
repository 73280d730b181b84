"""Waiting for what somebody else does: a QEMU, its guest, a thread.

Who waits for a state says it in words: if the state does not come, the error says
what was waited for, for how long, and what was there instead.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import threading
import time

#: Between two looks at what does not tell when it changes.
EVERY_S = 0.02


class TimedOut(RuntimeError):
    """What was waited for did not come."""


def late(what, timeout, seen):
    return TimedOut(f'{what}: not within {timeout:g} s; {seen}')


def until(condition, timeout, what=None, seen=None, every=EVERY_S):
    """
    Until condition() is true, which may ask QEMU; returns what it said last.

    what: it has to become true, else TimedOut says this
    seen: called then, for what is there instead
    """
    end = time.monotonic() + timeout
    while True:
        last = time.monotonic() >= end  # one more look after a long one
        value = condition()
        if value or last:
            break
        time.sleep(every)
    if not value and what:
        raise late(what, timeout,
                   f'last: {seen() if seen else value!r}')
    return value


class Watched:
    """What changes in another thread, under _changed, and can be waited for."""
    #: A condition may look at more than what is told.
    LOOK_S = 0.2

    def __init__(self):
        self._changed = threading.Condition()

    def seen(self):
        """Its last state in words."""
        raise NotImplementedError

    def wake(self):
        """Make those who wait look again: something else has changed."""
        with self._changed:
            self._changed.notify_all()

    def wait(self, condition, timeout, what=None):
        """
        Until condition() is true, which must not ask QEMU; returns what it
        said last. what: as until() has it.
        """
        end = time.monotonic() + timeout
        with self._changed:
            while True:
                value = condition()
                left = end - time.monotonic()
                if value or left <= 0:
                    break
                self._changed.wait(min(left, self.LOOK_S))
        if not value and what:
            raise late(what, timeout, self.seen())
        return value
