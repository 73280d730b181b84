"""Clients of the guest through a migration: Redis under load, a TCP session.

SPDX-License-Identifier: GPL-2.0-or-later
"""
from common import PATCHED, UNPATCHED, audit, booted, check, equal
from hybridmig import measure
from hybridmig.lan import REDIS_PORT, RedisLoad, Session
from hybridmig.migrate import DST_CAPABILITIES, Migration
from hybridmig.record import trace_lines

KEYS = 1000


def _seen_at(pair, series, side):
    """Requests that were answered while the guest ticked on that side."""
    ticks = [tick.at for tick in pair.console.ticks if tick.side == side]
    return sum(ticks[0] < at < ticks[-1] for at, _, _ in series)


def _redis_through(logs, build, migrate):
    """
    migrate(pair) moves the guest, returns the Migration. Its clients lose no connection, see no
    error, and each key holds what was written last.
    """
    with booted(logs, 'hot pages=4000 rate=6000', src=build, dst=build,
                rate='200mbit', mem=256, network=True) as pair:
        load = RedisLoad(pair, rate=100, keys=KEYS)
        session = Session(pair.lan)
        load.start()
        check(load.wait_more(30), 'no requests before')
        check(session.wait_answer(), 'no session before')
        migration = migrate(pair)
        check(session.wait_answer(), f'no session after: {session.error}')
        check(load.wait_more(30), 'no requests after')
        equal(session.stop(), None, 'what ended the TCP session')
        found = load.stop()
        equal((found['errors'], found['first_error'], found['reconnects']),
              (0, None, 0), 'errors')
        equal((found['wrong'], found['first_wrong']), (0, None), 'values')
        equal(found['keys'], KEYS, 'keys read back')
        for side in ('src', 'dst'):
            check(_seen_at(pair, found['series'], side) > 20,
                  f'no requests at {side}')
        check(0 < found['p50_us'] <= found['p99_us'] <= found['max_us'] and
              found['blackout_us'] > measure.stop_to_resume_us(migration),
              'latencies: ' + str({**found, 'series': None}))
        _twin(pair)
        audit(pair, 'dst')


def _twin(pair):
    """A value that is changed behind the load's back is found."""
    load = RedisLoad(pair, rate=50, keys=100, reads=1).start()
    with pair.lan.connect(REDIS_PORT) as other:
        other.sendall(b'SET key7 4711\r\n')
        equal(other.recv(100), b'+OK\r\n', 'answer to SET')
    found = load.stop()
    check(found['wrong'] and found['first_wrong'].startswith('key7,'),
          f'a wrong value is not found: {found["first_wrong"]}')


def redis_hybrid(logs):
    def migrate(pair):
        migration = Migration(pair)
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        check(migration.hybrid()['agreed'], 'not hybrid')
        return migration
    _redis_through(logs, PATCHED, migrate)


def redis_unpatched(logs):
    def migrate(pair):
        migration = Migration(pair, src_caps=DST_CAPABILITIES)
        migration.when(lambda: pair.src.qmp('migrate-start-postcopy'),
                       'src', 'MIGRATION_PASS', **{'pass': 2})
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        return migration
    _redis_through(logs, UNPATCHED, migrate)


def _device_pages(logs, caps):
    """
    The rings of a network card at work go ahead of the package: its loading
    waits for no page.
    """
    with booted(logs, 'hot pages=4000 rate=6000', rate='200mbit', mem=256,
                network=True, link={'delay_ms': 10}) as pair:
        load = RedisLoad(pair, rate=300, keys=100).start()
        check(load.wait_more(30), 'no requests before')
        migration = Migration(pair)
        migration.at_both(caps)
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        equal(migration.hybrid()['action'], 'handoff', 'action')
        found = load.stop()
        equal((found['errors'], found['wrong']), (0, 0), 'errors, wrong values')
        events = [line.split(':', 1)[1] for line in trace_lines(pair.src)]
        begin, = (i for i, event in enumerate(events)
                  if 'hybrid_devices ' in event)
        check(int(events[begin].split('sent=')[1]),
              f'nothing was sent: {events[begin]}')
        end = next(i for i, event in enumerate(events)
                   if 'hybrid_message side=src GRANT' in event)
        equal([event for event in events[begin:end]
               if 'hybrid_push_fault ' in event], [], 'requests before GRANT')
        audit(pair, 'dst')


def device_pages(logs):
    _device_pages(logs, {})


def device_pages_preempt(logs):
    _device_pages(logs, {'postcopy-preempt': True})


CASES = {f.__name__.replace('_', '-'): f for f in (
    redis_hybrid, redis_unpatched, device_pages, device_pages_preempt)}
