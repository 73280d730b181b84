"""Stops single threads of a process, as a debugger does.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import ctypes
import os

PTRACE_SEIZE = 0x4206
PTRACE_INTERRUPT = 0x4207
PTRACE_DETACH = 17
WALL = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p,
                         ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request, tid):
    if _libc.ptrace(request, tid, None, None) == -1:
        error = ctypes.get_errno()
        raise OSError(error, f'ptrace {request:#x}: {os.strerror(error)}')


@contextlib.contextmanager
def held(*tids):
    """These threads do nothing; all others of their processes go on."""
    seized = []
    try:
        for tid in tids:
            _ptrace(PTRACE_SEIZE, tid)
            seized.append(tid)
            _ptrace(PTRACE_INTERRUPT, tid)
            os.waitpid(tid, WALL)
        yield
    finally:
        for tid in seized:
            with contextlib.suppress(OSError):
                _ptrace(PTRACE_DETACH, tid)
