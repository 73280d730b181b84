"""What the trace has of a run: its rounds and its handoff, for the unit tests
and the model, and the looks at the dirty log.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import collections
import os
import re

STEP = re.compile(r'side=(src|dst) \w+ --\w+--> \w+')
FIELD = re.compile(r'(\w+)=(\S+)')
CONFIG = ('max_rounds', 'min_gain', 'max_resend', 'max_time_us', 'max_bytes',
          'downtime_limit_us', 'page_size', 'total_pages', 'rtt_us')
ROUND = ('round', 'pages', 'zero_pages', 'bytes', 'remaining_pages',
         'dirtied_pages', 'unsent_pages', 'deferred_pages', 'hot_pages',
         'time_us', 'bandwidth', 'cut', 'cut_reason', 'action', 'reason')
#: Only there where host pages are larger than those of the target.
WHOLE = ('whole_remaining', 'whole_dirtied', 'whole_hot')
#: Only there where a round trip is long.
FAR = ('handoff_pages', 'grown', 'ease')

#: How a line of the trace begins; the group is the time.
STAMP = r'^\d+@(\d+\.\d+):'
LOOK = re.compile(STAMP + r'hybrid_page_bitmap_sample (.*)$')

#: at: when, in seconds, of the host's clock of the day. over_s: since the log
#: was cleared. cleared: True: for this look's sake; None: as a round ends.
Look = collections.namedtuple('Look', 'at over_s pages cpu_s cleared')


def trace_lines(guest):
    """What the trace events of hybrid_* of one QEMU have logged."""
    if not os.path.exists(guest.trace_file):
        return []
    with open(guest.trace_file, encoding='utf-8', errors='replace') as trace:
        return trace.read().splitlines()


def handoff_lines(*guests):
    """The steps of the handoff, as tests/model/replay reads them."""
    return [match[0] for guest in guests for line in trace_lines(guest)
            if (match := STEP.search(line))]


def looks(guest):
    """Each Look at the dirty log of a source, for the page bitmap."""
    found = []
    for line in trace_lines(guest):
        if match := LOOK.match(line):
            fields = _fields(match[2])
            found.append(Look(float(match[1]), int(fields['over_us']) / 1e6,
                              int(fields['fresh']),
                              int(fields['cost_us']) / 1e6,
                              fields['cleared'] == '1'))
        elif ':hybrid_round round=' in line and found:
            found[-1] = found[-1]._replace(cleared=None)
    return found


def _dash(key):
    return key.replace('_', '-')


def _fields(line):
    return dict(FIELD.findall(line))


def _between(entry):
    """A line of what came before the end of a round: a sample, or a limit."""
    if 'downtime_limit_us' in entry:
        return f'limit downtime-limit-us={entry["downtime_limit_us"]}'
    runs = f' runs={entry["runs"]}' if 'runs' in entry else ''
    return (f'sample over-us={entry["over_us"]} pages={entry["fresh"]} '
            f'whole={entry.get("whole", entry["fresh"])}{runs}')


def rounds_text(guest):
    """The rounds as tests/unit/data/*.rounds holds them, or None."""
    config, rounds, samples = None, {}, []
    for line in trace_lines(guest):
        if 'hybrid_rounds_config' in line:
            config, rounds, samples = _fields(line), {}, []
        elif 'hybrid_page_bitmap_sample ' in line:
            samples.append(_fields(line))
        elif any(f'hybrid_page_bitmap_sample_{what} ' in line
                 for what in ('whole', 'runs')):
            samples[-1].update(_fields(line))
        elif 'hybrid_rounds_limit ' in line:
            samples.append(_fields(line))
        elif any(f'hybrid_round{kind} ' in line
                 for kind in ('', '_more', '_handoff', '_whole')):
            fields = _fields(line)
            entry = rounds.setdefault(int(fields['round']), {'samples': []})
            entry.update(fields)
            entry['samples'] += samples
            samples = []
    if not config or not rounds:
        return None
    text = ['hybrid-rounds ' +
            ' '.join(f'{_dash(key)}={config[key]}' for key in CONFIG)]
    for number in sorted(rounds):
        r = dict(rounds[number])
        text += [_between(entry) for entry in r['samples']]
        r['cut'] = 'true' if r['cut'] == '1' else 'false'
        text.append(' '.join(f'{_dash(key)}={r[key]}' for key in ROUND + WHOLE + FAR
                             if key in r or key in ROUND))
    return '\n'.join(text) + '\n'
