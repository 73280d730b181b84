"""QEMU's own figures, and where they disagree with those from outside.

SPDX-License-Identifier: GPL-2.0-or-later
"""
from .. import measure

# Tolerances. Outside figures are read through pipes by a process that shares
# the CPUs with both QEMUs.
DOWNTIME_MS, DOWNTIME_SHARE = 10, 0.1
SILENCE_MS = 250        # by how much the silence may be longer
TOTAL_S, TOTAL_SHARE = 0.25, 0.05
WIRE_LESS, WIRE_MORE = 0.98, 1.12   # TCP, IP and Ethernet headers; repeats
LOST_S, LOST_SHARE = 0.3, 0.3
# When figures from outside are in doubt themselves.
OTHERS_SHARE = 0.2      # of the CPUs, used by neither QEMU nor the bench
SPEED_LEAST = 0.85      # of the host's speed before, or more than 1 / this
ERROR_S, ERROR_SHARE = 0.25, 0.5


def qemu_figures(migration):
    """The six metrics as the source's QEMU reports them."""
    info = migration.info()
    h = info.get('hybrid', {})
    if h.get('active'):
        pages = h.get('pages', {})
        return {
            'by': 'hybrid', 'preparation_ms': _ms(h, 'preparation-time-us'),
            'downtime_ms': _ms(h, 'downtime-us'),
            'resume_ms': _ms(h, 'resume-time-us'),
            'total_ms': _ms(h, 'total-time-us'),
            'pages': pages.get('total'), 'resends': pages.get('resends'),
            'bytes': pages.get('bytes'),
            'degradation': h.get('degradation'),
            'vcpu_blocked_ms': sum(h.get('vcpu-blocked-us', [])) / 1000}
    ram, times = info.get('ram', {}), measure.from_events(migration)
    return {
        'by': 'query-migrate',
        # Stopped by a client before it began, it had no such phase.
        'preparation_ms': max(0, _ms(times, 'preparation') or 0),
        'downtime_ms': info.get('downtime'),
        'resume_ms': _ms(times, 'resume'),
        'total_ms': info.get('total-time'),
        'pages': ram.get('normal', 0) + ram.get('duplicate', 0),
        'bytes': ram.get('transferred'), 'degradation': None}


def _ms(values, key):
    value = values.get(key)
    return None if value is None else round(value / 1000, 3)


def _total(figures, qemu):
    mine, said = figures.get('total_s'), qemu.get('total_ms')
    if mine is None or said is None:
        return None
    if abs(mine - said / 1000) > TOTAL_S + TOTAL_SHARE * mine:
        return f'total: outside {mine:.2f} s, QEMU {said / 1000:.2f} s'
    return None


def _downtime(figures, qemu):
    mine, said = figures.get('downtime_ms'), qemu.get('downtime_ms')
    if mine is None or said is None:
        return None
    slack = DOWNTIME_MS + DOWNTIME_SHARE * said
    if mine < said - slack or mine > said + slack + SILENCE_MS:
        return (f'downtime: the guest was silent for {mine:.0f} ms, '
                f'QEMU says {said:.0f} ms')
    return None


def _wire(figures, qemu):
    mine, said = figures.get('wire_mib'), qemu.get('bytes')
    if mine is None or said is None:
        return None
    said /= 2**20
    if not WIRE_LESS * said - 1 <= mine <= WIRE_MORE * said + 1:
        return f'bytes: {mine:.1f} MiB on the wire, QEMU {said:.1f} MiB'
    return None


def _lost(figures, qemu):
    mine, percent = figures.get('lost_s'), qemu.get('degradation')
    if mine is None or percent is None:
        return None
    said = (percent / 100 * qemu['total_ms'] + (qemu['downtime_ms'] or 0))
    said /= 1000
    if abs(mine - said) > LOST_S + LOST_SHARE * max(mine, said):
        return (f'net work lost: {mine:.2f} s, while degradation and downtime of '
                f'QEMU make {said:.2f} s')
    return None


def disagreements(figures, qemu, completed=True):
    """One line for each. What was cancelled has no figures of QEMU."""
    checks = [_downtime, _total, _wire, _lost] if completed else []
    return [text for check in checks if (text := check(figures, qemu))]


def uneven(raw):
    """The host computes at another speed after than before."""
    change = raw.get('speed_change')
    return change is not None and \
        not SPEED_LEAST <= change <= 1 / SPEED_LEAST


def doubts(figures, raw):
    """Reasons not to trust the figures from outside; one line for each."""
    lines = []
    if raw['others'] > OTHERS_SHARE:
        lines.append(f'the host was busy: others used {raw["others"]:.0%} of '
                     'its CPU time')
    if uneven(raw):
        lines.append(f'the host computes at {raw["speed_change"]:.0%} of the '
                     'speed before: net work lost has that in it')
    lost, error = figures.get('lost_s'), raw.get('lost_error_s')
    if error is not None and error > ERROR_S + ERROR_SHARE * abs(lost):
        lines.append(f'net work lost {lost:.2f} s is uncertain by {error:.2f} s: '
                     'the rate before was not steady')
    return lines
