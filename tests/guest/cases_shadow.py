"""A guest that is stopped between STI and HLT, where no interrupt may come.

It would be the one that is to end HLT. Whether one comes is a matter of time,
once in thousands of migrations; so this looks whether the processor knows, at
both ends. The bare guest naps all the time here, to stand there often.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import re

from cases_kvm import LOGS
from common import IDLE, Skip, audit, booted, check, equal, wait_until
from hybridmig.migrate import Migration

PAGES = 6000
MEM = 48
STI_HLT = [0xfb, 0xf4]
TRIES = 5000


def _hmp(guest, line):
    return guest.qmp('human-monitor-command', {'command-line': line})


def _registers(guest):
    text = _hmp(guest, 'info registers')
    return {name: int(re.search(rf'\b{name}=([0-9a-f]+)', text)[1], 16)
            for name in ('RIP', 'CPL', 'HLT', 'II')}


def _between(guest):
    """Of STI and HLT?"""
    now = _registers(guest)
    if now['CPL'] or now['HLT']:
        return False
    code = _hmp(guest, f'x /2xb {now["RIP"] - 1:#x}')
    return [int(byte, 16) for byte in code.split()[1:]] == STI_HLT


def _stop_between(guest):
    for _ in range(TRIES):
        guest.qmp('stop')
        if _between(guest):
            return
        guest.qmp('cont')
    raise Skip(f'the guest never stood between STI and HLT, {TRIES} times')


def _arrives(logs, log):
    reason = LOGS[log].why_not()
    if reason:
        raise Skip(reason)
    with booted(logs, IDLE, bare=True, accel=LOGS[log].accel, mem=MEM,
                pages=PAGES, words=['hm.nap=1'], **LOGS[log].settings) as pair:
        _stop_between(pair.src)
        there = _registers(pair.src)
        equal(there['II'], 1, 'no interrupt may come, says the source')
        migration = Migration(pair)
        migration.start()
        check(migration.wait_status('src', 'completed'), 'no end')
        wait_until(lambda: pair.dst.status() == 'paused', 'the destination')
        equal(_registers(pair.dst), there, 'at the destination')
        pair.dst.qmp('cont')
        check(pair.console.wait_heard('dst', 10), 'the guest does not wake')
        audit(pair, 'dst')


def _case(log):
    return lambda logs: _arrives(logs, log)


CASES = {f'shadow-{log}': _case(log) for log in ('kvm', 'kvm-ring')}
