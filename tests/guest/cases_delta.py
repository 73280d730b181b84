"""Pages that are sent as differences to what the destination keeps aside.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import resource
import threading
import time

from channels import MAIN, TO_DST, Channels
from common import (UNPATCHED, audit, booted, check, cut_in_paging,
                    ends_hybrid, equal, pages_add_up, recover_cut)
from hybridmig import paths
from hybridmig.migrate import Migration
from hybridmig.record import trace_lines
from hybridmig.waiting import until
from proxy import Proxy

#: A third of the set, of which a write changes 24 bytes, as fast as it goes.
SMALL = 'hot pages=7000 rate=0 bytes=24'
HOT_PAGES = 7000
#: So much of each that the differences are more than what is sent at once,
#: whatever the limit of the bandwidth.
LARGE = 'hot pages=7000 rate=0 bytes=1000'
#: So short a stop that no link carries what is hot in it: it is handed over.
CACHE = {'hybrid-delta-cache': 64 << 20, 'downtime-limit': 5}
PREEMPT = {'postcopy-preempt': True}


def _migration(pair, caps=None, parameters=None, **how):
    migration = Migration(pair, parameters={**CACHE, **(parameters or {})},
                          **how)
    migration.at_both(caps)
    return migration


def deltas_of_both(migration):
    """What both sides say of them fits together."""
    src, dst = (migration.hybrid(side)['deltas'] for side in ('src', 'dst'))
    equal(src['bases'], dst['bases'], 'bases')
    equal(src['refused'], dst['refused'], 'refused')
    equal(src['pages'], dst['pages'] + dst['refused'], 'differences')
    check(src['pages'] + src['whole'] <= src['bases'], f'bases: {src}')
    equal((src['memory'], dst['memory']), (0, 0), 'memory at the end')
    return src


def _pays(migration):
    """Most of the hot set crossed the link as a few bytes of each page."""
    d = deltas_of_both(migration)
    check(d['pages'] > HOT_PAGES * 3 / 4, f'few differences: {d}')
    check(d['bytes'] < d['pages'] * 409, f'they are large: {d}')
    equal(d['refused'], 0, 'refused')
    return d


def _small(logs, caps=None, smp=1, workload=SMALL, guest=None, **how):
    with booted(logs, workload, smp, **(guest or {})) as pair:
        migration = _migration(pair, caps, **how)
        migration.start()
        ends_hybrid(migration, 'handoff')
        _pays(migration)
        audit(pair, 'dst')


def delta_small(logs):
    _small(logs)


def delta_preempt(logs):
    _small(logs, PREEMPT)


def delta_preempt_smp2(logs):
    _small(logs, PREEMPT, 2, SMALL + ' threads=2')


def delta_tls(logs):
    _small(logs, PREEMPT, transport='tls')


def delta_unix(logs):
    _small(logs, transport='unix')


def delta_shared(logs):
    """Guest memory that other processes could map, too."""
    _small(logs, PREEMPT, guest={
        'machine': 'pc,memory-backend=shared', 'extra': (
            '-object', 'memory-backend-memfd,id=shared,size=160M,share=on')})


def delta_off(logs):
    """As without it: nothing is agreed on, nothing kept."""
    with booted(logs, SMALL) as pair:
        migration = _migration(pair, parameters={'hybrid-delta-cache': 0})
        migration.start()
        ends_hybrid(migration, 'handoff')
        for side in ('src', 'dst'):
            check('deltas' not in migration.hybrid(side), f'{side} has some')
        audit(pair, 'dst')


def delta_little_cache(logs):
    """Slots for a few of them: the others go as ever."""
    with booted(logs, SMALL) as pair:
        migration = _migration(pair, PREEMPT,
                               {'hybrid-delta-cache': 1000 * 4096})
        migration.start()
        ends_hybrid(migration, 'handoff')
        d = deltas_of_both(migration)
        check(0 < d['bases'] <= 1000, f'bases: {d}')
        check(d['pages'] > d['bases'] / 2, f'few differences: {d}')
        audit(pair, 'dst')


def delta_no_room(logs):
    """No memory for bases can be had at all: as without it, and no harm."""
    with booted(logs, SMALL, preload=[paths.bare('no-room.so')]) as pair:
        migration = _migration(pair)
        migration.start()
        ends_hybrid(migration, 'handoff')
        for side in ('src', 'dst'):
            check('deltas' not in migration.hybrid(side), f'{side} has some')
        audit(pair, 'dst')


def _limit(guest, more):
    """So many bytes of addresses more than it has now."""
    pid = guest.machine.get_pid()
    with open(f'/proc/{pid}/statm', encoding='ascii') as statm:
        has = int(statm.read().split()[0]) * resource.getpagesize()
    resource.prlimit(pid, resource.RLIMIT_AS, (has + more, has + more))


def delta_dst_little_room(logs):
    """
    A limit of the destination: it says so, and the source uses less, or none:
    how much of it threads have by then differs.
    """
    with booted(logs, SMALL) as pair:
        migration = _migration(pair, None, {'hybrid-delta-cache': 256 << 20})
        migration.prepare()
        _limit(pair.dst, 400 << 20)
        migration.start()
        ends_hybrid(migration, 'handoff')
        if 'deltas' in migration.hybrid():
            equal(deltas_of_both(migration)['refused'], 0, 'refused')
        audit(pair, 'dst')


def delta_src_no_room(logs):
    """A limit of the source: it sends no bases."""
    with booted(logs, SMALL) as pair:
        migration = _migration(pair)
        _limit(pair.src, 200 << 20)
        migration.start()
        ends_hybrid(migration, 'handoff')
        d = migration.hybrid()['deltas']
        equal((d['decision'], d['bases']), ('no-memory', 0), 'what became of it')
        equal(migration.hybrid('dst')['deltas']['bases'], 0, 'bases')
        audit(pair, 'dst')


def delta_on_demand(logs):
    """All that is left is asked for, as a difference where there is one."""
    with booted(logs, SMALL) as pair:
        migration = _migration(pair, PREEMPT,
                               {'hybrid-push-policy': 'on-demand'})
        migration.start()
        check(migration.wait_phase('paging'), 'no paging')
        until(lambda: migration.hybrid()['deltas']['pages'] > 1000, 60,
              'differences on demand')
        pair.src.set_parameters({'hybrid-push-policy': 'bubble'})
        ends_hybrid(migration, 'handoff')
        _pays(migration)
        audit(pair, 'dst')


def _in_pass(pair):
    until(lambda: any('hybrid_delta_pass' in line and 'slots=0' not in line
                      for line in trace_lines(pair.src)), 60, 'the pass')


def delta_cancelled(logs):
    """In the middle of the bases; then another migration has its own."""
    with booted(logs, SMALL, rate='100mbit', replayed=False) as pair:
        migration = _migration(pair)
        migration.start()
        _in_pass(pair)
        migration.cancel()
        equal(migration.wait_end(), 'cancelled', 'ended as')
        d = migration.hybrid()['deltas']
        check(d['bases'] < HOT_PAGES / 2 and not d['pages'],
              f'not in the pass: {d}')
        equal(d['memory'], 0, 'memory at the end')
        check(pair.src.status() == 'running', 'the guest stands still')
        pair.renew_destination()
        again = _migration(pair)
        again.start()
        ends_hybrid(again, 'handoff')
        _pays(again)
        audit(pair, 'dst')


def audit_kept(pair):
    """The guest runs at the source, and goes on to run there."""
    check(pair.src.status() == 'running', 'the guest stands still')
    audit(pair, 'src')


def delta_link_lost_in_pass(logs):
    with booted(logs, SMALL, rate='100mbit', replayed=False) as pair:
        migration = _migration(pair)
        migration.start()
        _in_pass(pair)
        pair.src.monitor.command('migrate-pause', oob=True)
        equal(migration.wait_end(), 'failed', 'ended as')
        audit_kept(pair)


@contextlib.contextmanager
def _cut(logs, caps=None):
    """The link is cut while differences fly; in the end all is there."""
    with booted(logs, LARGE) as pair:
        migration = _migration(pair, caps,
                               {'max-postcopy-bandwidth': 100 << 10})
        cut_in_paging(migration)
        migration.start()
        pair.log.wait(lambda: pair.link.cut_mode, 60, 'paging')
        yield migration
        d = migration.hybrid()['deltas']
        check(d['pages'] < HOT_PAGES, f'it was over before: {d}')
        equal(d['memory'], 0, 'memory at the end')
        audit(pair, 'dst')


def _recovered(logs, caps=None):
    with _cut(logs, caps) as migration:
        migration.pair.src.set_parameters({'max-postcopy-bandwidth': 0})
        recover_cut(migration)
        pages_add_up(migration, lost=True)


def delta_recovered(logs):
    _recovered(logs)


def delta_recovered_preempt(logs):
    _recovered(logs, PREEMPT)


def _both_are(migration, status):
    for side in ('src', 'dst'):
        until(lambda s=side: migration.info(s).get('status') == status, 30,
              f'{side} is {status}')


def delta_recovered_twice(logs):
    """Nothing of the bases is left, and each page comes as a whole."""
    with _cut(logs, PREEMPT) as migration:
        pair = migration.pair
        for again in (False, True):
            migration.pause()
            _both_are(migration, 'postcopy-paused')
            equal(migration.hybrid('dst')['deltas']['memory'], 0,
                  'kept in the pause')
            pair.link.heal()
            migration.recover()
            if not again:
                _both_are(migration, 'postcopy-active')
                equal(migration.hybrid()['deltas']['memory'], 0,
                      'kept after a recovery')
                pair.link.cut()
        pair.src.set_parameters({'max-postcopy-bandwidth': 0})
        equal(migration.wait_end(), 'completed', 'ended as')


def there_and_back(logs, prepare, judge):
    """A destination has been one, and is a source then: nothing is left."""
    with booted(logs, SMALL, replayed=False) as pair:
        for turn in range(3):
            if turn:
                pair.turn()
                # It has a hot set again
                time.sleep(2)
            migration = prepare(pair, {'postcopy-preempt': bool(turn % 2)})
            migration.start()
            judge(migration)
        audit(pair, 'dst')


def delta_there_and_back(logs):
    def judge(migration):
        ends_hybrid(migration, 'handoff')
        _pays(migration)
    there_and_back(logs, _migration, judge)


def delta_plain_peer(logs):
    with booted(logs, SMALL, dst=UNPATCHED) as pair:
        migration = _migration(pair)
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        check('deltas' not in migration.hybrid(), 'with whom?')
        audit(pair, 'dst')


def _answer_lost(logs, caps=None):
    """All is placed, but the source does not hear so: a pause, by itself."""
    with booted(logs, SMALL, rate='unlimited') as pair:
        migration = _migration(pair, caps, {'hybrid-handoff-timeout': 1000},
                               transport='unix')
        migration.prepare()
        lost = threading.Event()

        def on_message(name):
            if name == 'DELTAS':
                lost.set()
            return False if name == 'DELTAS' else None
        proxy = Proxy(pair.run, migration.listen()[len('unix:'):], on_message)
        pair.src.qmp('migrate', {'uri': f'unix:{proxy.path}'})
        check(lost.wait(60), 'the differences are never settled')
        for side in ('src', 'dst'):
            migration.wait_status(side, 'postcopy-paused', timeout=60)
        migration.recover()
        equal(migration.wait_end(), 'completed', 'ended as')
        pages_add_up(migration)
        audit(pair, 'dst')


def delta_answer_lost(logs):
    _answer_lost(logs)


def delta_answer_lost_preempt(logs):
    _answer_lost(logs, PREEMPT)


def delta_pause_before_switchover(logs):
    """The monitor takes its time, bases and all are older by that."""
    with booted(logs, SMALL) as pair:
        migration = _migration(pair)
        migration.at_both({'pause-before-switchover': True})
        migration.start()
        migration.wait_status('src', 'pre-switchover')
        time.sleep(1)
        pair.src.qmp('migrate-continue', {'state': 'pre-switchover'})
        ends_hybrid(migration, 'handoff')
        _pays(migration)
        audit(pair, 'dst')


class Spoils:
    """Flips a bit of some bases on their way."""
    def __init__(self, most):
        self._most = most
        self.spoilt = 0

    def __call__(self, data):
        at = data.find(b'\x00\x07\x00\x01', 5)
        if self.spoilt == self._most or at < 0 or len(data) < at + 3000 or \
                data[at - 5:at - 2] != b"\x08\x68\x79":
            return data
        self.spoilt += 1
        # Behind slot, version, name and offset: in the bytes of the first
        return data[:at + 2000] + bytes([data[at + 2000] ^ 4]) + \
            data[at + 2001:]


def _spoilt(logs, caps=None, most=50):
    """What is not what the source has kept is never placed."""
    with booted(logs, SMALL, rate='unlimited') as pair:
        migration = _migration(pair, caps, transport='unix')
        migration.prepare()
        spoils = Spoils(most)
        channels = Channels(pair.run, migration.listen()[len('unix:'):],
                            to_dst=spoils)
        pair.src.qmp('migrate', {'uri': f'unix:{channels.path}'})
        equal(migration.wait_end(), 'completed', 'ended as')
        equal(migration.hybrid()['action'], 'handoff', 'action')
        check(spoils.spoilt, 'no base was spoilt')
        d = deltas_of_both(migration)
        check(d['refused'], f'none was refused: {d}')
        pages_add_up(migration)
        said = [line for line in trace_lines(pair.dst)
                if 'hybrid_delta_refused' in line]
        equal(len(said), d['refused'], 'refused, in the trace')
        audit(pair, 'dst')


class _SpoilsPieces:
    """
    The same where what passes are pieces of 4096 bytes: one base of each
    message, so that one of the first pages is asked for again.
    """
    def __init__(self):
        self._next = None
        self.spoilt = 0

    def __call__(self, data):
        at, self._next = self._next, None
        if at and len(data) == 4096:
            self.spoilt += 1
            data = data[:at] + bytes([data[at] ^ 4]) + data[at + 1:]
        head = data.find(b'\x08\x68\x79')
        if head >= 0 and data[head + 5:head + 9] == b'\x00\x07\x00\x01':
            # Not where the second base has its slot, version, and name
            self._next = 3000 if 1800 < head < 2100 else 2000
        return data


def _many_spoilt(logs, caps=None):
    """
    Many at once are asked for again, over sockets that hold little: neither
    end waits for the other one to read.  The guest waits with its first fault
    until they are on their way, as nothing else is sent as a difference once
    one of them was asked for again.
    """
    with booted(logs, SMALL, rate='unlimited', dst_extra=['-S']) as pair:
        migration = _migration(pair, caps, {'hybrid-push-policy': 'on-demand'},
                               transport='unix')
        migration.prepare()
        spoils = _SpoilsPieces()
        channels = Channels(pair.run, migration.listen()[len('unix:'):],
                            to_dst=spoils, room=4096)
        pair.src.qmp('migrate', {'uri': f'unix:{channels.path}'})
        migration.wait_phase('paging')
        main = channels.connections[MAIN]
        main.stall(TO_DST)
        check(spoils.spoilt, 'no base was spoilt')
        pair.src.set_parameters({'hybrid-push-policy': 'bubble'})
        until(lambda: migration.hybrid()['deltas']['pages'] > 300, 60,
              'differences on their way')
        # It is not answered while a vCPU waits for what is held
        cont = threading.Thread(target=pair.dst.qmp, args=('cont',))
        cont.start()
        until(lambda: migration.info()['ram']['postcopy-requests'], 60,
              'a request')
        time.sleep(0.5)
        main.go_on()
        cont.join()
        equal(migration.wait_end(), 'completed', 'ended as')
        d = deltas_of_both(migration)
        check(d['refused'] > 100, f'few were refused: {d}')
        audit(pair, 'dst')


def delta_many_spoilt(logs):
    _many_spoilt(logs)


def delta_many_spoilt_preempt(logs):
    _many_spoilt(logs, PREEMPT)


def delta_spoilt(logs):
    _spoilt(logs)


def delta_spoilt_preempt(logs):
    _spoilt(logs, PREEMPT)


CASES = {f.__name__.replace('_', '-'): f for f in (
    delta_small, delta_preempt, delta_preempt_smp2, delta_tls, delta_unix,
    delta_shared, delta_off, delta_little_cache, delta_no_room,
    delta_dst_little_room, delta_src_no_room, delta_on_demand,
    delta_cancelled, delta_link_lost_in_pass, delta_recovered,
    delta_recovered_preempt, delta_recovered_twice, delta_there_and_back,
    delta_answer_lost, delta_answer_lost_preempt,
    delta_pause_before_switchover, delta_plain_peer, delta_spoilt,
    delta_spoilt_preempt, delta_many_spoilt, delta_many_spoilt_preempt)}

#: The same with another channel, or a smaller part of it.
LONG = {'delta-many-spoilt', 'delta-preempt-smp2', 'delta-tls', 'delta-unix',
        'delta-shared', 'delta-little-cache',
        'delta-src-no-room', 'delta-on-demand',
        'delta-link-lost-in-pass', 'delta-recovered', 'delta-there-and-back',
        'delta-answer-lost', 'delta-pause-before-switchover',
        'delta-plain-peer', 'delta-spoilt'}
