"""The switch under conditions that are out of the ordinary.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import random
import threading
import time

from common import IDLE, audit, booted, check, downtime_true, \
    equal, exits, pages_add_up, recover_cut, wait_until
from hybridmig.migrate import Migration
from hybridmig.monitor import QmpError
from hybridmig.net import DST_ADDRESS
from hybridmig.record import trace_lines
from proxy import REQ_PAGES, REQ_PAGES_ID, Proxy, page_request

#: What Linux has if nobody changes it: a dead link is noticed after minutes.
DEFAULT_RETRIES = 15


def _refused(command, *args):
    try:
        command(*args)
    except QmpError as exc:
        return str(exc)
    raise AssertionError('was not refused')


def _through_proxy(pair, migration, on_message):
    migration.transport = 'unix'
    migration.prepare()
    proxy = Proxy(pair.run, migration.listen()[len('unix:'):], on_message)
    pair.src.qmp('migrate', {'uri': f'unix:{proxy.path}'})
    return proxy


def refused_at_destination(logs):
    """A migrate command that is refused there does not disturb what runs."""
    with booted(logs, rate='200mbit') as pair:
        migration = Migration(pair, parameters={'hybrid-max-rounds': 1})
        paging = threading.Event()

        def act():
            _refused(pair.dst.qmp, 'migrate', {'uri': f'tcp:{DST_ADDRESS}:1'})
            pair.link.cut()
            paging.set()
        migration.when(act, 'src', 'MIGRATION', status='postcopy-active')
        migration.start()
        check(paging.wait(60), 'not refused during paging')
        recover_cut(migration)
        pages_add_up(migration, lost=True)
        audit(pair, 'dst')


def xbzrle(logs):
    """
    The destination asks for pages before GRANT, as a device that is loaded
    does: they are sent whole, it has no cache.
    """
    with booted(logs, rate='unlimited') as pair:
        # Without the page bitmap: changed pages are sent in the rounds.
        migration = Migration(pair, parameters={
            'max-bandwidth': 60 << 20, 'hybrid-hot-threshold': 0})
        migration.src_caps['xbzrle'] = True

        def ask(name):
            if name != 'LOADED':
                return None
            pages = random.sample(range(2, 150 * 256), 300)
            return b''.join(page_request(page * 4096) for page in pages)
        _through_proxy(pair, migration, ask)
        equal(migration.wait_end(), 'completed', 'ended as')
        cache = migration.info()['xbzrle-cache']
        check(cache['pages'] + cache['cache-miss'] + cache['overflow'],
              f'xbzrle is not used: {cache}')
        pages_add_up(migration)
        audit(pair, 'dst')


def link_dies_completing(logs):
    """
    The client has given its consent to the switch, all that is left is sent,
    and nobody says that the link is dead. The monitor answers meanwhile.
    """
    with booted(logs, IDLE, rate='200mbit') as pair:
        pair.link.set_retries(DEFAULT_RETRIES)
        migration = Migration(pair,
                              parameters={'hybrid-handoff-timeout': 1000})
        migration.src_caps['pause-before-switchover'] = True

        def act():
            pair.link.cut()
            pair.src.qmp('migrate-continue', {'state': 'pre-switchover'})
        migration.when(act, 'src', 'MIGRATION', status='pre-switchover')
        migration.start()
        migration.wait_status('src', 'device')
        equal(pair.src.monitor.command('query-migrate', timeout=5)['status'],
              'device', 'status')
        equal(migration.wait_end(20), 'failed', 'ended as')
        check('hybrid-handoff-timeout' in migration.info()['error-desc'],
              f'error: {migration.info()["error-desc"]}')
        pair.link.heal()
        audit(pair, 'src')


def link_dies_behind_running(logs):
    """Completes as precopy; RUNNING comes through and nothing after it."""
    with booted(logs, IDLE, rate='unlimited') as pair:
        migration = Migration(pair,
                              parameters={'hybrid-handoff-timeout': 1000})
        proxy = None

        def lose(name):
            if name == 'STATS':
                proxy.stall()
        proxy = _through_proxy(pair, migration, lose)
        migration.wait_status('src', 'postcopy-paused', timeout=60)
        _refused(migration.cancel)
        equal(pair.running_sides(), ['dst'], 'the guest runs at')
        audit(pair, 'dst')


def page_never_comes(logs):
    """
    The destination's main thread waits for a page when the source takes the
    guest back: it exits all the same, also with a channel for preemption.
    """
    # Its state is loaded by writing to the guest's memory.
    device = ['-device', 'vmgenid,guid=auto']
    with booted(logs, IDLE, rate='unlimited', extra=device) as pair:
        migration = Migration(pair, parameters={
            'hybrid-handoff-timeout': 1000, 'max-bandwidth': 30 << 20,
            'hybrid-max-precopy-bytes': 8 << 20, 'downtime-limit': 1})
        migration.at_both({'postcopy-preempt': True})
        asked = threading.Event()

        def lose(name):
            if name in (REQ_PAGES, REQ_PAGES_ID):
                asked.set()
                return False
            return None
        _through_proxy(pair, migration, lose)
        equal(migration.wait_end(), 'failed', 'ended as')
        check(asked.is_set(), 'no page was missing')
        check(exits(pair.dst), 'the destination does not exit')
        audit(pair, 'src')


def auto_converge(logs):
    """The throttle's own timer does not disturb the rounds."""
    with booted(logs, rate='100mbit') as pair:
        migration = Migration(pair, parameters={'hybrid-hot-threshold': 0})
        migration.src_caps['auto-converge'] = True
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        rounds = migration.hybrid()['rounds']
        check(len(rounds) >= 2, f'rounds: {rounds}')
        audit(pair, 'dst')


