"""Any channel: a requested page is placed when it is there.

What comes behind it may come much later, or only when that page is there: so
each case lets the source send as little as it can besides.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import socket

from common import HOT, IDLE, audit, booted, ends_hybrid, equal, wait_until
from hybridmig.migrate import Migration

PREEMPT = {'postcopy-preempt': True}
#: Loading it reads memory, and no list says which: requests before LOADED.
XHCI = ('-device', 'qemu-xhci', '-device', 'usb-kbd', '-device', 'usb-tablet')


def _served(migration, pages, timeout=60):
    """Wait until that many pages were requested and sent, and none else."""
    def found():
        return migration.hybrid()['pages']
    wait_until(lambda: found()['on-demand'] >= pages,
               f'{pages} pages on demand', timeout)
    equal(found()['pushed'], 0, 'pages pushed')


def _ends(pair, migration, action):
    ends_hybrid(migration, action)
    audit(pair, 'dst')


def _on_demand(logs, transport, caps=None):
    """At once, and nothing but what is asked for until much was."""
    with booted(logs, extra=XHCI) as pair:
        migration = Migration(pair, transport=transport, parameters={
            'hybrid-push-policy': 'on-demand'})
        migration.at_both(caps)
        migration.start()
        pair.src.qmp('migrate-start-postcopy')
        migration.wait_phase('paging')
        _served(migration, 300)
        pair.src.set_parameters({'hybrid-push-policy': 'bubble'})
        _ends(pair, migration, 'handoff')


def tls_on_demand(logs):
    _on_demand(logs, 'tls')


def tls_on_demand_preempt(logs):
    _on_demand(logs, 'tls', PREEMPT)


def tls_x509_on_demand(logs):
    _on_demand(logs, 'tls-x509')


def unix_on_demand(logs):
    _on_demand(logs, 'unix')


def _plain(logs, workload, action, transport, caps=None):
    with booted(logs, workload, extra=XHCI) as pair:
        migration = Migration(pair, transport=transport)
        migration.at_both(caps)
        migration.start()
        _ends(pair, migration, action)


def tls_x509_handoff_preempt(logs):
    _plain(logs, HOT, 'handoff', 'tls-x509', PREEMPT)


def tls_precopy(logs):
    _plain(logs, IDLE, 'complete', 'tls')


def tls_precopy_preempt(logs):
    _plain(logs, IDLE, 'complete', 'tls', PREEMPT)


def socketpair_on_demand(logs):
    """Descriptors of UNIX sockets, as a management layer hands them over."""
    with booted(logs, extra=XHCI) as pair:
        migration = Migration(pair, parameters={
            'hybrid-push-policy': 'on-demand'})
        migration.prepare()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            pair.src.monitor.give_fd(ours.fileno(), 'pair')
            pair.dst.monitor.give_fd(theirs.fileno(), 'pair')
        pair.dst.qmp('migrate-incoming', {'uri': 'fd:pair'})
        pair.src.qmp('migrate', {'uri': 'fd:pair'})
        pair.src.qmp('migrate-start-postcopy')
        migration.wait_phase('paging')
        _served(migration, 300)
        pair.src.set_parameters({'hybrid-push-policy': 'bubble'})
        _ends(pair, migration, 'handoff')


CASES = {'channel-' + f.__name__.replace('_', '-'): f for f in (
    tls_on_demand, tls_on_demand_preempt, tls_x509_on_demand, unix_on_demand,
    tls_x509_handoff_preempt, tls_precopy, tls_precopy_preempt,
    socketpair_on_demand)}
