"""Work lost in windows of 10 ms, from series whose right value is known.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import random
import statistics
import types

import synthetic
from checks import check, equal, near
from hybridmig.bench import samples, shortfall

RATE = 10000.0
START, END, LENGTH = 5.0, 9.0, 16.0
FINE_S = 0.01


def series(speed, period=FINE_S, length=LENGTH):
    """speed(time) is of the undisturbed RATE."""
    points = []
    for i in range(round(length / period) + 1):
        at = round(i * period, 6)
        points.append((at, RATE * period * speed(at - period / 2)))
    return points


def stalls(*lost, speed=lambda at: 1.0):
    """In these intervals nothing is done."""
    return lambda at: 0.0 if any(a < at < b for a, b in lost) else speed(at)


def of(speed, **how):
    return shortfall.shortfall(series(speed), START, END, **how)


def nothing_lost(_):
    found = of(stalls())
    near(found.lost_s, 0, 1e-6, 'work lost')
    near(found.back_at, END, 0.011, 'full speed is back')
    near(found.rate, RATE, 1e-3, 'rate')
    near(found.window_s, 0.01, 1e-9, 'window')
    check(not found.held, 'the rate before is held against it')


def stands_still(_):
    near(of(stalls((6.0, 6.5))).lost_s, 0.5, 1e-6, 'work lost')
    # With the first window of the migration half of it before the start
    near(of(stalls((4.98, 5.02))).lost_s, 0.02, 0.002, 'across the start')


def half_speed(_):
    """Until after the end."""
    found = of(lambda at: 0.5 if 6 < at < 9.4 else 1.0)
    near(found.lost_s, 1.7, 0.001, 'work lost')
    near(found.back_at, 9.4, 0.011, 'full speed is back')


def not_made_up(_):
    """What is done faster afterwards is not set off against it."""
    near(of(stalls((6.0, 6.5), speed=lambda at: 2.0 if 6.5 < at < 7 else 1.0)
            ).lost_s, 0.5, 1e-6, 'work lost')


def host_slows_down(_):
    """By half with the start, for a minute: the old figure calls that lost."""
    found = of(stalls((8.0, 9.0), speed=lambda at: 1.0 if at < 5 else 0.5),
               host=0.5)
    near(found.lost_s, 1.0, 1e-6, 'work lost')
    # It becomes faster in the middle: what it did before was all it could.
    found = of(stalls((8.0, 9.0), speed=lambda at: 0.5 if at < 5 else 1.0),
               host=2.0)
    near(found.lost_s, 1.0, 1e-6, 'work lost')


def slowed_for_good(_):
    """A technique slows the guest afterwards, and gains nothing by it."""
    honest = of(stalls((6.0, 8.0)))
    for part in (0.9, 0.7, 0.3):
        slow = of(stalls((6.0, 8.0),
                         speed=lambda at, part=part: part if at > 9 else 1.0),
                  host=1.0)
        check(slow.held, f'{part}: the rate before is not held against it')
        check(slow.lost_s >= honest.lost_s - 1e-6,
              f'{part}: {slow.lost_s} s lost, {honest.lost_s} s by the one '
              'that does not slow it')
    check(slow.back_at is None, 'full speed is back')
    near(slow.lost_s, 2 + (LENGTH - END) * (1 - 0.3 / 0.95), 0.02,
         'work lost')


def slowed_within_a_second(_):
    """For longer than half of the time that r is of."""
    found = of(lambda at: 0.5 if 9 < at < 10.5 else 1.0, host=1.0)
    near(found.lost_s, 1.5 * (1 - 0.5 / 0.95), 0.01, 'work lost')
    near(found.back_at, 10.5, 0.011, 'full speed is back')


def small_difference(_):
    """Some percent between before and after are no loss."""
    for part in (0.97, 1.03):
        found = of(stalls((6.0, 7.0), speed=lambda at, part=part:
                          part if at > 5 else 1.0), host=1.0)
        near(found.lost_s, 1.0, 1e-6, 'work lost')


def paced(_):
    """It makes up at three times its pace, long after the end."""
    found = of(stalls((5.0, 8.9), speed=lambda at: 3.0 if 8.9 < at < 11
                      else 1.0), most=RATE)
    near(found.lost_s, 3.9, 1e-6, 'work lost')
    near(found.rate, RATE, 1e-3, 'rate')


def stall_just_after(_):
    """It begins when the migration ends, and is shorter than BACK_S."""
    near(of(stalls((9.0, 9.09))).lost_s, 0.09, 0.001, 'work lost')
    # One late window does not put full speed off.
    near(of(stalls((9.05, 9.06))).back_at, END, 0.011, 'full speed is back')


def noise(_):
    """Windows that scatter, and some in which the host does other things."""
    for scatter, others, bias, most in ((0.03, 0.0, 0.01, 0.03),
                                        (0.1, 0.0, 0.02, 0.08),
                                        (0.03, 0.02, 0.04, 0.12)):
        found, sums = [], []
        for seed in range(60):
            source = random.Random(seed)
            points = [(at, 0.0 if source.random() < others else
                       work * max(0, source.gauss(1, scatter)))
                      for at, work in series(stalls((6.0, 6.2)))]
            one = shortfall.shortfall(points, START, END)
            check(one.back_at is not None and one.back_at < END + 0.3,
                  f'full speed is back at {one.back_at}')
            found.append(one.lost_s - 0.2)
            sums.append(one.sum_s - 0.2)
        near(statistics.median(found), 0, bias, f'off at {scatter}, {others}')
        check(max(map(abs, found)) < most, f'{scatter}, {others}: {found}')
        check(statistics.median(sums) > 2 * statistics.median(map(abs, found)),
              'the noise is nothing')


def unrest_afterwards(_):
    """Gains nothing: the noise before counts, if it is less."""
    source = random.Random(1)
    points = [(at, work * (source.choice((0.4, 1, 1, 1)) if at > END else 1))
              for at, work in series(stalls((6.0, 7.0)))]
    near(shortfall.shortfall(points, START, END).lost_s, 1.0, 0.1,
         'work lost')


def late_samples(_):
    """Samples that come late have all the work in them."""
    points, kept, work = series(stalls((6.0, 6.5))), [], 0
    for i, (at, done) in enumerate(points):
        work += done
        if i % 37 not in (3, 4, 5):
            kept.append((at, work))
            work = 0
    near(shortfall.shortfall(kept, START, END).lost_s, 0.5, 0.001,
         'work lost')


def large_pieces(_):
    """300 requests a second at random: windows grow."""
    found = []
    for seed in range(20):
        source, at, times = random.Random(seed), 0.0, []
        while at < LENGTH:
            at += source.expovariate(300)
            if not 6 < at < 7:
                times.append(at)
        points = [(i * FINE_S, sum(1 for t in times
                                   if (i - 1) * FINE_S < t <= i * FINE_S))
                  for i in range(round(LENGTH / FINE_S))]
        one = shortfall.shortfall(points, START, END, most=300)
        near(one.window_s, 0.07, 0.011, 'window')
        found.append(one.lost_s)
    near(statistics.median(found), 1.0, 0.1, 'work lost')


def idle_or_short(_):
    equal(of(lambda at: 0.0), None, 'of an idle guest')
    equal(shortfall.shortfall([], START, END), None, 'of nothing')
    equal(shortfall.shortfall(series(stalls(), length=9.05), START, END), None,
          'with nothing after')
    equal(shortfall.shortfall(series(stalls()), 0.05, END), None,
          'with nothing before')
    equal(of(lambda at: 1.0 if at < 5 else 0.0).back_at, None,
          'of one that never goes on: full speed is back')


def _as_guest(stop, drift=0.0, seed=1):
    """(samples by its clock, ticks as they were heard, when they were)."""
    source, told, ticks, when = random.Random(seed), [], [], []
    last = 0.0
    for number in range(8000):
        clock = 100 + number / 1000 + source.uniform(0, 0.0003)
        at = 50 + (clock - 100) * (1 + drift) + (stop if number >= 4000 else 0)
        last = max(last, at + source.expovariate(1 / 0.0004) +
                   (0.03 if source.random() < 0.02 else 0))
        ticks.append(types.SimpleNamespace(at=last, count=1))
        if number % 10 == 0:
            told.append((clock, number, 100))
            when.append(at)
    return told, ticks, when


def guest_clock(_):
    """It stands still in the switch; ticks are heard late."""
    for drift in (0.0, 3e-4, -3e-4):
        told, ticks, when = _as_guest(0.05, drift)
        found = samples.on_host(told, samples.heard(ticks))
        equal(len(found), len(told), 'samples')
        worst = max(abs(at - right) for (at, _), right in zip(found, when))
        check(worst < 0.002, f'a sample is off by {worst} s')
        near(found[400][0] - found[399][0], 0.06, 0.001, 'across the stop')
    # Those of which the tick was not heard are left out.
    equal(len(samples.on_host(told, samples.heard(ticks[:105]))), 11,
          'samples that are known')


def told_by_guest(_):
    lines = [types.SimpleNamespace(
        fields={'at': str(at), 'tick': str(tick), 'd': text},
        number_of=lambda name, a=at, t=tick: {'at': a, 'tick': t}[name])
        for at, tick, text in ((5000000, 70, '10000/12,34000/1/11'),
                               (5044000, 91, '10001/7'), (5054001, 101, ''))]
    equal(samples.parsed(lines), [(5.0, 70, 0), (5.01, 80, 12),
                                  (5.044, 91, 1), (5.054001, 101, 7)],
          'samples')


def stored(_):
    points = [(-1.99996, 0), (-1.98991, 12), (0.1, 1)]
    packed = samples.packed(points)
    equal(packed, {'at': -1.99996, 'us': [10050, 2089910], 'work': [12, 1]},
          'as it is stored')
    equal([(round(at, 6), work) for at, work in samples.unpacked(packed)],
          points, 'read again')
    equal(samples.unpacked(samples.packed([])), [], 'nothing')


def both_are_shown(_):
    """The old figure stands beside the new one."""
    from hybridmig.bench import metrics
    equal([metrics.BY_KEY[key].title for key in ('short_s', 'lost_s')],
          ['work lost s', 'net lost s'], 'titles')
    check('short_s' in synthetic.cell()['figures'], 'no figure')


CASES = {f'shortfall: {case.__name__}': case for case in (
    nothing_lost, stands_still, half_speed, not_made_up, host_slows_down,
    slowed_for_good, slowed_within_a_second, small_difference, paced,
    stall_just_after, noise, unrest_afterwards, late_samples, large_pieces,
    idle_or_short, guest_clock, told_by_guest, stored, both_are_shown)}
