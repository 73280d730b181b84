"""Results as JSON lines: a header, what the links carried, and the cells.

A line is written in one piece when its cell is done, so that a run that was
ended can go on; a last line that is torn is cut off then.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import json
import os

from . import metrics

FORMAT = 1
NAME = 'results.jsonl'
#: Of the header; they have to be the same for results in one file.
SAME = ('format', 'versions', 'settings', 'host')


class StoreError(Exception):
    """The file is not what it should be."""


class Results:
    """What is in a file."""
    def __init__(self, path):
        self.path = path
        self.header = {}
        self.links = {}         # name -> what its check measured last
        self.floors = {}        # name of a link -> what floor.measure() found
        self.sampling = {}      # workload -> what sampling.measure() found
        self.cells = []
        self.duplicates = []    # keys that were there already
        self.torn = None        # the text of a last line that is not whole
        self.whole_bytes = 0    # up to there the file is good

    def keys(self):
        return {cell['key'] for cell in self.cells}

    def add(self, entry):
        kind = entry.get('kind')
        if kind == 'header':
            if self.header and entry.get('format') != FORMAT:
                raise StoreError(f'{self.path}: another format')
            self.header = self.header or entry
        elif kind == 'link':
            self.links[entry['link']] = entry
        elif kind == 'floor':
            self.floors[entry['link']] = entry
        elif kind == 'sampling':
            if 'slow' in entry:     # else it was measured in another way
                self.sampling[entry['workload']] = entry
        elif kind == 'cell':
            if entry['key'] in self.keys():
                self.duplicates.append(entry['key'])
            else:
                metrics.derive(entry)
                self.cells.append(entry)
        else:
            raise StoreError(f'{self.path}: entry of unknown kind {kind!r}')


def find(path):
    """The file, given it or its folder."""
    return os.path.join(path, NAME) if os.path.isdir(path) else path


def load(path):
    """Read a file; raises StoreError for anything but a torn last line."""
    path = find(path)
    results = Results(path)
    try:
        with open(path, 'rb') as file:
            data = file.read()
    except OSError as exc:
        raise StoreError(f'{path}: {exc.strerror}') from exc
    lines = data.split(b'\n')
    tail = lines.pop()          # empty if the last line is whole
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            results.add(entry)
        except (ValueError, KeyError, AttributeError) as exc:
            if number == len(lines) and not tail:
                tail = line + b'\n'
                break
            raise StoreError(f'{path}: line {number} is not an entry: '
                             f'{exc}') from exc
    if tail.strip():
        results.torn = tail.decode('utf-8', 'replace')
    results.whole_bytes = len(data) - len(tail)
    if not results.header:
        raise StoreError(f'{path}: no header, so not a file of results')
    if results.header.get('format') != FORMAT:
        raise StoreError(f'{path}: format {results.header.get("format")}, '
                         f'this program reads {FORMAT}')
    return results


class Writer:
    """Adds entries to a file; a new one, or one that goes on."""
    def __init__(self, path, header, resume=False):
        self.path = path
        header = {'kind': 'header', 'format': FORMAT, **header}
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        exists = os.path.exists(path) and os.path.getsize(path) > 0
        if exists and not resume:
            raise StoreError(f'{path} has results already: use --resume to '
                             'go on with them, or another --out')
        if exists:
            self.results = load(path)
            self._check_same(header)
            os.truncate(path, self.results.whole_bytes)
        else:
            self.results = Results(path)
        self._file = open(path, 'ab')
        if not exists:
            self.write(header)

    def _check_same(self, header):
        for name in SAME:
            before = self.results.header.get(name)
            now = json.loads(json.dumps(header.get(name)))
            if before != now:
                raise StoreError(
                    f'{self.path}: its {name} was {before}, now it is {now}; '
                    'results in one file have to be comparable')

    def write(self, entry):
        self._file.write(json.dumps(entry, separators=(',', ':')).encode() +
                         b'\n')
        self._file.flush()
        os.fsync(self._file.fileno())
        self.results.add(json.loads(json.dumps(entry)))

    def close(self):
        self._file.close()
