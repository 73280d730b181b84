"""The picture of a run: the guest's work over time, with the phases.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import time

from . import measure

COLORS = {'preparation': '#d9d9d9', 'rounds': '#c6dbef',
          'state-transfer': '#fb6a4a', 'resume': '#fdae6b',
          'paging': '#c7e9c0', 'completed': '#ffffff'}


def throughput(pair):
    """[(seconds on time.monotonic(), pages per second, side)]."""
    points, last = [], None
    for line in pair.console.reports():
        if last is not None and line.at > last.at:
            points.append((line.at, line.number_of('done') /
                           (line.at - last.at), line.side))
        last = line
    return points


def draw(migration, name, title, until=None):
    """Write the picture; returns its name. @until: time.monotonic()."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot
    points = [point for point in throughput(migration.pair)
              if until is None or point[0] <= until]
    # Events carry the wall clock, lines the monotonic one.
    shift = time.time() - time.monotonic()
    phases = measure.phases(migration)
    begin = phases[0][1] if phases else points[0][0] + shift
    fig, axes = pyplot.subplots(figsize=(9, 4), dpi=110)
    for side, color, label in (('src', '#08519c', 'guest at the source'),
                               ('dst', '#006d2c', 'guest at the destination')):
        mine = [(at + shift - begin, rate) for at, rate, where in points
                if where == side]
        if mine:
            axes.step(*zip(*mine), where='pre', color=color, label=label)
    end = max((at for at, _, _ in points), default=begin) + shift - begin
    for phase, start, stop in phases:
        if phase == 'completed':
            axes.axvline(start - begin, color='black', linewidth=0.8,
                         linestyle=':', label='completed')
            continue
        stop = end if stop is None else stop - begin
        axes.axvspan(start - begin, max(stop, start - begin + 0.01),
                     color=COLORS.get(phase, '#eeeeee'), label=phase, zorder=0)
    axes.set_xlim(min(0, points[0][0] + shift - begin) if points else 0, end)
    axes.set_ylim(bottom=0)
    axes.set_xlabel('seconds since the migrate command')
    axes.set_ylabel('pages written per second')
    axes.set_title(title)
    axes.legend(loc='center left', bbox_to_anchor=(1.0, 0.5), fontsize=8)
    fig.tight_layout()
    fig.savefig(name)
    pyplot.close(fig)
    return name
