"""Silences of the tick, CPU time of a QEMU, and faults at the destination.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import re

from ..record import STAMP

#: A shorter silence of the 1 ms tick is not kept.
GAP_S = 0.003
#: After RESUME, a silence still counts as that of the switch.
SWITCH_MARGIN_S = 0.1

# The destination logs these, patched or not: two lines for each fault, none
# for other pages.
FAULT_EVENTS = ('postcopy_ram_fault_thread_request', 'postcopy_page_req_del')
_REQUEST = re.compile(STAMP + r'postcopy_ram_fault_thread_request '
                      r'Request for HVA=(0x[0-9a-f]+)')
_PLACED = re.compile(STAMP + r'postcopy_page_req_del '
                     r'resolved page req (0x[0-9a-f]+)')
PAGE_MASK = ~0xfff


def trace_arguments(side, faults_too):
    """For a QEMU, after the harness's own "-trace hybrid_*".

    Those events are turned off again: some come with each page, and only the
    patched QEMU would pay for them.
    """
    args = ['-trace', '-hybrid_*']
    if side == 'dst' and faults_too:
        args += [word for event in FAULT_EVENTS for word in ('-trace', event)]
    return args


# The tick.

def gaps(ticks, least=GAP_S):
    """[(from, to, side before, side after)] of all silences."""
    found = []
    for before, after in zip(ticks, ticks[1:]):
        if after.at - before.at >= least:
            found.append((before.at, after.at, before.side, after.side))
    return found


def longest(silences, begin, end):
    """The longest that touches the interval, in seconds; 0 if none does."""
    return max((to - since for since, to, *_ in silences
                if since <= end and to >= begin), default=0.0)


def downtime(silences, stop, resume):
    """The longest silence around the switch; None if there was no switch."""
    if stop is None or resume is None:
        return None
    return longest(silences, stop, resume + SWITCH_MARGIN_S)


# CPU time.

def _times(stat):
    """(name, user and system time in seconds) of a line of /proc."""
    name, _, rest = stat.partition('(')[2].rpartition(')')
    fields = rest.split()
    ticks = int(fields[11]) + int(fields[12])
    return name, ticks / os.sysconf('SC_CLK_TCK')


def cpu_seconds(pid):
    """{"all": ..., "vcpu": ..., "main": ..., "threads": {...}} of one QEMU.

    The process's sum has the threads in it that have ended; so what is not a
    vCPU is known exactly, however short a migration thread lived. vCPU threads
    are known by their names (-name debug-threads=on).
    """
    def read(path):
        with open(path, encoding='ascii', errors='replace') as stat:
            return _times(stat.read())
    result = {'vcpu': 0.0, 'main': 0.0, 'threads': {}}
    folder = f'/proc/{pid}/task'
    for task in os.listdir(folder):
        try:
            name, seconds = read(f'{folder}/{task}/stat')
        except OSError:
            continue            # it has ended just now
        result['threads'][task] = seconds
        if name.startswith('CPU '):
            result['vcpu'] += seconds
        elif task == str(pid):
            result['main'] = seconds
    result['all'] = read(f'/proc/{pid}/stat')[1]
    return result


def cpu_between(before, after):
    """Seconds used in between, rounded to the kernel's clock ticks.

    "migration" is all but vCPUs; "begun" is what began in between: of a QEMU
    that migrates, the threads of the migration.
    """
    used = {key: round(after[key] - before[key], 3)
            for key in ('all', 'vcpu', 'main')}
    old = sum(after['threads'].get(task, seconds) - seconds
              for task, seconds in before['threads'].items())
    used['migration'] = round(used['all'] - used['vcpu'], 3)
    used['begun'] = round(used['all'] - old, 3)
    return used


def host_cpu_seconds():
    """(busy, all) of the host's CPUs since it was started."""
    with open('/proc/stat', encoding='ascii') as stat:
        values = [int(word) for word in stat.readline().split()[1:9]]
    idle = values[3] + values[4]
    ticks = os.sysconf('SC_CLK_TCK')
    return (sum(values) - idle) / ticks, sum(values) / ticks


def own_cpu_seconds():
    """Of the bench itself and its helpers that have ended."""
    times = os.times()
    return (times.user + times.system + times.children_user +
            times.children_system)


# Faults.

def faults(trace_file):
    """(number of faults, [latency in us]) from the destination's trace.

    A latency is from the fault thread having read a fault to the page being
    in place, for each page once. The kernel's part, before and after, is not
    in it. A fault on a page that came in the meantime has none.
    """
    number, asked, took = 0, {}, []
    try:
        with open(trace_file, encoding='utf-8', errors='replace') as trace:
            for line in trace:
                match = _REQUEST.match(line)
                if match:
                    number += 1
                    asked.setdefault(int(match[2], 16) & PAGE_MASK,
                                     float(match[1]))
                    continue
                match = _PLACED.match(line)
                if match:
                    at = asked.pop(int(match[2], 16), None)
                    if at is not None:
                        took.append(round((float(match[1]) - at) * 1e6))
    except FileNotFoundError:
        pass
    return number, took