def paused_with_bitmaps(logs):
    """A guest that stands still, with dirty bitmaps that are never done."""
    with booted(logs, IDLE) as pair:
        migration = Migration(pair)
        for guest, caps in ((pair.src, migration.src_caps),
                            (pair.dst, migration.dst_caps)):
            guest.qmp('blockdev-add', {'driver': 'null-co', 'node-name': 'n',
                                       'size': 1 << 26})
            caps['dirty-bitmaps'] = True
        pair.src.qmp('block-dirty-bitmap-add', {'node': 'n', 'name': 'b'})
        pair.src.qmp('stop')
        migration.start()
        end = migration.wait_status('src', 'completed', 'failed', timeout=30)
        equal(end.data['status'], 'completed', 'ended as')
        equal(migration.hybrid()['action'], 'complete', 'action')
        equal(pair.dst.status(), 'paused', 'destination')
        nodes = pair.dst.qmp('query-named-block-nodes')
        equal([b['name'] for node in nodes if node['node-name'] == 'n'
               for b in node.get('dirty-bitmaps', ())], ['b'], 'bitmaps')
        pair.dst.qmp('cont')
        audit(pair, 'dst')


def held_back(logs):
    """A switch that is not allowed: no flood of rounds, events, records."""
    with booted(logs, IDLE, rate='unlimited') as pair:
        migration = Migration(pair)
        # The destination does not have it and never acknowledges.
        migration.src_caps.update({'return-path': True,
                                   'switchover-ack': True})
        migration.start()

        def decided():
            return 'action' in migration.hybrid()
        wait_until(decided, 'a decision', 60)
        seen = len(migration.hybrid()['rounds'])
        time.sleep(2)
        h = migration.hybrid()
        check(len(h['rounds']) <= seen + 1,
              f'{seen} rounds, then {len(h["rounds"])}')
        equal((h['rounds'][-1]['action'], h['rounds'][-1]['reason']),
              (h['action'], h['end-reason']), 'last round and decision')
        migration.cancel()
        equal(migration.wait_end(), 'cancelled', 'ended as')
        audit(pair, 'src')


def long_downtime_limit(logs):
    """What the downtime limit allows is not cut off by the time-out."""
    with booted(logs, rate='100mbit') as pair:
        migration = Migration(pair, parameters={
            'hybrid-handoff-timeout': 1000, 'downtime-limit': 8000})
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        h = migration.hybrid()
        equal(h['action'], 'complete', 'action')
        check(h['downtime-us'] > 1_000_000, f'downtime {h["downtime-us"]} us')
        # Afterwards there is nothing to be cancelled, and no error.
        migration.cancel()
        equal(migration.info()['status'], 'completed', 'after a cancel')
        downtime_true(migration)
        audit(pair, 'dst')


def limit_raised(logs):
    """What an operator does who sees that it never ends: it ends."""
    with booted(logs) as pair:
        migration = Migration(pair, parameters={
            'downtime-limit': 1, 'hybrid-min-gain': 0, 'hybrid-max-resend': 0,
            'hybrid-max-rounds': 1000, 'hybrid-hot-threshold': 0})
        migration.start()
        migration.wait_phase('rounds')
        wait_until(lambda: len(migration.hybrid()['rounds']) > 1,
                   'a second round', 120)
        pair.src.set_parameters({'downtime-limit': 60000})
        equal(migration.wait_end(), 'completed', 'ended as')
        h = migration.hybrid()
        equal((h['action'], h['end-reason']), ('complete', 'fits'), 'end')
        audit(pair, 'dst')


def started_later(logs):
    """The management layer starts the guest at the destination (-S)."""
    with booted(logs, rate='100mbit', dst_extra=['-S']) as pair:
        migration = Migration(pair, parameters={'hybrid-max-rounds': 1})
        migration.when(lambda: pair.dst.qmp('cont'), 'src', 'MIGRATION',
                       status='postcopy-active')
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        downtime_true(migration)
        audit(pair, 'dst')


def long_round_trip(logs):
    """40 ms: the hello and the handshake measure it, no probe follows."""
    trace = ['-trace', 'loadvm_process_command_ping']
    with booted(logs, rate='200mbit', link={'delay_ms': 20, 'queue_ms': 40},
                dst_extra=trace) as pair:
        migration = Migration(pair)
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        delay = migration.hybrid()['one-way-delay-us']
        check(20000 <= delay <= 21000, f'one-way delay {delay} us')
        said = [line.split()[-1] for line in trace_lines(pair.dst)
                if 'loadvm_process_command_ping' in line or
                'hybrid_message' in line]
        # Probes before the settings measure; later ones wait for something
        hello = said.index('0x48794201')
        equal([word for word in said[hello:said.index('SETTINGS')]
               if word.startswith('0x487952')], [], 'probes')
        check(migration.hybrid()['pages']['pushed'], 'nothing was pushed')
        downtime_true(migration)
        pages_add_up(migration)
        audit(pair, 'dst')


CASES = {f.__name__.replace('_', '-'): f for f in (
    refused_at_destination, xbzrle, link_dies_completing,
    link_dies_behind_running, page_never_comes, auto_converge,
    paused_with_bitmaps, held_back, long_downtime_limit, limit_raised,
    started_later, long_round_trip)}
