"""Which cases do not run beside others, and why: the table.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import fnmatch

from beside import ALL

_LINK = 'measures what the link does'
_DOWNTIME = 'compares two measurements of the downtime, to 5 ms'
_BOUND = 'compares a time with its bound'
_RATE = 'measures the rate of the guest or of the policy'
_MEMORY = 'what another guest claims of the host changes the outcome'

#: Patterns of names. Nothing else runs meanwhile.
ALONE = {
    'link-veth': _LINK, 'link-delay': _LINK, 'link-cuts*': _LINK,
    'handoff*': _DOWNTIME, 'completes-as-precopy*': _DOWNTIME,
    'over-*': _DOWNTIME, 'discard-scattered*': _DOWNTIME,
    'discard-shared': _DOWNTIME, 'discard-none': _DOWNTIME,
    'discard-first-round': _DOWNTIME,
    'long-downtime-limit': _DOWNTIME, 'started-later': _DOWNTIME,
    'long-round-trip': _DOWNTIME,
    'round-limit': _BOUND, 'byte-limit': _BOUND, 'time-limit': _BOUND,
    'observe-only': _BOUND, 'relay-*': _BOUND, 'touch-times': _BOUND,
    'dip-in-round-2': _BOUND,
    'log-not-cleared': _RATE, 'workloads': _RATE, '*-few-are-hot': _RATE,
    'virtio-mem-*': _MEMORY, 'overcommit-*': _MEMORY, 'check-*': _MEMORY,
    'cgroup-limit': _MEMORY, 'worth-no-memory-*': _MEMORY,
    'stop-no-memory-*': _MEMORY, 'balloon': _MEMORY,
}

#: Of these, one at a time: each sets the size of the pool of huge pages.
HUGE_PAGES = ('memory-huge-*', 'memory-nodes-*', 'memory-sizes-swapped',
              'memory-giant', 'huge-pool-shared', 'huge-reserved',
              'wait-huge-pages-*', 'pool-*')


def holds(name):
    """What a case needs to have for itself."""
    if any(fnmatch.fnmatch(name, pattern) for pattern in ALONE):
        return {ALL}
    if any(fnmatch.fnmatch(name, pattern) for pattern in HUGE_PAGES):
        return {'huge pages'}
    return set()


def unknown(names):
    """Patterns that are nobody's: a case was renamed."""
    return [pattern for pattern in (*ALONE, *HUGE_PAGES)
            if not fnmatch.filter(names, pattern)]
