"""Ways to migrate a guest, as data.

All get the same max-bandwidth, above any link here (QEMU's default of 128
MiB/s would hold them back), and the same downtime-limit. Those of upstream run
on the unpatched build at both sides.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import dataclasses

UNPATCHED, PATCHED = 'qemu-base', 'qemu'
COMMON_PARAMETERS = {'max-bandwidth': 100 * 2**30, 'downtime-limit': 30}
#: A rate that lets one page pass in QEMU's window of 100 ms. 0 would be no
#: limit, and so would anything below 10, as QEMU divides by ten.
NO_PUSH = 40960
#: A cache for all of the guest's memory. It is found by a page's address
#: modulo its size, so a smaller one does not hold even a set that is smaller.
HOLDS_ALL = 2**63 - 1
POSTCOPY = {'postcopy-ram': True}
PREEMPT = {'postcopy-ram': True, 'postcopy-preempt': True}


@dataclasses.dataclass(frozen=True)
class Technique:
    """Settings of both sides, and how the switch happens."""
    name: str
    title: str
    build: str                  # at both sides
    driver: str                 # in drivers.DRIVERS
    caps: dict = dataclasses.field(default_factory=dict)    # both sides
    src_caps: dict = dataclasses.field(default_factory=dict)
    parameters: dict = dataclasses.field(default_factory=dict)  # of the source
    dst_parameters: dict = dataclasses.field(default_factory=dict)

    def all_parameters(self, mem_mib=None):
        """With the guest's memory, HOLDS_ALL is a size."""
        found = {**COMMON_PARAMETERS, **self.parameters}
        if mem_mib:
            size = 2**20 << (mem_mib - 1).bit_length()
            found = {name: size if value == HOLDS_ALL else value
                     for name, value in found.items()}
        return found

    def all_src_caps(self):
        return {'events': True, **self.caps, **self.src_caps}

    def all_dst_caps(self):
        return {'events': True, **self.caps}


def _upstream(name, title, driver, caps=None, parameters=None, dst=None):
    return Technique(name, title, UNPATCHED, driver, caps or {}, {},
                     parameters or {}, dst or {})


def _hybrid(name, title, caps=None, driver='hybrid', **parameters):
    return Technique(name, title, PATCHED, driver, caps or POSTCOPY,
                     {'hybrid': True},
                     {f'hybrid-{key.replace("_", "-")}': value
                      for key, value in parameters.items()})


_ZLIB = {'multifd-channels': 2, 'multifd-compression': 'zlib'}

TECHNIQUES = [
    _upstream('non-live', 'stop, copy, start', 'non_live'),
    _upstream('precopy', 'precopy', 'precopy'),
    _upstream('precopy-converge', 'precopy, auto-converge', 'precopy',
              {'auto-converge': True}),
    _upstream('precopy-xbzrle', 'precopy, XBZRLE', 'precopy',
              {'xbzrle': True}, {'xbzrle-cache-size': HOLDS_ALL}),
    _upstream('precopy-multifd', 'precopy, multifd with zlib', 'precopy',
              {'multifd': True}, _ZLIB, _ZLIB),
    _upstream('demand-only', 'postcopy, demand paging only', 'demand_only',
              PREEMPT, {'max-postcopy-bandwidth': NO_PUSH}),
    _upstream('postcopy', 'postcopy with push', 'postcopy', POSTCOPY),
    _upstream('postcopy-preempt', 'postcopy with push, preempt', 'postcopy',
              PREEMPT),
    _upstream('first-pass', 'postcopy after the first pass', 'first_pass',
              POSTCOPY),
    _upstream('first-pass-preempt',
              'postcopy after the first pass, preempt', 'first_pass',
              PREEMPT),
    _hybrid('hybrid', 'hybrid, defaults'),
    _hybrid('hybrid-no-deltas', 'hybrid, no deltas after the switch',
            delta_cache=0),
    # What may be sent again is no more than a handoff sends anyway.
    _hybrid('hybrid-handoff-now', 'hybrid, no deltas, no round to send again',
            delta_cache=0, max_resend=1),
    _hybrid('hybrid-preempt', 'hybrid, preempt', PREEMPT),
    # All of memory by paging: what a page costs there.
    _hybrid('hybrid-at-once', 'hybrid, preempt, switched at once', PREEMPT,
            'postcopy'),
    _hybrid('hybrid-one-round', 'hybrid, preempt, one round only',
            PREEMPT, max_rounds=1),
    _hybrid('hybrid-no-bitmap', 'hybrid, preempt, no page bitmap', PREEMPT,
            hot_threshold=0),
    _hybrid('hybrid-no-budget', 'hybrid, preempt, re-sends not bounded',
            PREEMPT, max_resend=0),
    _hybrid('hybrid-push-demand', 'hybrid, preempt, no push', PREEMPT,
            'hybrid_demand_only', push_policy='on-demand'),
    _hybrid('hybrid-push-linear', 'hybrid, preempt, linear push', PREEMPT,
            push_policy='linear'),
]
BY_NAME = {technique.name: technique for technique in TECHNIQUES}
