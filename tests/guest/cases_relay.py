"""Behind relays that hold a lot, a requested page does not wait for all of it.

The bounds are parts of what the relay holds, so they do not depend on how
fast the machine is.

SPDX-License-Identifier: GPL-2.0-or-later
"""
from common import audit, booted, check, equal, pages_add_up
from hybridmig.migrate import Migration
from relay import Relay

MIB = 1 << 20
DEPTH = 8 * MIB
RATE = 25_000_000
FULL_US = DEPTH * 1_000_000 // RATE


def _through(logs, caps=None, tcp=False, src='qemu'):
    with booted(logs, src=src, dst=src) as pair:
        migration = Migration(pair, transport='unix', parameters={
            'hybrid-max-precopy-bytes': 20 * MIB,
            'max-bandwidth': 1 << 40})
        migration.at_both(caps)
        migration.prepare()
        target = f'{pair.run.folder}/dst.sock'
        pair.dst.qmp('migrate-incoming', {'uri': f'unix:{target}'})
        relay = Relay(pair, target, DEPTH, RATE, tcp)
        pair.src.qmp('migrate', {'uri': relay.uri})
        equal(migration.wait_end(), 'completed', 'ended as')
        h = migration.hybrid()
        equal(h['action'], 'handoff', 'action')
        faults = h['push']['faults']
        check(faults > 20, f'only {faults} faults')
        wait_us = sum(h['vcpu-blocked-us']) / faults
        print(f'# {faults} faults of {wait_us:.0f} us, full relay '
              f'{FULL_US} us, downtime {h["downtime-us"]} us, resume '
              f'{h["resume-time-us"]} us, total {h["total-time-us"]}')
        check(wait_us < FULL_US / 6, f'a fault takes {wait_us:.0f} us')
        # The package does not wait behind the rounds, either.
        check(h['downtime-us'] < FULL_US,
              f'downtime {h["downtime-us"]} us')
        check(max(store.most for store in relay.stores) > DEPTH / 2,
              'the relay was never full')
        pages_add_up(migration)
        audit(pair, 'dst')


def unix(logs):
    _through(logs)


def unix_preempt(logs):
    _through(logs, {'postcopy-preempt': True})


def tcp(logs):
    """The first hop acknowledges everything."""
    _through(logs, tcp=True)


def tcp_preempt(logs):
    _through(logs, {'postcopy-preempt': True}, tcp=True)


def _named(*functions):
    return {'relay-' + f.__name__.replace('_', '-'): f for f in functions}


#: Run when all is asked for: they differ in nothing that the others have not.
LONG = _named(unix, tcp_preempt)
CASES = {**_named(unix_preempt, tcp), **LONG}
