"""What sampling costs: rounds with the page bitmap and without it.

The rounds of one guest are held at a trickle, so that they last; in turn the
dirty log is sampled for the page bitmap or left alone. What differs is the
cost: of the guest's work, as each look at the dirty log has its next writes
noted again, and of the source's own threads. The guest's work is counted by
the CPU time of its vCPU; the speed of a CPU that is shared with other machines
drifts by more than the cost within seconds, so windows are short, and many.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import statistics

from ..guest import GuestConfig
from ..migrate import Migration
from ..pair import Pair
from . import observe
from .techniques import COMMON_PARAMETERS

#: Bytes per second: a round takes longer than a window.
TRICKLE = 2 * 2**20
MEM_MIB, PAGES = 200, 30000
#: Workloads that write much of what they have, all the time.
WORKLOADS = {'sequential': f'hot pages={PAGES // 4} rate=0',
             'uniform': f'random pages={PAGES // 2} rate=0'}
#: Reports of the guest, ten a second: those that the first writes after the
#: log was switched on may slow down, and those that count.
SETTLE, WINDOW = 5, 20
#: With, without, without, with: a drift hits both alike.
ORDER = (True, False, False, True)


def _wait(pair, number):
    if not pair.console.wait(lambda: len(pair.console.reports()) >= number,
                             120):
        raise TimeoutError('the guest does not report its work')


def _window(pair, bitmap):
    """Operations per vCPU second, and CPU use, while a round lasts."""
    migration = Migration(pair, parameters={
        **COMMON_PARAMETERS, 'max-bandwidth': TRICKLE,
        'hybrid-hot-threshold': 2 if bitmap else 0})
    migration.start()
    if not migration.wait_phase('rounds'):
        raise RuntimeError('the rounds do not begin')
    begin = len(pair.console.reports()) + SETTLE
    _wait(pair, begin + 1)
    cpu = observe.cpu_seconds(pair.src.machine.get_pid())
    _wait(pair, begin + WINDOW + 1)
    cpu = observe.cpu_between(cpu, observe.cpu_seconds(
        pair.src.machine.get_pid()))
    reports = pair.console.reports()[begin:begin + WINDOW + 1]
    migration.cancel()
    migration.wait_end()
    pair.renew_destination()
    took = reports[-1].at - reports[0].at
    done = sum(line.number_of('done') for line in reports[1:])
    return {'bitmap': bitmap,
            'rate': done / cpu['vcpu'],
            'cpu_percent': cpu['migration'] * 100 / took}


def measure(run, binary, workload, accel='tcg', machine='pc', times=6):
    """All windows of one workload, in their order."""
    pair = Pair(run, binary, rate='1gbit', config=GuestConfig(
        mem=MEM_MIB, pages=PAGES, accel=accel, machine=machine,
        workload=WORKLOADS[workload]),
        src_extra=['-name', 'sampling,debug-threads=on', '-trace',
                   '-hybrid_*'])
    pair.start(timeout=120)
    return [_window(pair, bitmap) for _ in range(times) for bitmap in ORDER]


def costs(windows):
    """Of each four windows: (percent of the guest's work, percent
    of one CPU) that sampling took; negative if by chance it was faster."""
    found = []
    size = len(ORDER)
    for i in range(0, len(windows) - size + 1, size):
        both = {bitmap: [w for w in windows[i:i + size]
                         if w['bitmap'] == bitmap] for bitmap in (True, False)}
        rate, cpu = ({b: statistics.mean(w[key] for w in part)
                      for b, part in both.items()}
                     for key in ('rate', 'cpu_percent'))
        found.append(((1 - rate[True] / rate[False]) * 100,
                      cpu[True] - cpu[False]))
    return found


def text(entry):
    """One line for the report."""
    work, cpu = zip(*costs(entry['windows']))
    each = (f'{statistics.median(values):.1f} % ({min(values):.1f} to '
            f'{max(values):.1f})' for values in (work, cpu))
    return ('sampling the dirty log while rounds run, {} writer at full '
            'speed: takes {} of the guest\'s work and {} of one CPU'
            .format(entry['workload'], *each))
