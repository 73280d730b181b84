"""Which pages are sent after the switch, and in which order.

SPDX-License-Identifier: GPL-2.0-or-later
"""

from common import HOT, audit, booted, check, equal, pages_add_up
from hybridmig.migrate import Migration
from hybridmig.record import trace_lines
from hybridmig.waiting import until

#: The rounds are cut: much is left that the guest does not touch soon.
CUT = {'hybrid-max-precopy-bytes': 20 << 20}
PREEMPT = {'postcopy-preempt': True}


def _start(pair, policy, caps=None, parameters=None, **how):
    migration = Migration(pair, parameters={
        'hybrid-push-policy': policy, **CUT, **(parameters or {})}, **how)
    migration.at_both(caps)
    migration.start()
    return migration


def _ends(pair, migration, policy):
    """It completes, the counters make sense, memory is right."""
    equal(migration.wait_end(), 'completed', 'ended as')
    h = migration.hybrid()
    equal(h['action'], 'handoff', 'action')
    push = h['push']
    equal(push['policy'], policy, 'policy')
    equal(push['remaining-pages'], 0, 'pages left')
    check(push['faults'] >= push['hits'], f'more hits than faults: {push}')
    check(push['faults'] >= push['late'], f'more late than faults: {push}')
    check(h['pages']['on-demand'] <= push['faults'],
          f'sent on demand, not asked for: {h["pages"]}, {push}')
    ended = push['pivots-merged'] + push['pivots-retired']
    check(0 <= push['pivots-begun'] - ended <= 8, f'pivots: {push}')
    pages_add_up(migration)
    audit(pair, 'dst')
    return h


def _order(push):
    return sum(push[f'{kind}-pages']
               for kind in ('recent', 'bubble', 'heat', 'rest'))


def _recent(pair, push):
    """What was chosen was pushed, but for what was requested before."""
    chosen = [int(line.split('chosen=')[1]) for line in trace_lines(pair.src)
              if 'hybrid_page_bitmap_recent_chosen' in line]
    equal(len(chosen), 1, 'how often it was chosen what goes first')
    check(0 < push['recent-pages'] <= chosen[0] <=
          push['recent-pages'] + push['faults'],
          f'{chosen[0]} pages were chosen to go first: {push}')


def _bubble(logs, workload=HOT, smp=1, caps=None, **how):
    with booted(logs, workload, smp) as pair:
        h = _ends(pair, _start(pair, 'bubble', caps, **how), 'bubble')
        # What was picked is sent, but for a page that a request was first with
        check(0 <= _order(h['push']) - h['pages']['pushed'] <=
              h['pages']['on-demand'], f'{h["pages"]}, {h["push"]}')
        check(h['push']['bubble-pages'] and h['push']['rest-pages'],
              f'nothing in a bubble, or nothing else: {h["push"]}')
        _recent(pair, h['push'])


def push_bubble(logs):
    _bubble(logs)


def push_bubble_preempt(logs):
    _bubble(logs, caps=PREEMPT)


def push_bubble_smp2(logs):
    _bubble(logs, HOT + ' threads=2', 2, PREEMPT)


def push_bubble_vcpus(logs):
    """One vCPU goes in order, one does not."""
    _bubble(logs, 'apart pages=12000 threads=2', caps=PREEMPT, smp=2)


def push_bubble_random(logs):
    _bubble(logs, 'random rate=9000', caps=PREEMPT)


def push_bubble_tls(logs):
    _bubble(logs, transport='tls')


def push_bubble_unix(logs):
    """A socket that nothing is known of: no control of what is in flight."""
    _bubble(logs, transport='unix')


def _linear(logs, caps=None):
    with booted(logs) as pair:
        h = _ends(pair, _start(pair, 'linear', caps), 'linear')
        equal(_order(h['push']), 0, 'pages that policy bubble picked')
        check(h['pages']['pushed'], 'nothing was pushed')


def push_linear(logs):
    _linear(logs)


def push_linear_preempt(logs):
    _linear(logs, PREEMPT)


def _on_demand(logs, then, caps=None):
    """Nothing but requested pages, until another policy is set."""
    with booted(logs) as pair:
        migration = _start(pair, 'on-demand', caps)
        migration.wait_phase('paging')

        def served():
            pages = migration.hybrid()['pages']
            equal(pages['pushed'], 0, 'pages pushed')
            return pages['on-demand']
        until(lambda: served() >= 200, 30, '200 pages served', served)
        check(migration.hybrid()['push']['remaining-pages'], 'nothing is left')
        equal(migration.info()['status'], 'postcopy-active', 'status')
        pair.src.set_parameters({'hybrid-push-policy': then})
        h = _ends(pair, migration, then)
        check(h['pages']['pushed'], 'nothing was pushed')


def push_on_demand_linear(logs):
    _on_demand(logs, 'linear')


def push_on_demand_bubble_preempt(logs):
    _on_demand(logs, 'bubble', PREEMPT)


def push_changes(logs):
    """Any policy after any other, while the guest runs on."""
    with booted(logs, rate='100mbit') as pair:
        migration = _start(pair, 'bubble')
        migration.wait_phase('paging')
        for policy in ('linear', 'on-demand', 'bubble', 'on-demand',
                       'linear', 'bubble'):
            pair.src.set_parameters({'hybrid-push-policy': policy})
            equal(migration.hybrid()['push']['policy'], policy, 'policy')
        _ends(pair, migration, 'bubble')


def push_on_demand_lost(logs):
    """With nothing to send, a broken connection is noticed all the same."""
    with booted(logs) as pair:
        migration = _start(pair, 'on-demand')
        migration.wait_phase('paging')
        pair.link.cut('reset')
        migration.wait_status('src', 'postcopy-paused', timeout=30)
        migration.wait_status('dst', 'postcopy-paused', timeout=30)
        pair.link.heal()
        pair.src.set_parameters({'hybrid-push-policy': 'bubble'})
        migration.recover()
        equal(migration.wait_end(), 'completed', 'ended as')
        audit(pair, 'dst')


CASES = {f.__name__.replace('_', '-'): f for f in (
    push_bubble, push_bubble_preempt, push_bubble_smp2, push_bubble_vcpus,
    push_bubble_random, push_bubble_tls, push_bubble_unix, push_linear,
    push_linear_preempt, push_on_demand_linear, push_on_demand_bubble_preempt,
    push_changes, push_on_demand_lost)}
