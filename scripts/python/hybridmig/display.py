"""Progress lines and tables.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import sys
import threading
import time


def table(head, rows):
    """Right-aligned but for the last column."""
    lines = [head] + rows if head else rows
    widths = [max(len(row[i]) for row in lines) for i in range(len(lines[0]))]
    text = []
    for row in lines:
        cells = [cell.rjust(width) for cell, width in zip(row[:-1], widths)]
        text.append('  ' + '  '.join(cells + [row[-1]]).rstrip())
    return '\n'.join(text)


def pairs(rows):
    width = max(len(name) for name, _ in rows)
    return '\n'.join(f'  {name:<{width}}  {value}' for name, value in rows)


class Progress:
    """A line for each phase and round, and in a terminal a live one below."""
    def __init__(self, migration, out=sys.stdout):
        self.migration = migration
        self.out = out
        self.start = time.monotonic()
        self.phase = ''
        self._live = out.isatty()
        self._stop = threading.Event()
        migration.pair.log.on_event(self._event)
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *details):
        self._stop.set()
        self._thread.join()
        self._clear()

    def _clear(self):
        if self._live:
            self.out.write('\r\033[K')

    def _say(self, text):
        self._clear()
        self.out.write(f'  [{time.monotonic() - self.start:7.3f} s] {text}\n')
        self.out.flush()

    def _event(self, event):
        if event.name == 'MIGRATION_HYBRID_PHASE' and event.side == 'src':
            data = event.data
            self.phase = data['phase']
            text = self.phase
            if self.phase == 'rounds':
                text = f'round {data["round"]}'
            if data.get('reason'):
                text += f' (rounds ended: {data["reason"]})'
            self._say(text)

    def _poll(self):
        while not self._stop.wait(0.25):
            if not self._live:
                continue
            try:
                ram = self.migration.info().get('ram')
            except Exception:   # QEMU may be gone, or hang: nothing to show
                continue
            if ram:
                left = ram.get('remaining', 0) / 2**20
                self.out.write(
                    f'\r\033[K  {self.phase}: '
                    f'{ram["transferred"] / 2**20:.0f} MiB sent, '
                    f'{left:.0f} MiB left, {ram["mbps"]:.0f} Mbit/s')
                self.out.flush()
