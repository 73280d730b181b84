"""Smoke test: hybrid migration under libvirt.

Two libvirt daemons in namespaces migrate a guest, to and fro, over a link of
limited rate. After each migration the guest's memory is audited, and audited
again with one bit flipped, which the audit has to find.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import json

import suite
from checks import check
from hybridmig import paths, runs
from hybridmig.guest import GuestConfig
from tap import note

from domain import NAME, Domain
from hosts import Hosts, version, why_not_here

RATE = '1gbit'
PAGES = 32768
# One dirties pages faster than the link carries them, one does not.
HOT = 'work hot pages=24000'
CALM = 'work mix pages=1000 rate=2000'
IDLE = 'work idle'
OFF = 'capability postcopy-ram is off'


class Libvirt(suite.Suite):
    """One guest goes through all of them; one that fails leaves a fresh one."""
    name = 'libvirt'
    apart = False

    def __init__(self, runner):
        super().__init__(runner)
        self.run = self.hosts = self.args = self.config = self.domain = None
        self.started = 0
        self.audits = 0

    def options(self, parser):
        parser.add_argument('--qemu', default=paths.built('qemu'))
        parser.add_argument('--kernel', default=paths.kernel())
        parser.add_argument('--initrd', default=paths.initrd())

    def cases(self):
        return {name: suite.Case(name, self._case(function))
                for name, function in (
            ('a domain starts with x-hybrid=on', self.starts),
            ('--postcopy goes hybrid by itself', self.hybrid_move),
            ('--postcopy of an idle guest ends as precopy',
             self.ends_as_precopy),
            ('without --postcopy hybrid is inactive', self.plain_move),
            ('save and restore, hybrid is inactive', self.save_restore),
            ('to and fro, with --postcopy and without', self.to_and_fro))}

    def why_not(self):
        return why_not_here()

    @contextlib.contextmanager
    def session(self, args):
        for name in ('qemu', 'kernel', 'initrd'):
            path = paths.need_file(getattr(args, name), f'the {name}')
            setattr(args, name, path)
        self.args = args
        paths.use_qemu_python(binary=args.qemu)
        self.config = GuestConfig(args.kernel, args.initrd, mem=256,
                                  pages=PAGES, zero=2048, untouched=2048)
        with runs.Run(self.logs) as self.run:
            try:
                self.hosts = Hosts(self.run, RATE)
                note(f'libvirt {version()}, link {RATE}')
                yield
                self.drop_domain()
            except Exception:
                self.run.keep()
                raise

    def _case(self, function):
        def run(_logs):
            try:
                if self.domain is None:
                    self.start_domain()
                function()
                check(not self.domain.console.faults,
                      'serial line or tick: '
                      f'{self.domain.console.faults[:5]}')
            except Exception as exc:
                exc.about = f'logs: {self.run.keep()}'
                self.drop_domain()
                raise
        return run

    def start_domain(self):
        self.started += 1
        self.domain = Domain(self.run, self.hosts, self.started,
                             self.args.qemu, self.config)
        self.domain.start(self.hosts.hosts[0])

    def drop_domain(self):
        domain, self.domain = self.domain, None
        if domain:
            domain.destroy()

    def check_capability(self):
        """libvirt resets those that it knows after each migration."""
        reply = self.domain.stay.host.virsh(
            'qemu-monitor-command', NAME,
            '{"execute": "query-migrate-capabilities"}')
        check({'capability': 'hybrid', 'state': True} in
              json.loads(reply)['return'], f'capabilities: {reply}')

    def check_guest(self):
        """Where it runs, and all of its memory. The guest is idle then."""
        domain = self.domain
        places = domain.places()
        check(places == {domain.stay.host.name: 'running'},
              f'libvirt has the domain here: {places}')
        audit = domain.audit()
        check(audit.right and audit.pages == PAGES, f'audit: {audit}')
        self.audits += 1
        page = self.audits * 1009 % PAGES
        domain.ask(f'corrupt {page}')
        twin = domain.audit()
        check(twin.first == [page],
              f'page {page} was corrupted, and the audit says: {twin}')
        domain.ask(f'corrupt {page}')

    def migrate(self, work, *options):
        self.domain.ask(work)
        move = self.domain.migrate(*options)
        note(f'{move.src.host.name} to {move.dst.host.name}: '
             f'{move.summary()}')
        self.check_capability()
        self.check_guest()
        return move

    def check_handoff(self, move, action):
        """Hybrid by itself, and handed over as the protocol has it."""
        hybrid = move.hybrid
        # When the destination has finished, libvirt asks a last time and ends
        # the source, which may not have read the destination's last word.
        ended = move.info.get('status') == 'completed'
        seen = {'active': hybrid.get('active'), 'agreed': hybrid.get('agreed'),
                'action': hybrid.get('action'), 'phase': hybrid.get('phase')}
        check(ended or action == 'handoff', f'query-migrate: {move.info}')
        check(seen == {'active': True, 'agreed': True, 'action': action,
                       'phase': 'completed' if ended else 'paging'},
              f'query-migrate: {move.info}')
        check(not move.talk.sent('migrate-start-postcopy'),
              'libvirt sent migrate-start-postcopy')
        steps = move.src.steps()
        check(steps.count('PEER_LOADED') == 1 and
              (steps[-1] == 'PEER_DONE' or not ended),
              f'handoff at the source: {steps}')
        heard = steps.count('PEER_RUNNING')
        steps = move.dst.steps()
        check(steps.count('GRANT') == 1 and steps[-1] == 'STREAM_END',
              f'at the destination: {steps}')
        # libvirt starts QEMU with -S: granted, it says RUNNING (paused), and
        # once more after "cont"; only once if "cont" overtook the grant.
        # libvirt says "cont" when the source is in postcopy or done: if
        # done, the source is not there any more to hear it.
        said = move.dst.said('RUNNING')
        check(said in (1, 2) and
              heard in ((said,) if action == 'handoff' else (1, said)),
              f'RUNNING was said {said} times and heard {heard} times')
        check(hybrid['downtime-estimated'] or
              abs(hybrid['downtime-us'] / 1e3 - move.downtime_ms) <
              5 + 0.2 * move.downtime_ms,
              'downtime is wrong, and not marked as an estimate')

    def check_switched(self, move, switched):
        check(('postcopy-active' in move.statuses) == switched,
              f'the source\'s states were {move.statuses}')

    def hybrid_move(self):
        move = self.migrate(HOT, '--postcopy')
        self.check_handoff(move, 'handoff')
        self.check_switched(move, True)

    def check_inactive(self, info):
        check(info.get('status') == 'completed', f'query-migrate: {info}')
        hybrid = info.get('hybrid', {})
        check(hybrid.get('active') is False and hybrid.get('reason') == OFF,
              f'query-migrate: {hybrid}')

    def plain_move(self):
        move = self.migrate(CALM)
        self.check_inactive(move.info)
        self.check_switched(move, False)
        for stay in (move.src, move.dst):
            check('GRANT' not in stay.trace(), 'a handoff took place')

    # The cases.

    def starts(self):
        self.check_capability()
        self.check_guest()

    def ends_as_precopy(self):
        move = self.migrate(IDLE, '--postcopy')
        self.check_handoff(move, 'complete')
        self.check_switched(move, False)

    def save_restore(self):
        self.domain.ask(CALM)
        talk = self.domain.save_and_restore()
        self.check_inactive(talk.last_info())
        self.check_capability()
        self.check_guest()

    def to_and_fro(self):
        for _ in range(2):
            self.hybrid_move()
            self.plain_move()


if __name__ == '__main__':
    suite.run(Libvirt(__file__))
