"""A debugger at either QEMU: it sees the guest, and hears why a guest that is
elsewhere does not go on.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import socket

from common import audit, booted, check, equal, paging_slowly, wait_until
from disks import Disk
from hybridmig.migrate import Migration
from machines import machines

#: The least bare guest that is still handed over.
SMALL = {'bare': True, 'mem': 64, 'pages': 8192, 'rate': '200mbit'}
WORK = 'hot pages=4000 rate=100000'
SLOW = 1 << 20


class Debugger:
    """What gdb says to QEMU, and what it hears."""
    def __init__(self, guest):
        path = f'{guest.log_file}.gdb'
        guest.qmp('human-monitor-command', {
            'command-line': f'gdbserver unix:{path},server=on,wait=off'})
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(20)
        self._socket.connect(path)
        self._heard = b''

    def say(self, text):
        packet = text.encode('ascii')
        self._socket.sendall(b'$%s#%02x' % (packet, sum(packet) & 0xff))

    def hear(self):
        """The next packet, not what acknowledges one."""
        while True:
            begin = self._heard.find(b'$')
            end = self._heard.find(b'#', begin + 1)
            if begin >= 0 and 0 <= end <= len(self._heard) - 3:
                packet = self._heard[begin + 1:end].decode('ascii')
                self._heard = self._heard[end + 3:]
                self._socket.sendall(b'+')
                return packet
            more = self._socket.recv(4096)
            check(more, 'QEMU hung up')
            self._heard += more

    def ask(self, text):
        self.say(text)
        return self.hear()

    def close(self):
        self._socket.close()


def _stays_stopped(guest, debugger, state, why):
    """However it is told to go on: it does not, and says why."""
    for how in ('c', 's', 'vCont;c', 'vCont;s:1'):
        told = debugger.ask(how)
        check(told.startswith('O'), f'{how} in {state}: {told}')
        text = bytes.fromhex(told[1:]).decode('ascii')
        check(why in text, f'{how} in {state}: {text}')
        check(debugger.hear().startswith('T05'), 'no word that it is stopped')
        equal(guest.status(), state, f'{guest.side} after {how}')
    equal(debugger.ask('D'), 'OK', 'detached')
    equal(guest.status(), state, f'{guest.side} without a debugger')
    debugger.close()


def debugger_at_source(logs):
    """It goes on in the rounds; what was handed over it does not start."""
    with booted(logs, WORK, **SMALL) as pair:
        migration = Migration(pair, parameters={'max-bandwidth': SLOW})
        migration.start()
        check(migration.wait_phase('rounds'), 'no rounds')
        debugger = Debugger(pair.src)
        check(debugger.ask('?').startswith('T05'), 'it did not stop')
        equal(pair.src.status(), 'paused', 'the source is')
        equal(len(debugger.ask('m100000,10')), 32, 'digits of memory')
        debugger.say('c')
        wait_until(lambda: pair.src.status() == 'running', 'it does not go on')
        pair.src.set_parameters({'max-bandwidth': 0,
                                 'max-postcopy-bandwidth': SLOW})
        pair.src.qmp('migrate-start-postcopy')
        check(migration.wait_phase('paging'), 'no paging')
        check(debugger.hear().startswith('T18'), 'it saw no migration')
        _stays_stopped(pair.src, debugger, 'finish-migrate', 'not finalized')
        equal(pair.running_sides(), ['dst'], 'the guest runs at')
        pair.src.set_parameters({'max-postcopy-bandwidth': 0})
        equal(migration.wait_end(), 'completed', 'ended as')
        wait_until(lambda: pair.src.status() == 'postmigrate', 'not the end')
        _stays_stopped(pair.src, Debugger(pair.src), 'postmigrate',
                       'at the destination')
        audit(pair, 'dst')


def debugger_in_pre_switchover(logs):
    """The guest that it may not start goes where the migration takes it."""
    with booted(logs, WORK, **SMALL) as pair:
        migration = Migration(pair)
        migration.src_caps['pause-before-switchover'] = True
        migration.start()
        check(migration.wait_status('src', 'pre-switchover'), 'no switch')
        _stays_stopped(pair.src, Debugger(pair.src), 'finish-migrate',
                       'not finalized')
        pair.src.qmp('migrate-continue', {'state': 'pre-switchover'})
        equal(migration.wait_end(), 'completed', 'ended as')
        audit(pair, 'dst')


def debugger_at_destination(logs):
    """It debugs a guest of which pages are missing."""
    with booted(logs, WORK, **SMALL) as pair:
        migration = paging_slowly(pair, SLOW)
        debugger = Debugger(pair.dst)
        check(debugger.ask('?').startswith('T05'), 'it did not stop')
        equal(len(debugger.ask('m100000,10')), 32, 'digits of memory')
        check(debugger.ask('s').startswith('T05'), 'no step')
        equal(debugger.ask('D'), 'OK', 'detached')
        pair.src.set_parameters({'max-postcopy-bandwidth': 0})
        equal(migration.wait_end(), 'completed', 'ended as')
        audit(pair, 'dst')


def debugger_after_migration(logs):
    """
    Who looks at what a migration left, hybrid or not, does not take the guest
    back: not its vCPUs, not its disks.
    """
    for hybrid in (False, True):
        with machines(logs) as pair:
            disk = Disk(pair, 'disk')
            pair.migrate(src_caps={'hybrid': hybrid})
            equal(pair.wait_end(), 'completed', 'ended as')
            pair.src.wait_status('postmigrate')
            pair.dst.wait_status('running')
            _stays_stopped(pair.src, Debugger(pair.src), 'postmigrate',
                           'at the destination')
            check(not disk.active(pair.src), 'the disk was taken back')
            equal(pair.dst.status(), 'running', 'destination')


def debugger_at_incoming(logs):
    """Whether the guest starts when it has come is said by -S, not by gdb."""
    for line, comes_as in (([], 'running'), (['-S'], 'paused')):
        with machines(logs, dst_extra=line) as pair:
            _stays_stopped(pair.dst, Debugger(pair.dst), 'inmigrate',
                           'not come')
            pair.migrate()
            equal(pair.wait_end(), 'completed', 'ended as')
            pair.dst.wait_status(comes_as)


def debugger_without_disks(logs):
    """A guest whose disks wait for an operator waits with them."""
    with machines(logs, dst_extra=['-S']) as pair:
        disk = Disk(pair, 'disk')
        for guest in (pair.src, pair.dst):
            guest.set_capabilities({'late-block-activate': True})
        pair.migrate()
        equal(pair.wait_end(), 'completed', 'ended as')
        pair.dst.wait_status('paused')
        _stays_stopped(pair.dst, Debugger(pair.dst), 'paused', 'inactive')
        check(not disk.active(pair.dst), 'the disk was taken')
        pair.dst.qmp('cont')
        pair.dst.wait_status('running')
        check(disk.active(pair.dst), 'it runs without its disk')


CASES = {f.__name__.replace('_', '-'): f for f in (
    debugger_at_source, debugger_in_pre_switchover,
    debugger_at_destination, debugger_after_migration,
    debugger_at_incoming, debugger_without_disks)}
