"""Keeps the host's free memory warm: python3 -m hybridmig.bench.warm MIB

On a virtual machine, memory that is free goes back to the host, and its first
touch afterwards costs seconds of CPU time for each GiB. It does not go back
while free memory is fragmented. So this touches memory in pages of 4 KiB,
gives all back but one page in each MiB, says "warm", and stays until its
standard input is closed.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import ctypes
import mmap
import os
import subprocess
import sys

MIB = 1 << 20
PAGE = 4096


def hold(mib):
    """Touch and give back; returns the mapping, which has to be kept."""
    area = mmap.mmap(-1, mib * MIB,
                     flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.madvise(mmap.MADV_NOHUGEPAGE)
    base = ctypes.addressof(ctypes.c_char.from_buffer(area))
    for offset in range(0, mib * MIB, MIB):
        ctypes.memset(base + offset, 1, MIB)
    for offset in range(0, mib * MIB, MIB):
        area.madvise(mmap.MADV_DONTNEED, offset + PAGE, MIB - PAGE)
    return area


def start(run, mib):
    """Start the helper; it ends with the run. Returns when memory is warm."""
    env = {**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)}
    helper = subprocess.Popen(
        ['setpriv', '--pdeathsig', 'KILL', sys.executable, '-m',
         'hybridmig.bench.warm', str(mib)], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True, env=env)
    run.callback(helper.wait)
    run.callback(helper.kill)
    if helper.stdout.readline().strip() != 'warm':
        raise RuntimeError(f'no {mib} MiB of memory to keep warm')


def main():
    # Not "_": it is the mapping that must not go.
    area = hold(int(sys.argv[1]))
    print('warm', flush=True)
    sys.stdin.read()
    del area


if __name__ == '__main__':
    main()
