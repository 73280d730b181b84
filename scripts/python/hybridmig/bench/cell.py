"""One cell: a guest, a migration, what was seen of it, and the audit.

All times of a record are in seconds from the first command of the migration.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import dataclasses
import os
import time
import traceback

from .. import measure, paths
from ..console import GuestError
from ..migrate import Migration
from ..monitor import QmpError, QmpLost
from ..pair import Pair
from ..runs import Run
from . import (cross, drivers, metrics, observe, samples, shortfall, speed,
               worklost)
from .techniques import BY_NAME as TECHNIQUES, PATCHED
from .workloads import BY_NAME as WORKLOADS
from .links import BY_NAME as LINKS

#: What can go wrong in a run; anything else is noted with its traceback.
EXPECTED = (QmpError, QmpLost, GuestError, RuntimeError, TimeoutError,
            drivers.CellError)
#: Reports of the guest (ten a second) before the migration.
WINDOW_REPORTS = 20
#: As many after it, at least: what the speed then is.
AFTER_REPORTS = 22
#: How long the guest's rate may take to come back, seconds.
BACK_LIMIT_S = 15
MOST_LATENCIES = 4000
#: How long the guest is stopped in place, for its clients to see what that
#: alone costs them, and reports of the guest before and after it.
IN_PLACE_S, SETTLE_REPORTS = 0.015, 10


@dataclasses.dataclass(frozen=True)
class Cell:
    """What is to be run."""
    technique: str
    workload: str
    link: str
    repeat: int

    @property
    def key(self):
        return f'{self.technique}/{self.workload}/{self.link}/{self.repeat}'

    @property
    def group(self):
        return self.workload, self.link


@dataclasses.dataclass(frozen=True)
class Settings:
    """What all cells have in common."""
    scale: float = 1.0
    accel: str = 'tcg'
    machine: str = 'pc'
    fault_trace: bool = True
    logs: str = os.path.join(paths.BUILD, 'bench', 'logs')


def thinned(values, most=MOST_LATENCIES):
    """Sorted, and if they are many, evenly spaced ones with both ends."""
    values = sorted(values)
    if len(values) <= most:
        return values
    step = (len(values) - 1) / (most - 1)
    return [values[round(i * step)] for i in range(most)]


def percentile(values, percent):
    """Nearest rank; None of nothing."""
    if not values:
        return None
    values = sorted(values)
    return values[min(len(values) - 1, max(0, -(-len(values) * percent
                                                // 100) - 1))]


class CellMigration(Migration):
    """One whose cancelling is told before: the destination ends with it."""
    before_cancel = None

    def cancel(self):
        self.before_cancel()
        super().cancel()


class CellRun:
    """Runs one cell; everything it started ends with it."""
    def __init__(self, cell, settings, binaries):
        self.cell = cell
        self.settings = settings
        self.technique = TECHNIQUES[cell.technique]
        self.workload = WORKLOADS[cell.workload]
        self.link = LINKS[cell.link]
        self.binary = binaries[self.technique.build]
        self.config = self.workload.config(self.link, settings.scale,
                                           settings.accel, settings.machine)
        self.probe = self.workload.probe() if self.workload.probe else None
        self.logs = os.path.join(settings.logs, cell.key.replace('/', '_'))
        self.pair = None
        self.migration = None
        self.speed = None       # of the host
        self.cpu = {}           # of each side, as it was read last
        self.host = None        # CPU time of all, when the window began
        self.shift = 0.0        # from QEMU's clock to the monotonic one
        self.window = self.start = None
        self.stopped_at = None  # in place, for the clients
        self.record = {
            'key': cell.key, **dataclasses.asdict(cell),
            'status': metrics.FAILED, 'reason': None, 'figures': {},
            'qemu': {}, 'flags': [], 'notes': {}, 'audit': None, 'raw': {},
            'settings': self._described()}

    def _described(self):
        t, c = self.technique, self.config
        return {'build': t.build, 'driver': t.driver,
                'src_caps': t.all_src_caps(), 'dst_caps': t.all_dst_caps(),
                'parameters': t.all_parameters(c.mem),
                'dst_parameters': t.dst_parameters, 'mem_mib': c.mem,
                'pages': c.pages, 'smp': c.smp, 'guest': c.workload,
                'accel': c.accel, 'machine': c.machine,
                'link': self.link.text(), 'scale': self.settings.scale,
                'fault_trace': self.settings.fault_trace}

    def run(self):
        """Returns the record. Only a signal gets out of here."""
        begin = time.monotonic()
        self.record['began'] = time.strftime('%Y-%m-%dT%H:%M:%S%z')
        try:
            with Run(logs=self.logs) as run:
                self._guarded(run)
                if self.record['status'] in (metrics.FAILED, metrics.WRONG):
                    self.record['logs'] = run.keep()
        except Exception as exc:
            # Of the clean-up: a QEMU that had crashed.
            self._fail(exc)
        self.record['took_s'] = round(time.monotonic() - begin, 2)
        return self.record

    def _guarded(self, run):
        try:
            self._boot(run)
            with speed.SpeedProbe() as self.speed:
                self._window()
                self._migrate()
        except Exception as exc:
            self._fail(exc)
            self._audit_what_runs()

    def _fail(self, exc):
        if self.record['status'] != metrics.WRONG:
            self.record['status'] = metrics.FAILED
        said = self.record['reason']
        text = ' '.join(str(exc).split()) or type(exc).__name__
        if not isinstance(exc, EXPECTED):
            # Perhaps a mistake of the bench: say where.
            text = f'{type(exc).__name__}: {text}'
            os.makedirs(self.logs, exist_ok=True)
            with open(os.path.join(self.logs, 'traceback'), 'a',
                      encoding='utf-8') as out:
                traceback.print_exception(exc, file=out)
        self.record['reason'] = f'{said}; {text}' if said else text

    def _boot(self, run):
        src, dst = (
            ['-name', f'bench-{side},debug-threads=on'] +
            observe.trace_arguments(side, self.settings.fault_trace)
            for side in ('src', 'dst'))
        self.pair = Pair(run, self.binary, config=self.config, src_extra=src,
                         dst_extra=dst, **self.link.arguments())
        self.pair.start(timeout=120)
        if self.probe:
            self.probe.begin(self.pair)
            if self.probe.clients:
                self._stop_in_place()

    def _stop_in_place(self):
        """What clients see of a stop alone; the window comes after it."""
        self._wait_reports(SETTLE_REPORTS, 60)
        self.stopped_at = time.monotonic()
        self.pair.src.qmp('stop')
        time.sleep(IN_PLACE_S)
        self.pair.src.qmp('cont')
        self._wait_reports(SETTLE_REPORTS, 60)

    def _window(self):
        self.host = self._host()
        self._wait_reports(WINDOW_REPORTS, 60)
        self.pair.src.ask('touch reset')
        self.pair.src.ask('changed mark')

    def _reports(self):
        return self.pair.console.reports()

    def _wait_reports(self, number, timeout):
        """The window before: so many reports of the guest from now on."""
        seen = len(self._reports())
        self.pair.console.wait(
            lambda: len(self._reports()) >= seen + number, timeout,
            f'{number} reports of work')
        # The first is only where the window begins.
        self.window = self._reports()[seen].at

    def _host(self):
        """(all, busy, of this cell): seconds of CPU time up to now."""
        busy, every = observe.host_cpu_seconds()
        return every, busy, observe.own_cpu_seconds() + sum(
            used['all'] for used in self._cpu())

    def _cpu(self):
        """CPU time of both QEMUs; of one that has ended, what it was last."""
        for guest in (self.pair.src, self.pair.dst):
            with contextlib.suppress(OSError):
                self.cpu[guest.side] = observe.cpu_seconds(
                    guest.machine.get_pid())
        return [self.cpu['src'], self.cpu['dst']]

    def _bytes(self):
        return [self.pair.link.bytes_sent(side) for side in ('src', 'dst')]

    def _migrate(self):
        t, pair = self.technique, self.pair
        copied = self.link.copy_seconds(self.config.mem * 256)
        bounds = drivers.bounds_for(copied)
        self.migration = CellMigration(pair, t.all_src_caps(),
                                       t.all_dst_caps(),
                                       t.all_parameters(self.config.mem))
        self.migration.before_cancel = self._cpu
        pair.dst.set_parameters(t.dst_parameters)
        cpu, sent = self._cpu(), self._bytes()
        self.shift = time.monotonic() - time.time()
        self.start = time.monotonic()
        status, notes = drivers.DRIVERS[t.driver](self.migration, bounds)
        returned = time.monotonic()
        cpu = [observe.cpu_between(*both) for both in zip(cpu, self._cpu())]
        sent = [after - before for before, after in zip(sent, self._bytes())]
        self.record['notes'] = notes
        side = 'dst' if status == metrics.OK else 'src'
        times = self._times(status, returned)
        until = self._wait_back(times['end'])
        host = [after - before for before, after in
                zip(self.host, self._host())]
        touch = pair.side(side).ask('touch').fields
        changed = pair.side(side).ask('changed')
        notes['changed'] = {name: changed.number_of(name)
                            for name in ('pages', 'bytes', 'most')}
        fine = samples.ask(pair.side(side), pair.console,
                           time.monotonic() - self.window)
        outside = self.probe.end() if self.probe else {}
        self.record['qemu'] = cross.qemu_figures(self.migration)
        if self.technique.build == PATCHED and \
                self.migration.hybrid().get('action'):
            notes['action'] = self.migration.hybrid()['action']
            notes['deltas'] = self.migration.hybrid().get('deltas')
        self._measure(times, until, cpu, sent, outside)
        self._measure_fine(outside.get('fine') or fine, times, until)
        self.record['raw'].update(
            touch=touch, others=round((host[1] - host[2]) / host[0], 3),
            **self._speed(times['end']))
        self.record['status'] = status
        self._judge(side, outside)
        self.record['flags'] = cross.disagreements(
            self.record['figures'], self.record['qemu'],
            completed=status == metrics.OK) + cross.doubts(
                self.record['figures'], self.record['raw'])

    def _speed(self, end):
        pieces = self.speed.pieces()
        change = speed.change(pieces, self.start, end)
        return {'speed_change': None if change is None else round(change, 3),
                'speed': [(self._relative(at), round(took * 1e6))
                          for at, took in pieces]}

    def _times(self, status, returned):
        """Moments, on the monotonic clock."""
        if status != metrics.OK:
            return {'stop': None, 'resume': None, 'end': returned}
        log = self.pair.log
        stop = log.last('src', 'STOP')
        resume = self.migration.event('dst', 'RESUME')
        done = self.migration.status_seen('src', 'completed')
        if not stop or not resume:
            raise drivers.CellError('completed without STOP at the source or '
                                    'RESUME at the destination')
        return {'stop': stop.time + self.shift,
                'resume': resume.time + self.shift,
                'end': max(done.time, resume.time) + self.shift}

    def _points(self, outside=None):
        if outside and outside.get('done'):
            return outside['done']
        return [(line.at, line.number_of('done')) for line in self._reports()]

    def _wait_back(self, end):
        """Until the rate is back, or the limit; returns when that was."""
        # Seen from here on; what came before is in the series, too.
        settle = self.probe.settle_reports if self.probe else 0
        self._wait_reports_after(end, settle + AFTER_REPORTS)
        self.pair.console.wait(
            lambda: worklost.is_back(self._points(), self.start, end,
                                     self.window), BACK_LIMIT_S)
        return time.monotonic()

    def _wait_reports_after(self, end, number):
        self.pair.console.wait(
            lambda: sum(line.at > end for line in self._reports()) >= number,
            60, f'{number} reports of work after the migration')

    def _measure(self, times, until, cpu, sent, outside):
        """Fill in the figures and the raw series they come from."""
        points = self._points(outside)
        lost = worklost.work_lost(points, self.window, self.start,
                                  times['end'])
        back = lost.until if lost else times['end']
        silences = observe.gaps(list(self.pair.console.ticks))
        down = observe.downtime(silences, times['stop'], times['resume'])
        number, latencies = observe.faults(self.pair.dst.trace_file) \
            if self.settings.fault_trace else (None, [])
        figures = {
            'downtime_ms': None if down is None else down * 1000,
            'stall_ms': observe.longest(silences, self.start, back) * 1000,
            'total_s': times['end'] - self.start,
            'wire_mib': sent[0] / 2**20, 'back_mib': sent[1] / 2**20,
            'lost_s': lost.lost_s if lost else None,
            'cpu_s': sum(used['migration'] for used in cpu),
            'begun_s': sum(used['begun'] for used in cpu),
            'faults': number,
            'fault_p50_us': percentile(latencies, 50),
            'fault_p99_us': percentile(latencies, 99),
            **self._client(outside, back)}
        self.record['figures'] = {
            key: None if value is None else round(value, 4)
            for key, value in figures.items()}
        rel = self._relative
        self.record['raw'] = {
            'done': [(rel(at), done) for at, done in points
                     if self.window <= at <= until],
            'sides': self._sides(until),
            'gaps': [(rel(since), rel(to), a, b) for since, to, a, b
                     in silences if to >= self.window and since <= until],
            'window': rel(self.window),
            'times': {key: rel(value) for key, value in times.items()},
            'back': rel(lost.back_at) if lost else None,
            'rate': round(lost.rate, 1) if lost else None,
            'lost_error_s': round(lost.error_s, 3) if lost else None,
            'phases': [(name, rel(a + self.shift),
                        rel(None if b is None else b + self.shift))
                       for name, a, b in measure.phases(self.migration)],
            'rounds': self._hybrid_rounds(),
            'cpu': {'src': cpu[0], 'dst': cpu[1]},
            'bytes': {'src': sent[0], 'dst': sent[1]},
            'fault_us': thinned(latencies),
            'latency': [(rel(at), round(took, 6)) for at, took
                        in outside.get('latency', ())]}

    def _measure_fine(self, fine, times, until):
        """Work lost, from windows of 10 ms."""
        fine = [sample for sample in fine if self.window <= sample[0] <= until]
        most = self.workload.most(self.link, self.settings.scale)
        found = shortfall.shortfall(
            fine, self.start, times['end'],
            speed.change(self.speed.pieces(), self.start, times['end']), most)
        self.record['figures']['short_s'] = \
            round(found.lost_s, 4) if found else None
        self.record['raw']['fine'] = samples.packed(
            [(at - self.start, work) for at, work in fine])
        self.record['raw']['short'] = found and {
            **{key: value if isinstance(value, bool) else round(value, 4)
               for key, value in dataclasses.asdict(found).items()
               if key not in ('back_at', 'until')},
            'most': most, 'back': self._relative(found.back_at),
            'until': self._relative(found.until)}

    def _relative(self, at):
        return None if at is None else round(at - self.start, 4)

    def _sides(self, until):
        """When the guest was first heard at the destination."""
        for tick in list(self.pair.console.ticks):
            if tick.side == 'dst' and tick.at <= until:
                return [('src', None), ('dst', self._relative(tick.at))]
        return [('src', None)]

    def _hybrid_rounds(self):
        if self.technique.build == 'qemu-base':
            return []
        return self.migration.hybrid().get('rounds', [])

    def _client(self, outside, back):
        self.record['notes'].update(
            {'checked': outside['text']} if 'text' in outside else {})
        if not outside.get('latency'):
            return {}
        samples = [(at, took) for at, took in outside['latency']
                   if self.start <= at <= back]
        took = [took * 1000 for _, took in samples]
        in_place = max((took * 1000 for at, took in outside['latency']
                        if self.stopped_at <= at < self.window), default=None)
        self.record['notes']['client_in_place_ms'] = in_place
        answered = [self.start] + [at for at, _ in samples]
        dark = max((b - a for a, b in zip(answered, answered[1:])),
                   default=None)
        return {'client_p50_ms': percentile(took, 50),
                'client_p99_ms': percentile(took, 99),
                'client_max_ms': max(took, default=None),
                'client_beyond_ms': max(took) - in_place
                if took and in_place else None,
                'client_errors': outside.get('errors', 0),
                'blackout_ms': None if dark is None else dark * 1000}

    # What must be true.

    def _judge(self, side, outside):
        """The audit; anything wrong makes the cell wrong."""
        wrong = []
        running = self.pair.running_sides()
        if running != [side]:
            wrong.append(f'the guest runs at {running or "neither side"}, '
                         f'not only at {side}')
        wrong += self._audit(side)
        if outside.get('wrong'):
            wrong.append(f'{outside["wrong"]} wrong: '
                         f'{outside.get("text", "outside the guest")}')
        if wrong:
            self.record['status'] = metrics.WRONG
            self.record['reason'] = '; '.join(wrong)

    def _audit(self, side):
        """What is wrong, as a list of texts."""
        audit = self.pair.side(side).audit(timeout=180)
        wrong = [] if audit.right else [f'memory: {audit}']
        if audit.pages != self.config.pages:
            wrong.append(f'{audit.pages} pages checked, the guest has '
                         f'{self.config.pages}')
        faults = self.pair.console.faults
        if faults:
            wrong.append(f'{len(faults)} times heard twice, lost or misread, '
                         f'first: {faults[0]}')
        self.record['audit'] = {'side': side, 'pages': audit.pages,
                                'wrong': audit.wrong, 'text': str(audit),
                                'faults': faults[:20]}
        return wrong

    def _audit_what_runs(self):
        """After a failure: memory that is wrong matters more than it."""
        try:
            running = self.pair.running_sides() if self.pair else []
            if len(running) != 1:
                return
            wrong = self._audit(running[0])
        except Exception as exc:
            self._fail(exc)
            return
        if wrong:
            self.record['status'] = metrics.WRONG
            self.record['reason'] += '; ' + '; '.join(wrong)


def unavailable(cell, reason):
    """The record of a cell that this build cannot run."""
    return {'key': cell.key, **dataclasses.asdict(cell),
            'status': metrics.UNAVAILABLE, 'reason': reason, 'figures': {},
            'qemu': {}, 'flags': [], 'notes': {}, 'audit': None, 'raw': {},
            'settings': {}, 'took_s': 0}

