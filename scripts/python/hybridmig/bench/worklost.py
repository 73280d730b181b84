"""Net guest work lost, from the reports of work that was done.

Definition. Let r be the rate of work before the migration, over the window
that precedes it. From the last report before the start until the first moment
after the end from which on the rate is back, net work lost is

    (r * elapsed time - work done) / r

in seconds: so long would the undisturbed guest have worked for what is
missing. The rate is back where a report and the mean over BACK_POINTS reports
that begin with it are at least BACK_SHARE of r. All times are the host's, since the guest's clock stands still
with the guest. Work that a paced guest makes up for before its rate is back
counts; what it does faster than before afterwards does not.

Error. Two things: r is a mean of reports that scatter, so its standard error
grows with the time that it is multiplied with; and each end of the interval is
off by as much as the reports jitter in time. What the host loses to other
processes in the meantime is not part of it.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import dataclasses
import math
import statistics

BACK_SHARE = 0.9
BACK_POINTS = 5
LEAST_POINTS = 5    # before the migration
AT_ONCE_S = 0.001


@dataclasses.dataclass(frozen=True)
class WorkLost:
    rate: float         # units of work per second before the migration
    lost_s: float
    error_s: float
    back_at: float      # when the rate is back; None if it was not seen
    until: float        # where the sum ends

    @property
    def back(self):
        return self.back_at is not None


def _merged(points):
    """Reports that came at once, after a stall, are one."""
    merged = []
    for at, done in points:
        if merged and at - merged[-1][0] < AT_ONCE_S:
            merged[-1] = (merged[-1][0], merged[-1][1] + done)
        else:
            merged.append((at, done))
    return merged


def _baseline(points, begin, start):
    """(rate, its standard error, jitter of the reports in seconds)."""
    inside = [point for point in points if begin <= point[0] <= start]
    if len(inside) < LEAST_POINTS + 1:
        return None
    spans = [b[0] - a[0] for a, b in zip(inside, inside[1:])]
    work = [done for _, done in inside[1:]]
    span = inside[-1][0] - inside[0][0]
    rate = sum(work) / span
    # Over the whole window, late reports cancel out: the scatter of the
    # rates of single reports would count the jitter twice.
    mean = span / len(work)
    error = statistics.stdev(work) / mean / math.sqrt(len(work))
    return rate, error, statistics.pstdev(spans)


def _back_at(points, first, end, rate):
    for i in range(first, len(points) - BACK_POINTS + 1):
        begin = points[i - 1][0]
        if begin < end:
            continue
        window = points[i:i + BACK_POINTS]
        span = window[-1][0] - begin
        mean = sum(done for _, done in window) / span
        own = window[0][1] / (window[0][0] - begin)
        if min(mean, own) >= BACK_SHARE * rate:
            return begin
    return None


def work_lost(points, begin, start, end):
    """
    @points: [(time of the report, work since the one before)] in order
    @begin: where the undisturbed window begins
    @start, @end: of the migration
    None if there is too little to tell, or the guest does no work.
    """
    points = _merged(points)
    baseline = _baseline(points, begin, start)
    if not baseline or baseline[0] <= 0:
        return None
    rate, rate_error, jitter = baseline
    first = next((i for i, point in enumerate(points) if point[0] > start),
                 len(points))
    if first == len(points):
        return None
    origin = points[first - 1][0]
    back = _back_at(points, first, end, rate)
    until = points[-1][0] if back is None else back
    done = sum(work for at, work in points[first:] if at <= until)
    elapsed = until - origin
    error = math.hypot(elapsed * rate_error / rate, math.sqrt(2) * jitter)
    return WorkLost(rate, elapsed - done / rate, error, back, until)


def is_back(points, start, end, begin):
    """Whether the rate is back already; for waiting."""
    found = work_lost(points, begin, start, end)
    return found is None or found.back
