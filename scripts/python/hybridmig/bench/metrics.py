"""The figures of a cell: names, units, and what counts as a difference.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Metric:
    """One figure. Of all of them less is better."""
    key: str            # in the results
    title: str          # head of its column
    digits: int         # behind the point
    floor: float        # a smaller difference is never called a change
    meaning: str        # one sentence, for the report

    def text(self, value):
        return '-' if value is None else f'{value:.{self.digits}f}'


#: Of a page in the stream, with its header.
PAGE_BYTES = 4096 + 8

METRICS = [Metric(*row) for row in (
    ('downtime_ms', 'downtime ms', 0, 3,
     "longest silence of the guest's 1 ms tick that touches the switch, "
     'STOP to 100 ms after RESUME, on the host\'s clock'),
    ('stall_ms', 'longest stall ms', 0, 3,
     'longest silence of the tick from the start of the migration until the '
     "guest's rate is back"),
    ('total_s', 'total s', 2, 0.05,
     'from the first command until the source is done and the guest runs at '
     'the destination'),
    ('wire_mib', 'wire MiB', 1, 1,
     'bytes that left the source, headers included, by the interface'),
    ('back_mib', 'back MiB', 2, 0.1,
     'bytes that left the destination, the same way'),
    ('short_s', 'work lost s', 2, 0.05,
     'what the work in windows of 10 ms is below the median speed of the two '
     'seconds after the end, from the start until full speed is back'),
    ('lost_s', 'net lost s', 2, 0.05,
     'work expected at the rate before, minus work done, until the rate is '
     'back, in seconds of that rate: what is made up for is not in it, what '
     'the host loses in speed is'),
    ('cpu_s', 'CPU s', 2, 0.05,
     'CPU seconds of both QEMUs without their vCPU threads'),
    ('page_cpu_us', 'CPU us/page', 2, 0.2,
     'that, for each page that crossed as data: bytes on the wire over '
     f'{PAGE_BYTES}'),
    ('paging_us', 'paging us/page', 2, 0.2,
     'the same of the threads that the migration begins alone (without the '
     'main threads, which load devices, among others), where all memory goes '
     'by postcopy, so that these threads carry all of it'),
    ('faults', 'faults', 0, 10,
     'page faults of the destination that had to wait for the source'),
    ('fault_p50_us', 'fault p50 us', 0, 20,
     'from the fault thread reading a fault to the page being placed, median'),
    ('fault_p99_us', 'fault p99 us', 0, 20, 'the same, 99th percentile'),
    ('client_p50_ms', 'client p50 ms', 2, 0.05,
     'latency that an outside client saw during the migration, median'),
    ('client_p99_ms', 'client p99 ms', 2, 0.2, 'the same, 99th percentile'),
    ('client_max_ms', 'client max ms', 1, 1, 'the same, maximum'),
    ('client_beyond_ms', 'client beyond ms', 1, 2,
     'that, beyond the longest that clients saw when the guest was stopped '
     'in place for 15 ms before, in the same run'),
    ('client_errors', 'client errors', 0, 0, 'requests that failed'),
    ('blackout_ms', 'blackout ms', 1, 2,
     'longest time in which no request of the client was answered'),
)]
BY_KEY = {metric.key: metric for metric in METRICS}

#: Techniques that send all memory by postcopy.
PAGING_TECHNIQUES = ('postcopy', 'postcopy-preempt', 'hybrid-at-once')

OK, WRONG, FAILED = 'ok', 'WRONG', 'failed'
NO_CONVERGE, UNAVAILABLE = 'does not converge', 'not available in this build'
#: From best to worst, for comparing.
STATUSES = (OK, NO_CONVERGE, UNAVAILABLE, FAILED, WRONG)


def derive(cell):
    """Add the figures of a cell that follow from others."""
    figures = cell['figures']
    if cell['status'] == OK and figures.get('wire_mib') and \
            figures.get('cpu_s') is not None:
        pages = figures['wire_mib'] * 2**20 / PAGE_BYTES
        figures['page_cpu_us'] = round(figures['cpu_s'] * 1e6 / pages, 3)
        if figures.get('begun_s') is not None and \
                cell['technique'] in PAGING_TECHNIQUES:
            figures['paging_us'] = round(figures['begun_s'] * 1e6 / pages, 3)
