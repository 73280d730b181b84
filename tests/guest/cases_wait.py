"""Nothing waits in the middle of a page that somebody waits for.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import time

from cases_memory import HUGE, MEM, huge_pages
from common import HOT, PATCHED, audit, booted, equal, pages_add_up
from hybridmig.migrate import Migration


def _goes_on(pair, seconds=30):
    """The guest works, also when it has come to all its pages."""
    time.sleep(3)
    before = len(pair.console.ticks)
    pair.console.wait(lambda: len(pair.console.ticks) >= before + 20, seconds,
                      '20 ticks more')


def _huge_pages(logs, caps, parameters, build=PATCHED):
    """
    On-demand at any moment, so also when the source is within a huge page;
    the guest comes to that page, as to all others.
    """
    memory = ('-object', f'{HUGE},id=m,size={MEM}M')
    with huge_pages(), \
         booted(logs, HOT, rate='100mbit', mem=MEM, extra=memory, src=build,
                dst=build, machine='pc,memory-backend=m') as pair:
        migration = Migration(pair, parameters={
            'hybrid-push-policy': 'bubble', **parameters})
        migration.at_both(caps)
        migration.start()
        pair.src.qmp('migrate-start-postcopy')
        migration.wait_phase('paging')
        for _ in range(2):
            time.sleep(0.2)     # it is within a huge page now
            pair.src.set_parameters({'hybrid-push-policy': 'on-demand'})
            _goes_on(pair)
            left = migration.hybrid().get('push', {}).get('remaining-pages')
            if not left:
                break
            pair.src.set_parameters({'hybrid-push-policy': 'bubble'})
        pair.src.set_parameters({'hybrid-push-policy': 'bubble',
                                 'max-postcopy-bandwidth': 0})
        equal(migration.wait_end(), 'completed', 'ended as')
        equal(migration.hybrid()['action'], 'handoff', 'action')
        pages_add_up(migration)
        audit(pair, 'dst')


def huge_pages_on_demand(logs):
    """A low rate limit: the source is within a huge page nearly always."""
    _huge_pages(logs, {'postcopy-preempt': True},
                {'max-postcopy-bandwidth': 1 << 20})


CASES = {'wait-huge-pages-on-demand': huge_pages_on_demand}

#: In 3 of 12 runs in a row the kernel ended a connection (ETIMEDOUT); before
#: that it never did. Whose fault that is has to be found.
LONG = {'wait-huge-pages-on-demand'}
