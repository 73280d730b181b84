"""Results as rows of text, for the report and for the documents.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import dataclasses

from . import metrics, techniques
from .metrics import METRICS

#: (key in "qemu", head, digits, factor)
QEMU_COLUMNS = (
    ('preparation_ms', 'preparation ms', 0, 1),
    ('downtime_ms', 'downtime ms', 0, 1),
    ('resume_ms', 'resume ms', 0, 1),
    ('total_ms', 'total s', 2, 1e-3),
    ('pages', 'pages', 0, 1),
    ('bytes', 'MiB', 1, 2**-20),
    ('degradation', 'degradation %', 1, 1),
)


@dataclasses.dataclass
class Table:
    head: list
    rows: list
    statuses: list      # of each row, for its colour


def title_of(name):
    technique = techniques.BY_NAME.get(name)
    return technique.title if technique else name


def spread_text(spread, digits, factor=1):
    """"median (least to most)"."""
    if spread is None:
        return '-'
    median, least, most = (f'{value * factor:.{digits}f}' for value in
                           (spread.median, spread.least, spread.most))
    if spread.number == 1 or least == most:
        return median
    return f'{median} ({least} to {most})'


def notes_text(summary):
    """What drivers noted, of the first cell with figures."""
    if not summary.good:
        return ''
    notes, parts = summary.good[0]['notes'], []
    # What the rounds ended with, of each repetition
    actions = [cell['notes'].get('action') for cell in summary.good]
    if any(actions):
        parts.append(' and '.join(f'{actions.count(action)} x {action}'
                                  for action in dict.fromkeys(actions)))
    if 'bound_s' in notes:
        parts.append(f'cancelled after {notes["bound_s"]:.0f} s in pass '
                     f'{notes["passes"]}, {notes["left_mib"]:.0f} MiB left')
    if 'residue_mib' in notes:
        parts.append(f'{notes["residue_mib"]:.1f} MiB not there after '
                     f'{notes["demand_s"]:.0f} s of paging, then pushed')
    changed = notes.get('changed')
    if changed and changed['pages']:
        parts.append(f'{changed["bytes"] / changed["pages"]:.0f} bytes '
                     f'changed of each of {changed["pages"]} pages')
    deltas = notes.get('deltas')
    if deltas and deltas['pages']:
        parts.append(f'{deltas["pages"]} pages as deltas of '
                     f'{deltas["bytes"] / deltas["pages"]:.0f} bytes, '
                     f'{deltas["whole"]} whole, of {deltas["bases"]} bases')
    elif deltas and 'decision' in deltas:
        parts.append(f'deltas: {deltas["decision"]}')
    if 'checked' in notes:
        parts.append(notes['checked'])
    raw = summary.good[0]['raw']
    if raw.get('lost_error_s') is not None and raw.get('back') is None:
        parts.append('the rate did not come back')
    if raw.get('short') and raw['short']['back'] is None:
        parts.append('full speed did not come back')
    return ', '.join(parts)


def outside(group):
    """What was measured from outside; columns that have any value."""
    shown = [metric for metric in METRICS
             if any(s.spread(metric.key) for s in group.values())]
    rows = []
    for name, summary in group.items():
        rows.append([title_of(name), summary.status_text()] +
                    [spread_text(summary.spread(metric.key), metric.digits)
                     for metric in shown] + [notes_text(summary)])
    return Table(['technique', 'status'] + [m.title for m in shown] +
                 ['notes'], rows, [s.status for s in group.values()])


def inside(group):
    """QEMU's own six metrics, and how often they disagree."""
    rows, statuses = [], []
    for name, summary in group.items():
        spreads = [summary.spread(key, 'qemu')
                   for key, *_ in QEMU_COLUMNS]
        if not any(spreads):
            continue
        flagged = sum(bool(r['flags']) for r in summary.records)
        rows.append([title_of(name)] + [
            spread_text(spread, digits, factor) for spread, (_, _, digits,
                                                             factor)
            in zip(spreads, QEMU_COLUMNS)] +
            [f'{flagged} of {len(summary.records)}' if flagged else 'no'])
        statuses.append(metrics.OK)
    return Table(['technique'] + [head for _, head, *_ in QEMU_COLUMNS] +
                 ['disagrees'], rows, statuses)


def remarks(group):
    """Lines: cells that are wrong or failed, and disagreements."""
    lines = []
    for summary in group.values():
        lines += [f'{key}: {status}: {reason}'
                  for key, status, reason in summary.reasons()]
        lines += [f'{key}: {text}'
                  for key, text in summary.flags()]
    return lines


def audits(results):
    """One sentence on memory."""
    checked = [cell['audit'] for cell in results.cells if cell['audit']]
    pages = sum(audit['pages'] for audit in checked)
    wrong = sum(audit['wrong'] for audit in checked)
    bad = sum(cell['status'] == metrics.WRONG for cell in results.cells)
    return (f'{len(checked)} guests checked their memory: {pages} pages, '
            f'{wrong} wrong; {bad} cells are WRONG')


def counts(results):
    """[(status, number)] of all cells."""
    found = [(status, sum(cell['status'] == status for cell in results.cells))
             for status in metrics.STATUSES]
    return [(status, number) for status, number in found if number]
