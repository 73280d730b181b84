"""The least CPU time that postcopy can take for a page, on this machine.

A small C program (tests/bench/floor.c) carries pages over a link and places
each run of them with one UFFDIO_COPY, and does nothing else. What a technique
takes is to be seen beside it.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import os
import subprocess

from .. import paths

#: Pages to a system call: what the destination of hybrid places at once.
RUN = 32
#: Small, so that the memory of both sides is warm, see warm.py.
PAGES = 32768
TIMES = 5


def program():
    return paths.need_file(os.path.join(paths.BUILD, 'unit', 'hybrid-floor'),
                           'the program that measures the floor')


def measure(link, pages=PAGES, run=RUN, times=TIMES):
    """CPU microseconds per page over a net.Link: the median, and by side."""
    found = []
    for _ in range(times):
        source, destination = link.connected_pair()
        with source, destination:
            fds = source.fileno(), destination.fileno()
            out = subprocess.run(
                [program(), *map(str, fds), str(pages), str(run)],
                pass_fds=fds, check=True, capture_output=True, text=True,
                timeout=300).stdout
        found.append(tuple(float(word) for word in out.split()))
    both, src, dst = sorted(found)[len(found) // 2]
    spread = [row[0] for row in found]
    return {'page_cpu_us': both, 'src_us': src, 'dst_us': dst,
            'least': min(spread), 'most': max(spread),
            'run': run, 'pages': pages}
