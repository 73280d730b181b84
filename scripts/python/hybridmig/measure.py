"""The metrics of a migration, from outside and as QEMU reports them.

SPDX-License-Identifier: GPL-2.0-or-later
"""


def stop_to_resume_us(migration):
    """From the source's STOP to the destination's RESUME, on one clock."""
    stop = migration.pair.log.last('src', 'STOP')
    resume = migration.event('dst', 'RESUME')
    if not stop or not resume:
        return None
    return round((resume.time - stop.time) * 1e6)


def tick_gap_us(pair):
    """How long nothing was heard of the guest's tick around the switch."""
    last = None
    for tick in list(pair.console.ticks):
        if tick.side == 'dst' and last is not None and last.side == 'src':
            return round((tick.at - last.at) * 1e6)
        last = tick
    return None


def rounds_text(hybrid):
    """The rounds as rows: header and lists of strings."""
    head = ['round', 'pages', 'zero', 'MiB', 'left', 'dirtied', 'time ms',
            'Mbit/s', 'then']
    rows = []
    for r in hybrid.get('rounds', []):
        rows.append([str(r['round']), str(r['pages']), str(r['zero-pages']),
                     f'{r["bytes"] / 2**20:.1f}', str(r['remaining-pages']),
                     str(r['dirtied-pages']), f'{r["time-us"] / 1000:.1f}',
                     f'{r["bandwidth"] * 8 / 1e6:.0f}'
                     if 'bandwidth' in r else '-',
                     r['action'] + (f' ({r["reason"]})' if 'reason' in r
                                    else '') + (', cut' if r['cut'] else '')])
    return head, rows


def _ms(value):
    return '-' if value is None else f'{value / 1000:.3f} ms'


def from_events(migration):
    """The four times in microseconds, from events only; None if unknown."""
    find, log = migration.event, migration.pair.log
    begin = find('src', 'MIGRATION', status='setup')
    stop, resume = log.last('src', 'STOP'), find('dst', 'RESUME')
    end = find('src', 'MIGRATION', status='completed')
    # After precopy the source is done before the destination runs.
    if end and resume and end.time < resume.time:
        end = resume

    def between(first, second):
        if not first or not second:
            return None
        return round((second.time - first.time) * 1e6)
    return {'preparation': between(begin, stop),
            'downtime': between(stop, resume),
            'resume': between(resume, end), 'total': between(begin, end)}


def _plain_metrics(migration):
    """Of a migration that is not hybrid: what is seen from outside."""
    times, info = from_events(migration), migration.info()
    ram = info.get('ram', {})
    said = f' (QEMU says {info["downtime"]} ms)' if 'downtime' in info else ''
    return [
        ('preparation time', _ms(times['preparation'])),
        ('resume time', _ms(times['resume'])),
        ('pages transferred',
         f'{ram.get("normal", 0) + ram.get("duplicate", 0)} '
         f'({ram.get("duplicate", 0)} zero, '
         f'{ram.get("postcopy-requests", 0)} requested), '
         f'{ram.get("transferred", 0) / 2**20:.1f} MiB'),
        ('downtime', _ms(times['downtime']) + said),
        ('  guest silent for', _ms(tick_gap_us(migration.pair))),
        ('total time', _ms(times['total'])),
        ('degradation', 'not known'),
    ]


def _push_rows(hybrid):
    rows = []
    if 'vcpu-blocked-us' in hybrid:
        rows.append(('  vCPU blocked', ', '.join(
            _ms(us) for us in hybrid['vcpu-blocked-us'])))
    push = hybrid.get('push')
    if push:
        rows += [('  page requests', f'{push["faults"]} ({push["hits"]} hits, '
                  f'{push["late"]} late)'),
                 ('  push', f'{push["policy"]}: {push["recent-pages"]} recent, '
                  f'{push["bubble-pages"]} bubble, '
                  f'{push["heat-pages"]} heat, {push["rest-pages"]} rest; '
                  f'{push["pivots-begun"]} pivots, '
                  f'{push["pivots-merged"]} merged, window {push["window"]}')]
    return rows


def six_metrics(migration):
    """Rows (metric, value) as the user reads them."""
    h = migration.hybrid()
    if not h.get('active'):
        return _plain_metrics(migration)
    pages = h.get('pages', {})
    outside = stop_to_resume_us(migration)
    gap = tick_gap_us(migration.pair)
    rows = [
        ('preparation time', _ms(h.get('preparation-time-us'))),
        ('resume time', _ms(h.get('resume-time-us'))),
        ('pages transferred',
         f'{pages.get("total", 0)} ({pages.get("first-sends", 0)} first, '
         f'{pages.get("resends", 0)} again; {pages.get("zero", 0)} zero, '
         f'{pages.get("on-demand", 0)} on demand, '
         f'{pages.get("pushed", 0)} pushed), '
         f'{pages.get("bytes", 0) / 2**20:.1f} MiB'),
        ('downtime', _ms(h.get('downtime-us')) +
         (' (estimated)' if h.get('downtime-estimated') else '')),
        ('  STOP to RESUME', _ms(outside)),
        ('  guest silent for', _ms(gap)),
        ('total time', _ms(h.get('total-time-us'))),
        ('degradation', '-' if 'degradation' not in h
         else f'{h["degradation"]:.2f} % of the vCPU time'),
    ]
    rows.extend(_push_rows(h))
    if 'received' in pages:
        rows.append(('pages received', f'{pages["received"]} '
                     f'({pages.get("lost", 0)} lost on the way)'))
    return rows


def phases(migration):
    """[(phase, start, end)] on QEMU's clock, in seconds; rounds are joined."""
    found = []
    for event in migration.pair.log.events[migration.first_event:]:
        if event.side != 'src' or event.name != 'MIGRATION_HYBRID_PHASE':
            continue
        if found and found[-1][0] == event.data['phase']:
            continue
        if found:
            found[-1][2] = event.time
        found.append([event.data['phase'], event.time, None])
    return [tuple(entry) for entry in found]
