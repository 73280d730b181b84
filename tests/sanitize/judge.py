"""Which reports of the sanitizers are ours: all that known.txt does not name.

  judge.py WHAT FOLDER    prints one line of TAP for the reports in FOLDER

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import re
import sys

import tap

KNOWN = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'known.txt')
#: Where a report begins: of ASan, LSan, TSan, UBSan.
BEGIN = re.compile(r'^(?:==\d+==ERROR|WARNING: ThreadSanitizer|'
                   r'(?:Direct|Indirect) leak of|\S+:\d+:\d+: runtime error)',
                   re.MULTILINE)
#: A frame of a stack of ThreadSanitizer: function, file.
FRAME = re.compile(r'^\s+#\d+ (\S+) (?:\.\./)*(\S+?)(?::\d+)? ', re.MULTILINE)
#: Frames in which the module is: such a report is known by its own name only.
OURS = 'migration/hybrid/'
#: What is not a report, but a headline of some.
HEADLINE = re.compile(r'==\d+==ERROR: LeakSanitizer')


def known():
    """Regular expressions, one a line, behind a line "# reason"."""
    with open(KNOWN, encoding='utf-8') as lines:
        return [re.compile(line.rstrip('\n')) for line in lines
                if line.strip() and not line.startswith('#')]


def digest(report):
    """
    The two accesses of a race, two frames each, "function@file < ... | ...",
    which is what known.txt is held against; of another report all of it.
    """
    if not report.startswith('WARNING: ThreadSanitizer'):
        return report
    stacks = [FRAME.findall(block) for block in report.split('\n\n')]
    return report.splitlines()[0].split(' (pid')[0] + ': ' + ' | '.join(
        ' < '.join(f'{function}@{file}' for function, file in stack[:2])
        for stack in [s for s in stacks if s][:2])


def is_known(report, patterns):
    text = digest(report)
    return any(pattern.search(text) and
               (OURS not in text or OURS in pattern.pattern)
               for pattern in patterns)


def reports(folder):
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), encoding='utf-8',
                  errors='replace') as log:
            text = log.read()
        starts = [m.start() for m in BEGIN.finditer(text)]
        for begin, end in zip(starts, [*starts[1:], len(text)]):
            report = text[begin:end]
            if not HEADLINE.match(report):
                yield name, report


def main():
    what, folder = sys.argv[1:]
    patterns = known()
    ours, others = {}, 0
    for name, report in reports(folder):
        if is_known(report, patterns):
            others += 1
            continue
        # The same place is told once.
        frames = re.findall(r'^\s+#\d+ 0x\w+ in (\S+)|^\s+#\d+ (\S+)',
                            report, re.MULTILINE)
        key = (report.splitlines()[0].split('pid=')[0][:60],
               tuple(frames[:4]))
        ours.setdefault(key, (name, report))
    tap.result(not ours, f'{what}: {len(ours)} reports, {others} known ones')
    for name, report in ours.values():
        tap.note('\n  '.join([name, *report.splitlines()[:30]]))


if __name__ == '__main__':
    main()
