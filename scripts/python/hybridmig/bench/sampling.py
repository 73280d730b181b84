"""What sampling costs the guest: its work around each look at the dirty log.

A look has the guest's next writes noted again, which is over within a tenth of
a second. The speed of a CPU that is shared with other machines drifts by more
than that costs, but hardly within a second. So each look is compared with the
third of a second before and after it; and so are, to see what the comparison
is worth, moments at which nobody looked. For that the first round is held at a
trickle, in which looks are far apart. How many pages are found while a
migration has its full speed is counted in one that follows.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import bisect
import math
import statistics
import time

from ..guest import GuestConfig
from ..migrate import Migration
from ..pair import Pair
from ..record import looks
from .techniques import COMMON_PARAMETERS

#: Bytes per second; less makes no difference.
TRICKLE = 2**20
#: So often a round is held so long, which is less than it would last.
WATCHES, WATCH_S = 3, 80
MEM_MIB, PAGES = 240, 40000
RATE = '1gbit'
#: They write as fast as they can.
WORKLOADS = {'sequential': 'hot pages=7500 rate=0',
             'uniform': 'random pages=15000 rate=0'}
#: Reports of the guest, ten a second: that in which the log is looked at and
#: the next may show the cost; compared with so many on either side of them.
SHOWN, BASE = 2, 3
#: So many moments of each kind, or nothing is said.
LEAST = 20
#: No other look may be as near, in seconds.
APART_S = 0.1 * (SHOWN + BASE)


def measure(run, binary, workload, accel='tcg', machine='pc',
            watches=WATCHES, watch_s=WATCH_S):
    """What a guest of its own did, as one entry of the results."""
    pair = Pair(run, binary, rate=RATE, config=GuestConfig(
        mem=MEM_MIB, pages=PAGES, accel=accel, machine=machine,
        workload=WORKLOADS[workload]),
        src_extra=['-trace', '-hybrid_*', '-trace', 'hybrid_page_bitmap_sample',
                   '-trace', 'hybrid_round'])
    pair.start(timeout=120)
    slow = []
    for _ in range(watches):
        slow.append(_migrate(pair, watch_s))
        pair.renew_destination()
    full = _migrate(pair)
    audit = pair.dst.audit()
    if not audit.right:
        raise RuntimeError(f'the guest of the sampling: {audit}')
    return {'workload': workload, 'slow': slow, 'full': full}


def _migrate(pair, trickle_s=None):
    """Looks and reports of the rounds; held at a trickle, then cancelled, if
    @trickle_s says how long."""
    before = len(looks(pair.src))
    migration = Migration(pair, parameters={
        **COMMON_PARAMETERS,
        **({'max-bandwidth': TRICKLE} if trickle_s else {})})
    migration.start()
    migration.wait_phase('rounds')
    begin = time.monotonic()
    if trickle_s:
        pair.console.wait(lambda: time.monotonic() > begin + trickle_s,
                          2 * trickle_s)
        migration.cancel()
    migration.wait_end()
    day = time.time() - time.monotonic()
    found = [(look.at - day, look.pages, look.cpu_s, look.cleared)
             for look in looks(pair.src)[before:]]
    if not found:
        raise RuntimeError('the dirty log is not looked at')
    return {'looks': found,
            'reports': [(line.at, line.number_of('done'))
                        for line in pair.console.reports()
                        if line.at > begin] if trickle_s else [],
            'took_s': found[-1][0] - begin}


def _lost(reports, moment):
    """Seconds of work missing after a moment; None without reports around."""
    first = bisect.bisect_left(reports, [moment])
    begin, end = first - 1 - BASE, first - 1 + SHOWN + BASE
    if begin < 0 or end >= len(reports):
        return None
    times = [report[0] for report in reports[begin:end + 1]]
    rates = [report[1] / (now - then) for report, then, now in
             zip(reports[begin + 1:], times, times[1:])]
    base = statistics.mean(rates[:BASE] + rates[-BASE:])
    return sum((1 - rate / base) * (now - then) for rate, then, now in
               list(zip(rates, times, times[1:]))[BASE:-BASE])


def events(slow):
    """([seconds lost and pages found at each look], [... at other times])."""
    pairs = [_events(part) for part in slow]
    return [[event for pair in pairs for event in pair[i]] for i in (0, 1)]


def _events(slow):
    at = [look[0] for look in slow['looks']]
    reports = [list(report) for report in slow['reports']]
    found, control = [], []
    for (moment, pages, _, cleared), then, following in zip(
            slow['looks'], [-math.inf] + at, at[1:] + [math.inf]):
        lost = _lost(reports, moment)
        if cleared and pages and lost is not None and \
                min(moment - then, following - moment) >= APART_S:
            found.append((lost, pages))
        if 2 * APART_S <= following - moment < math.inf:
            lost = _lost(reports, (moment + following) / 2)
            if lost is not None:
                control.append(lost)
    return found, control


def median_of(values):
    """(median, and an interval that has the true one at 95 % or more): between
    two of the values in order, as many from either end as the binomial says.
    """
    values = sorted(values)
    count, outside, off = len(values), 0, 0
    while 2 * (outside + math.comb(count, off)) <= 0.05 * 2**count:
        outside += math.comb(count, off)
        off += 1
    return statistics.median(values), values[off - 1], values[-off]


def costs(entry):
    """What the report says, or None if too little was seen."""
    found, control = events(entry['slow'])
    if min(len(found), len(control)) < LEAST:
        return None
    page = median_of([lost / pages for lost, pages in found])
    lost = [event[0] for event in found]
    result = {'n': len(found), 'page_s': page, 'look_s': median_of(lost),
              'mean_s': (statistics.mean(lost),
                         statistics.stdev(lost) / math.sqrt(len(lost))),
              'control_s': median_of(control)}
    for part, rounds in (('slow', entry['slow']), ('full', [entry['full']])):
        all_looks = [look for r in rounds for look in r['looks']]
        took = sum(r['took_s'] for r in rounds)
        pages = sum(look[1] for look in all_looks if look[3])
        result[part] = {
            'share': [seconds * pages / took for seconds in page],
            'looks': len(all_looks), 'took_s': took,
            'cpu': sum(look[2] for look in all_looks) / took}
    return result


def _range(values, scale):
    # adding 0 makes "-0.00" a plain zero
    middle, least, most = (f'{round(value * scale, 2) + 0:.2f}'
                           for value in values)
    return f'{middle} ({least} to {most})'


def text(entry):
    """One line for the report."""
    name = (f'sampling the dirty log while rounds run, {entry["workload"]} '
            f'writer at full speed')
    c = costs(entry)
    if not c:
        return f'{name}: too little seen to say what it costs'
    parts = '; '.join(
        '{}, {} looks in {:.1f} s took {} of its work and {:.3f} % of one CPU'
        .format(when, c[part]['looks'], c[part]['took_s'],
                _range(c[part]['share'], 100) + ' %',
                c[part]['cpu'] * 100)
        for part, when in (('slow', 'at a trickle'),
                           ('full', f'at {RATE}')))
    return ('{}: a look costs the guest {} ms, {} us for each page that it '
            'finds (n = {}; mean {:.1f} ms, its standard error {:.1f}; at '
            'moments without a look {} ms); {}'.format(
                name, _range(c['look_s'], 1e3), _range(c['page_s'], 1e6),
                c['n'], *(value * 1e3 for value in c['mean_s']),
                _range(c['control_s'], 1e3), parts))
