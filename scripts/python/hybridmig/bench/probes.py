"""Parts of a workload that the guest's own audit does not see.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import itertools

from ..lan import RedisLoad


class Probe:
    """For one cell. Times in its results are those of time.monotonic()."""
    #: Further arguments for GuestConfig.
    guest_settings = {}
    #: So many reports of the guest (ten a second) are waited for afterwards,
    #: where it does not show before end() whether the rate is back.
    settle_reports = 0

    def begin(self, pair):
        """The guest runs: start, and return when it is in full swing."""
        raise NotImplementedError

    def end(self):
        """Stop, check what can be checked, and return a dictionary.

        wrong:   number of answers or results that were not right
        text:    what was checked, in one line
        errors:  number of requests that failed
        latency: list of (time of the answer, seconds it took)
        done:    list of (time, units of work since the entry before): the
                 guest's work, where its own program does none
        """
        raise NotImplementedError


class JobProbe(Probe):
    """The guest compresses; what came out is checked when it is stopped."""
    def __init__(self):
        self._pair = None

    def begin(self, pair):
        self._pair = pair

    def end(self):
        guest = self._pair.side(self._pair.console.side)
        guest.ask('stop', timeout=60)
        line = guest.ask('job', timeout=60)
        parts, done = line.number_of('parts'), line.number_of('done')
        wrong = line.number_of('wrong') + line.number_of('misread')
        if not done:
            wrong += 1          # a check of nothing
        return {'wrong': wrong, 'text': f'{done} outputs of a job of {parts} '
                f'parts, {wrong} wrong'}


class RedisProbe(Probe):
    """Clients outside, over the guest's own network card."""
    guest_settings = {'network': True}
    settle_reports = 20
    RATE = 300
    KEYS = 4000
    VALUE_BYTES = 4096
    PERIOD_S = 0.1      # of the series of work done

    def __init__(self):
        self._load = None

    def begin(self, pair):
        self._load = RedisLoad(pair, rate=self.RATE, keys=self.KEYS,
                               value_bytes=self.VALUE_BYTES).start()

    def end(self):
        found = self._load.stop()
        wrong = found['wrong']
        text = (f'{found["requests"]} answers and {found["keys"]} keys of '
                f'Redis, {wrong} wrong values')
        if found['keys'] != self.KEYS:
            wrong += self.KEYS - found['keys']
            text += f', {self.KEYS - found["keys"]} keys not readable'
        for name in ('first_wrong', 'first_error'):
            if found[name]:
                text += f', {name.replace("_", " ")}: {found[name]}'
        series = [(at, took / 1e6) for at, took, _ in found['series']]
        return {'wrong': wrong, 'text': text, 'errors': found['errors'],
                'latency': series,
                'done': per_period([at for at, _ in series], self.PERIOD_S)}


def per_period(times, period):
    """[(end of a period, how many of @times fall in it)]; none is left out."""
    if not times:
        return []
    times = sorted(times)
    begin, last = times[0], times[-1]
    counts = [0] * (int((last - begin) / period) + 1)
    for index, some in itertools.groupby(
            times, key=lambda at: int((at - begin) / period)):
        counts[index] = sum(1 for _ in some)
    # The last period is not a whole one.
    return [(begin + (i + 1) * period, count)
            for i, count in enumerate(counts[:-1])]
