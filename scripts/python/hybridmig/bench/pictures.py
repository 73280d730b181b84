"""The plots: what the guest got done over time, with techniques overlaid.

SPDX-License-Identifier: GPL-2.0-or-later
"""
from . import techniques

#: Shorter silences of the guest are not drawn.
SILENCE_S = 0.03
#: Of the curve; reports come ten times a second.
LEAST_STEP_S = 0.08
PHASES = (('at the source', '#9ecae1'), ('stopped', '#cb181d'),
          ('at the destination, paging', '#a1d99b'),
          ('until the rate is back', '#fdd0a2'))
NAMES = [technique.name for technique in techniques.TECHNIQUES]


def pyplot():
    """matplotlib.pyplot; imported late, as few need it."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot as plot
    return plot


def color(name):
    """The same for a technique in all pictures."""
    index = NAMES.index(name) if name in NAMES else len(NAMES)
    return pyplot().get_cmap('tab20')(index % 20)


def drawable(group):
    """[(technique, record)]: the first cell of each that has a series."""
    found = []
    for name, summary in group.items():
        record = next((r for r in summary.good if r['raw'].get('done')), None)
        if record:
            found.append((name, record))
    return found


def rates(record):
    """([times], [work per second]) as steps.

    Reports that came in a burst are taken together: one alone has a rate that
    never was.
    """
    done = record['raw']['done']
    times, work, collected = [done[0][0]], [0], 0
    for at, units in done[1:]:
        collected += units
        if at - times[-1] >= LEAST_STEP_S:
            work.append(collected / (at - times[-1]))
            times.append(at)
            collected = 0
    return times, work


def phases(record):
    """[(begin, end, color)] of the strip below."""
    times, back = record['raw']['times'], record['raw']['back']
    end = times['end']
    if times['stop'] is None:
        return [(0, end, PHASES[0][1])]
    spans = [(0, times['stop']), (times['stop'], times['resume']),
             (times['resume'], end), (end, back if back else end)]
    return [(a, b, PHASES[i][1]) for i, (a, b) in enumerate(spans) if b > a]


def _strips(axes, cells):
    for row, (_, record) in enumerate(cells):
        for begin, end, shade in phases(record):
            axes.barh(row, max(end - begin, 0.005), left=begin, height=0.6,
                      color=shade)
        for since, to, *_ in record['raw']['gaps']:
            if to - since >= SILENCE_S:
                axes.barh(row, to - since, left=since, height=0.22,
                          color='black')
    axes.set_yticks(range(len(cells)))
    axes.set_yticklabels([name for name, _ in cells], fontsize=7)
    axes.invert_yaxis()


def group_picture(group, title, path):
    """Draw one workload and link; returns the path, or None of nothing."""
    cells = drawable(group)
    if not cells:
        return None
    plot = pyplot()
    fig, (top, bottom) = plot.subplots(
        2, 1, sharex=True, figsize=(10, 4 + 0.26 * len(cells)), dpi=100,
        gridspec_kw={'height_ratios': [3.2, 0.8 + 0.26 * len(cells)]})
    for name, record in cells:
        times, work = rates(record)
        if any(work):
            ours = record['settings'].get('build') == techniques.PATCHED
            top.step(times, work, where='pre', label=name, color=color(name),
                     linewidth=1.8 if ours else 1, zorder=3 if ours else 2)
            for moment in ('stop', 'end'):
                at = record['raw']['times'][moment]
                if at is not None:
                    top.plot([at], [0], clip_on=False, color=color(name),
                             marker='v' if moment == 'stop' else 's',
                             markersize=5, zorder=3)
    _strips(bottom, cells)
    begin = min(record['raw']['window'] for _, record in cells)
    end = max(record['raw']['done'][-1][0] for _, record in cells)
    top.set_xlim(begin, end)
    # What a paced guest makes up for at full speed would hide the rest.
    before = max((record['raw']['rate'] or 0) for _, record in cells)
    highest = max(max(rates(record)[1]) for _, record in cells)
    top.set_ylim(0, min(1.05 * highest, 2 * before) or 1)
    top.set_ylabel("guest's work per second")
    top.set_title(f'{title}\n(triangle: the guest stops at the source, '
                  'square: the migration is done)', fontsize=9)
    if top.lines:
        top.legend(loc='center left', bbox_to_anchor=(1, 0.5), fontsize=7)
    handles = [plot.Rectangle((0, 0), 1, 1, color=shade)
               for _, shade in PHASES] + \
              [plot.Rectangle((0, 0), 1, 1, color='black')]
    bottom.legend(handles, [text for text, _ in PHASES] +
                  ['guest silent for 30 ms or more'], fontsize=7,
                  loc='center left', bbox_to_anchor=(1, 0.5))
    bottom.set_xlabel('seconds since the migration began')
    fig.tight_layout()
    fig.savefig(path)
    plot.close(fig)
    return path
