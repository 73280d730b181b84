"""Clients of the guest through a migration: Redis under load, a TCP session.

SPDX-License-Identifier: GPL-2.0-or-later
"""
from common import PATCHED, UNPATCHED, audit, booted, check, equal
from hybridmig.lan import RedisLoad, Session
from hybridmig.migrate import DST_CAPABILITIES, Migration

KEYS = 4000


def _seen_at(pair, series, side):
    """Requests that were answered while the guest ticked on that side."""
    ticks = [tick.at for tick in pair.console.ticks if tick.side == side]
    return sum(ticks[0] < at < ticks[-1] for at, _, _ in series)


def _redis_through(logs, build, migrate):
    """
    migrate(pair) moves the guest. Its clients lose no connection, see no
    error, and each key holds what was written last.
    """
    with booted(logs, 'hot pages=4000 rate=8000', src=build, dst=build,
                mem=256, network=True) as pair:
        load = RedisLoad(pair, rate=300, keys=KEYS)
        session = Session(pair.lan)
        load.start()
        check(session.wait_answer(), 'no session before')
        migrate(pair)
        check(session.wait_answer(), f'no session after: {session.error}')
        equal(session.stop(), None, 'what ended the TCP session')
        found = load.stop()
        equal((found['errors'], found['first_error'], found['reconnects']),
              (0, None, 0), 'errors')
        equal((found['wrong'], found['first_wrong']), (0, None), 'values')
        equal(found['keys'], KEYS, 'keys read back')
        for side in ('src', 'dst'):
            check(_seen_at(pair, found['series'], side) > 20,
                  f'no requests at {side}')
        check(found['max_us'] <= found['blackout_us'] + 5_000_000 and
              found['p50_us'] <= found['p99_us'] <= found['max_us'],
              'latencies: ' + str({**found, 'series': None}))
        audit(pair, 'dst')


def redis_hybrid(logs):
    def migrate(pair):
        migration = Migration(pair)
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        check(migration.hybrid()['agreed'], 'not hybrid')
    _redis_through(logs, PATCHED, migrate)


def redis_unpatched(logs):
    def migrate(pair):
        migration = Migration(pair, src_caps=DST_CAPABILITIES)
        migration.when(lambda: pair.src.qmp('migrate-start-postcopy'),
                       'src', 'MIGRATION_PASS', **{'pass': 2})
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
    _redis_through(logs, UNPATCHED, migrate)


CASES = {f.__name__.replace('_', '-'): f for f in (
    redis_hybrid, redis_unpatched)}
