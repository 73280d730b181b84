"""The guest's own series of work done, on the host's clock.

The guest notes every 10 ms how much it has done, by its own clock and with the
number of its tick, and is asked for it when all is over: nothing is sent while
it is measured. Its clock stands still while it is stopped. The ticks, which
are heard as they come, say how far it is behind the host's: each was heard
when it came or later, so within HORIZON samples the least difference is that
of a tick that was heard at once. A tick that is heard late moves no window.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import bisect
import itertools

HORIZON = 50
#: Of the guest, as tests/guest/linux/pace.c has it.
PERIOD_S = 0.01
TICKS = 10


def parsed(lines):
    """[(seconds of the guest's clock, number of the tick, work since the one
    before)] of lines "sp"; the first has no work.

    at= us, tick=, then d= a list of us/work/ticks since the one before, where
    the ticks are left out if they are TICKS.
    """
    found = []
    for line in lines:
        at, tick = line.number_of('at'), line.number_of('tick')
        if not found:
            found.append((at / 1e6, tick, 0))
        for text in filter(None, line.fields['d'].split(',')):
            us, work, *ticks = map(int, text.split('/'))
            at += us
            tick += ticks[0] if ticks else TICKS
            found.append((at / 1e6, tick, work))
    return found


def heard(ticks):
    """A function that tells when the tick of a number was heard, or None."""
    ends = list(itertools.accumulate(tick.count for tick in ticks))

    def when(number):
        index = bisect.bisect_right(ends, number)
        return ticks[index].at if index < len(ticks) else None
    return when


def on_host(samples, when):
    """[(time of the host, work since the one before)]."""
    known = [(at, when(tick), work) for at, tick, work in samples]
    known = [entry for entry in known if entry[1] is not None]
    behind = [at_host - at for at, at_host, _ in known]
    found, last = [], float('-inf')
    for i, (at, _, work) in enumerate(known):
        last = max(last, at + min(behind[i:i + HORIZON]))
        found.append((last, work))
    return found


def ask(guest, console, seconds):
    """Of so many seconds up to now."""
    first = len(console.lines)
    guest.ask(f'pace {int(seconds / PERIOD_S)}', timeout=60)
    lines = [line for line in console.lines[first:] if line.kind == 'sp']
    return on_host(parsed(lines), heard(list(console.ticks)))


# As they are stored.

def packed(samples):
    """{"at": seconds of the first, "us": since the one before, "work"}."""
    if not samples:
        return {'at': None, 'us': [], 'work': []}
    us = [round(at * 1e6) for at, _ in samples]
    return {'at': us[0] / 1e6, 'us': [b - a for a, b in zip(us, us[1:])],
            'work': [work for _, work in samples[1:]]}


def unpacked(entry):
    """The same again; the work of the first is not known."""
    if entry['at'] is None:
        return []
    times = itertools.accumulate(entry['us'], initial=round(entry['at'] * 1e6))
    return list(zip((us / 1e6 for us in times), [0] + entry['work']))
