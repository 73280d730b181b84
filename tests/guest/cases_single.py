"""One connection of two, or one direction of it, is lost: at any time, by TLS.

Whatever it is, the guest is at one side, whole, at the end: where it was, or
at the destination, after a recovery if need be.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import functools
import time

from channels import MAIN, PREEMPT, TO_DST, TO_SRC, through
from common import audit, booted, check, equal, exits, wait_until
from hybridmig.migrate import Migration
from hybridmig.monitor import QmpError

#: Each phase takes some seconds, if nobody touches a missing page.
SLOW = {'max-bandwidth': 8 << 20, 'max-postcopy-bandwidth': 6 << 20,
        'hybrid-handoff-timeout': 5000}
WRITER = 'hot pages=3000 rate=20000'
PATIENCE = 60

HOW = {'closed': lambda c: c.close(),
       'to-src': lambda c: c.half_close(TO_SRC),
       'to-dst': lambda c: c.half_close(TO_DST)}


def _pause_destination(pair, migration):
    """As the operator's guide says; False: it has all it needs."""
    statuses = ('postcopy-paused', 'completed')
    if not pair.log.wait(lambda: migration.last_status('dst') in statuses, 5):
        try:
            pair.dst.monitor.command('migrate-pause', oob=True)
        except QmpError:
            pass                # it paused by itself
    check(pair.log.wait(lambda: migration.last_status('dst') in statuses,
                        PATIENCE), 'the destination does not pause')
    return migration.last_status('dst') == 'postcopy-paused'


def _ends(pair, migration):
    """In one of the ways that are right."""
    for _ in range(4):
        check(pair.log.wait(lambda: migration.last_status('src') in (
            'completed', 'failed', 'postcopy-paused'), PATIENCE),
            f'the source is {migration.last_status("src")}')
        if migration.last_status('src') == 'failed':
            # It waits for GRANT if it had loaded the package.
            check(pair.log.wait(
                lambda: migration.last_status('dst') == 'postcopy-paused', 2)
                or exits(pair.dst, PATIENCE), 'the destination does not end')
            return audit(pair, 'src')
        if migration.last_status('src') == 'completed' or \
                not _pause_destination(pair, migration):
            break
        check(pair.src.status() != 'running', 'the guest runs at the source')
        pair.src.set_parameters({'max-postcopy-bandwidth': 0})
        before = migration.times('src', 'postcopy-paused')
        through(pair, migration, 'migrate-recover')
        pair.log.wait(lambda seen=before: (
            migration.status_seen('src', 'completed') or
            migration.times('src', 'postcopy-paused') > seen), PATIENCE,
            'the recovery ends')
    migration.wait_status('dst', 'completed', timeout=PATIENCE)
    return audit(pair, 'dst')


def _begin(pair, transport, which):
    migration = Migration(pair, transport=transport, parameters=SLOW)
    migration.at_both({'postcopy-preempt': True})
    migration.prepare()
    channels = through(pair, migration)

    def break_(how):
        if which == PREEMPT:
            check(pair.log.wait(lambda: channels.accepted > PREEMPT,
                                PATIENCE), 'no channel for preemption')
        HOW[how](channels.connections[which])
    return migration, channels, break_


def _paging(pair, migration):
    migration.wait_phase('rounds', PATIENCE)
    pair.src.qmp('migrate-start-postcopy')
    migration.wait_status('src', 'postcopy-active', timeout=PATIENCE)


def _in_rounds(_pair, migration, break_, how):
    migration.wait_phase('rounds', PATIENCE)
    break_(how)


def _at_stop(pair, migration, break_, how):
    """As soon as the guest stands still; for the second one, when it is."""
    migration.when(lambda: break_(how), 'src', 'STOP')
    migration.wait_phase('rounds', PATIENCE)
    pair.src.qmp('migrate-start-postcopy')


def _in_paging(pair, migration, break_, how):
    _paging(pair, migration)
    time.sleep(0.5)
    break_(how)


def _at_the_end(pair, migration, break_, how):
    """Little is left, and then it is pushed at once."""
    _paging(pair, migration)
    wait_until(lambda: migration.hybrid()['push']['remaining-pages'] <= 1000,
               'little is left', PATIENCE)
    pair.src.set_parameters({'max-postcopy-bandwidth': 0})
    break_(how)


WHEN = {'rounds': _in_rounds, 'stop': _at_stop, 'paging': _in_paging,
        'end': _at_the_end}


def _case(logs, which, when, how, transport):
    with booted(logs, WRITER, bare=True, mem=64, pages=7000,
                rate='unlimited') as pair:
        migration, _, break_ = _begin(pair, transport, which)
        WHEN[when](pair, migration, break_, how)
        _ends(pair, migration)


def _recovery_case(logs, which, how, transport):
    """The second loss, in the recovery of the first one."""
    with booted(logs, WRITER, bare=True, mem=64, pages=7000,
                rate='unlimited') as pair:
        # The model has no loss between a connection and what is said by it.
        pair.follows_model = False
        migration, channels, _ = _begin(pair, transport, MAIN)
        _paging(pair, migration)
        channels.close()
        for side in ('src', 'dst'):
            migration.wait_status(side, 'postcopy-paused', timeout=PATIENCE)
        channels = through(pair, migration, 'migrate-recover')
        if which == PREEMPT:
            check(pair.log.wait(lambda: channels.accepted > PREEMPT,
                                PATIENCE), 'no channel for preemption')
        else:
            for side in ('src', 'dst'):
                migration.wait_status(side, 'postcopy-recover',
                                      timeout=PATIENCE)
            wait_until(lambda: channels.accepted > which, 'no channel')
        HOW[how](channels.connections[which])
        # Nothing comes back by the second one: nobody needs to notice.
        check((which, how) == (PREEMPT, 'to-src') or pair.log.wait(
            lambda: migration.times('src', 'postcopy-paused') >= 2,
            PATIENCE), 'the source does not pause again')
        _ends(pair, migration)
        equal(migration.info()['status'], 'completed', 'ended as')


def _cases():
    for transport, suffix in (('unix', ''), ('tls-unix', '-tls')):
        for which, name in ((MAIN, 'main'), (PREEMPT, 'preempt')):
            for how in HOW:
                for when in WHEN:
                    if which == MAIN or when != 'rounds':
                        yield (f'single-{name}-{how}-{when}{suffix}',
                               functools.partial(
                                   _case, which=which, when=when, how=how,
                                   transport=transport))
                yield (f'single-{name}-{how}-recovery{suffix}',
                       functools.partial(_recovery_case, which=which, how=how,
                                         transport=transport))


CASES = dict(_cases())
#: All but these.
LONG = set(CASES) - {
    'single-main-to-src-stop-tls', 'single-preempt-closed-stop',
    'single-preempt-to-dst-paging-tls', 'single-main-to-dst-end',
    'single-main-to-src-recovery-tls', 'single-preempt-closed-recovery'}
