"""Guest work lost in windows of 10 ms, against the speed just after.

Definition. From the start of the migration until full speed is back, work lost
is the sum, over windows of WINDOW_S, of what the guest's work is below

    r = the median speed of the windows of the BESIDE_S after the end,

in seconds of work at that speed. What the guest does faster than r, as when it
makes up for a stall, is not set off against it. A host that changes its speed
between migrations, or in the middle of one, changes r with it.

A technique that slows the guest afterwards must not gain by it: r is at least
HELD_SHARE of the median before the migration, times what the host's own speed
has changed by (speed.py). And a guest that is told to keep a pace has no more
than that as r, for it may be making up for what it missed.

Full speed is back where, after the end of the migration, a window begins that
has BACK_SHARE of r and so have BACK_OF of all that begin within BACK_S. One
late window among them is the host's doing, not a guest that is slow; a slow
guest has most of them below. A moment that is found too late costs only what
the windows lack that are counted in addition.

Noise. Windows of an undisturbed guest scatter, too, and a sum of what is below
takes in only one half of that. So what the same sum finds in the time before
the migration and after it, each against its own median, is measured; the
smaller share (a technique must not gain by unrest afterwards) is the noise. It
is taken off the time that was not lost. The sum itself is stored beside it.

Work that comes in large pieces needs wider windows: they grow by whole
WINDOW_S until one has LEAST_UNITS.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import dataclasses
import math
import statistics

WINDOW_S = 0.01
BESIDE_S = 2.0
#: A speed that is measured twice on two CPUs that are shared differs by some
#: percent; without slack that would count as loss all through the migration.
HELD_SHARE = 0.95
BACK_SHARE, BACK_OF = 0.9, 0.75
BACK_S, BACK_WINDOWS = 0.2, 5
LEAST_UNITS = 20
LEAST_WINDOWS = 8
#: A sample may come early by so much of a window.
EARLY = 0.1


@dataclasses.dataclass(frozen=True)
class Shortfall:
    rate: float         # r, units of work per second
    before: float       # medians, the same unit
    after: float
    held: bool          # r is what the rate before made of it
    window_s: float
    sum_s: float        # what all windows lack
    noise_s: float      # of it, as an undisturbed guest has it
    back_at: float      # None if it was not seen
    until: float

    @property
    def lost_s(self):
        return self.sum_s - self.noise_s


def _windows(samples, width):
    """[(begin, end, work)] of at least that width each, but for the jitter."""
    windows, begin, work = [], samples[0][0], 0
    for at, done in samples[1:]:
        work += done
        if at - begin >= width * (1 - EARLY):
            windows.append((begin, at, work))
            begin, work = at, 0
    return windows


def _width(samples, start):
    """None of no work."""
    inside = [sample for sample in samples if sample[0] <= start]
    if len(inside) < 2:
        return None
    rate = sum(done for _, done in inside[1:]) / \
        (inside[-1][0] - inside[0][0])
    if rate <= 0:
        return None
    return WINDOW_S * max(1, math.ceil(LEAST_UNITS / (rate * WINDOW_S)))


def _lacks(window, rate, since=-math.inf):
    """Seconds, of the part of the window that is after @since."""
    begin, end, work = window
    lack = max(0.0, end - begin - work / rate)
    return lack * (end - max(begin, since)) / (end - begin)


def _beside(windows, begin, end):
    """(median speed, share that the windows lack of it), or None."""
    inside = [w for w in windows if w[0] >= begin and w[1] <= end]
    if len(inside) < LEAST_WINDOWS:
        return None
    rate = statistics.median(work / (b - a) for a, b, work in inside)
    if rate <= 0:
        return 0, 0
    return rate, sum(_lacks(w, rate) for w in inside) / \
        (inside[-1][1] - inside[0][0])


def _back_at(windows, end, rate, width):
    count = max(BACK_WINDOWS, round(BACK_S / width))
    good = [work >= BACK_SHARE * rate * (b - a) for a, b, work in windows]
    for i in range(len(windows) - count + 1):
        if windows[i][0] >= end and good[i] and \
                sum(good[i:i + count]) >= BACK_OF * count:
            return windows[i][0]
    return None


def shortfall(samples, start, end, host=None, most=None):
    """
    @samples: [(time, work since the one before)] in order, WINDOW_S or less
              apart, from BESIDE_S before the start on
    @host: the host's speed after as a part of that before, if it is known
    @most: the pace that the guest is told to keep, units a second
    None if there is too little to tell, or the guest does no work.
    """
    samples = [s for s in samples if s[0] >= start - BESIDE_S]
    width = _width(samples, start)
    if width is None:
        return None
    windows = _windows(samples, width)
    before = _beside(windows, start - BESIDE_S, start)
    after = _beside(windows, end, end + BESIDE_S)
    if not before or not after or not before[0]:
        return None
    least = HELD_SHARE * before[0] * (host or 1)
    rate = min(max(after[0], least), most or math.inf)
    back = _back_at(windows, end, rate, width)
    until = windows[-1][1] if back is None else back
    lost = sum(_lacks(w, rate, start) for w in windows
               if w[1] > start and w[1] <= until)
    noise = min(before[1], after[1]) * max(0, until - start - lost)
    return Shortfall(rate, before[0], after[0], least > after[0], width, lost,
                     noise, back, until)
