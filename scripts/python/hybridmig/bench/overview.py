"""One picture for each link: a figure of all techniques and workloads.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import math

from . import metrics, pictures
from .metrics import BY_KEY

#: A panel each.
SHOWN = ('downtime_ms', 'stall_ms', 'total_s', 'wire_mib', 'short_s', 'cpu_s')
MARKS = {metrics.WRONG: 'WRONG', metrics.FAILED: 'failed',
         metrics.UNAVAILABLE: 'n/a', metrics.NO_CONVERGE: 'n.c.'}


def links_of(found):
    return list(dict.fromkeys(link for _, link in found))


def grid(found, link, key):
    """(techniques, workloads, {(technique, workload): (text, value)}).

    A cell that is not right has its status for a text and no value.
    """
    workloads = [w for w, l in found if l == link]
    names, cells = [], {}
    for workload in workloads:
        for name, summary in found[workload, link].items():
            if name not in names:
                names.append(name)
            spread = summary.spread(key)
            if summary.status in MARKS:
                cells[name, workload] = MARKS[summary.status], None
            elif spread is None:
                cells[name, workload] = '-', None
            else:
                cells[name, workload] = (BY_KEY[key].text(spread.median),
                                         spread.median)
    order = {name: i for i, name in enumerate(pictures.NAMES)}
    names.sort(key=lambda name: order.get(name, len(order)))
    return names, workloads, cells


def _shades(names, workloads, cells):
    """From 0, the best of a workload, to 1, ten times as much or more."""
    shades = [[math.nan] * len(workloads) for _ in names]
    for column, workload in enumerate(workloads):
        values = [cells[name, workload][1] for name in names
                  if cells.get((name, workload), (0, None))[1] is not None]
        least = max(min(values, default=0), 1e-3)
        for row, name in enumerate(names):
            value = cells.get((name, workload), ('', None))[1]
            if value is not None:
                ratio = max(value, least) / least
                shades[row][column] = min(1, math.log10(ratio))
    return shades


def picture(found, link, path):
    """Draw it; returns the path."""
    pyplot = pictures.pyplot()
    first = grid(found, link, SHOWN[0])
    wide, high = len(first[1]), len(first[0])
    fig, panels = pyplot.subplots(
        3, 2, figsize=(3.5 + 1.15 * wide, 3 + 0.72 * high), dpi=100,
        sharex=True, sharey=True, squeeze=False)
    colors = pyplot.get_cmap('RdYlGn_r').copy()
    colors.set_bad('#e0e0e0')
    for axes, key in zip(panels.flat, SHOWN):
        names, workloads, cells = grid(found, link, key)
        axes.imshow(_shades(names, workloads, cells), cmap=colors, vmin=0,
                    vmax=1.3, aspect='auto')
        for row, name in enumerate(names):
            for column, workload in enumerate(workloads):
                text = cells.get((name, workload), ('', None))[0]
                bad = text in ('WRONG', 'failed')
                axes.text(column, row, text, ha='center', va='center',
                          fontsize=7, color='#b00000' if bad else 'black',
                          weight='bold' if bad else 'normal')
        axes.set_title(BY_KEY[key].title, fontsize=9)
        axes.set_xticks(range(wide))
        axes.set_xticklabels(workloads, rotation=40, ha='right', fontsize=7)
        axes.set_yticks(range(high))
        axes.set_yticklabels(names, fontsize=7)
    fig.suptitle(f'link {link}: medians; n.c.: does not converge\ngreen: the '
                 'best of a workload, red: ten times as much or more',
                 fontsize=9)
    fig.tight_layout()
    fig.savefig(path)
    pyplot.close(fig)
    return path
