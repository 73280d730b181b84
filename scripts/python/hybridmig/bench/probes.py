"""Parts of a workload that the guest's own audit does not see.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import itertools

from ..lan import SQLITE_PORT, RedisLoad, Session


class Probe:
    """For one cell. Times in its results are those of time.monotonic()."""
    #: Further arguments for GuestConfig.
    guest_settings = {}
    #: So many reports of the guest (ten a second) are waited for afterwards,
    #: where it does not show before end() whether the rate is back.
    settle_reports = 0
    #: Whether clients wait for answers.
    clients = False
    #: Units of work a second at most, or None.
    RATE = None

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
        fine:    the same, in pieces of 10 ms
        """
        raise NotImplementedError


class _InGuest(Probe):
    """Work of the guest's own program, which checks it when it is asked."""
    def __init__(self):
        self._pair = None

    def begin(self, pair):
        self._pair = pair

    def _guest(self):
        return self._pair.side(self._pair.console.side)

    @staticmethod
    def _done_and_wrong(line):
        done = line.number_of('done')
        wrong = line.number_of('wrong') + line.number_of('misread')
        return done, wrong if done else wrong + 1   # a check of nothing


class JobProbe(_InGuest):
    """The guest compresses; what came out is checked when it is stopped."""
    def end(self):
        guest = self._guest()
        guest.ask('stop', timeout=60)
        line = guest.ask('job', timeout=60)
        parts = line.number_of('parts')
        done, wrong = self._done_and_wrong(line)
        return {'wrong': wrong, 'text': f'{done} outputs of a job of {parts} '
                f'parts, {wrong} wrong'}


class CompileProbe(_InGuest):
    """The guest compiles; in the end all comes out as it did before."""
    # For the compiler, not for the card
    guest_settings = {'network': True, 'words': ('hm.serve=nothing',)}

    def end(self):
        line = self._guest().ask('compile', timeout=120)
        files = line.number_of('files')
        done, wrong = self._done_and_wrong(line)
        return {'wrong': wrong, 'text': f'{done} times a file compiled, '
                f'{files} files, {wrong} wrong'}


class RedisProbe(Probe):
    """Clients outside, over the guest's own network card."""
    guest_settings = {'network': True}
    settle_reports = 20
    clients = True
    RATE = 300
    KEYS = 4000
    VALUE_BYTES = 4096
    READS = 0.5
    PATCH = (0, 0)
    PERIOD_S, FINE_S = 0.1, 0.01    # of the series of work done

    def __init__(self):
        self._load = None

    def begin(self, pair):
        self._load = RedisLoad(pair, rate=self.RATE, keys=self.KEYS,
                               value_bytes=self.VALUE_BYTES,
                               reads=self.READS, patch=self.PATCH).start()

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
        text += self._patched(found['series'])
        return {'wrong': wrong, 'text': text, 'errors': found['errors'],
                'latency': series,
                **{name: per_period([at for at, _ in series], period)
                   for name, period in (('done', self.PERIOD_S),
                                        ('fine', self.FINE_S))}}

    def _patched(self, series):
        times = [at for at, _, kind in series if kind == 'set']
        if not self.PATCH[1] or len(times) < 2:
            return ''
        rate = len(times) * self.PATCH[1] / (times[-1] - times[0])
        return f', {rate:.0f} patched a second'


class RedisPatchProbe(RedisProbe):
    """Few bytes of many values: more pages a second than a link carries."""
    RATE = 100
    KEYS = 12000
    READS = 0.1
    PATCH = (24, 200)


class SqliteProbe(Probe):
    """A client outside has SQLite change rows, a transaction after another."""
    guest_settings = {'network': True, 'words': ('hm.serve=sqlite',)}
    clients = True
    PERIOD_S, FINE_S = 0.1, 0.01

    def __init__(self):
        self._pair = self._session = None

    def begin(self, pair):
        self._pair = pair
        self._session = Session(pair.lan, period_s=0, timeout=60,
                                port=SQLITE_PORT)
        if not self._session.wait_answer(60):
            raise RuntimeError(f'SQLite: {self._session.error}')

    def end(self):
        error = self._session.stop()
        line = self._pair.side(self._pair.console.side).ask('sqlite',
                                                            timeout=180)
        rows, wrong, done, failed = map(
            line.number_of, ('rows', 'wrong', 'transactions', 'failed'))
        whole = line.fields['integrity'] == 'ok'
        series = list(zip(self._session.answers, self._session.took))
        lost = abs(done - len(series)) > 1      # the last may be unanswered
        text = (f'{done} transactions of SQLite, {rows} rows, {wrong} wrong, '
                f'its integrity check {"ok" if whole else "not ok"}')
        if lost:
            text += f', {len(series)} answers'
        return {'wrong': wrong + failed + (not whole) + (not rows) + lost,
                'text': text + (f', {error}' if error else ''),
                'errors': int(error is not None), 'latency': series,
                **{name: per_period(self._session.answers, period)
                   for name, period in (('done', self.PERIOD_S),
                                        ('fine', self.FINE_S))}}


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
