"""One migration, from start to end: by any transport, with cuts and recovery.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import functools
import os
import threading

from . import runs
from .monitor import QmpError, QmpLost
from .net import DST_ADDRESS

PORT = 4444
ENDS = ('completed', 'failed', 'cancelled')
TRANSPORTS = ('tcp', 'unix', 'fd', 'tls', 'tls-x509', 'tls-unix')
#: What hybrid needs; the capability itself only at the source.
SRC_CAPABILITIES = {'events': True, 'postcopy-ram': True, 'hybrid': True}
DST_CAPABILITIES = {'events': True, 'postcopy-ram': True}


def _make_key(folder):
    runs.command('psktool', '-u', 'qemu', '-p',
                 os.path.join(folder, 'keys.psk'))


def _make_certificates(folder):
    """An authority, and what it says of the two sides, as QEMU names them."""
    path = functools.partial(os.path.join, folder)
    kinds = {'ca': 'ca\ncert_signing_key\n',
             'server': f'tls_www_server\nip_address = {DST_ADDRESS}\n'
                       'signing_key\nencryption_key\n',
             'client': 'tls_www_client\nsigning_key\nencryption_key\n'}
    for name, what in kinds.items():
        with open(path(f'{name}.info'), 'w', encoding='ascii') as out:
            out.write(f'cn = {name}\nexpiration_days = 2\n{what}')
        key = path(f'{name}-key.pem')
        runs.command('certtool', '--generate-privkey', '--key-type', 'ecdsa',
                     '--outfile', key)
        signed = ['--generate-self-signed'] if name == 'ca' else [
            '--generate-certificate', '--load-ca-privkey', path('ca-key.pem'),
            '--load-ca-certificate', path('ca-cert.pem')]
        runs.command('certtool', *signed, '--load-privkey', key, '--template',
                     path(f'{name}.info'), '--outfile', path(f'{name}-cert.pem'))


class Migration:
    """Settings of both sides, and what happened."""
    def __init__(self, pair, src_caps=None, dst_caps=None, parameters=None,
                 transport='tcp'):
        self.pair = pair
        self.src_caps = dict(SRC_CAPABILITIES if src_caps is None
                             else src_caps)
        self.dst_caps = dict(DST_CAPABILITIES if dst_caps is None
                             else dst_caps)
        self.parameters = dict(parameters or {})
        self.transport = transport
        self.incoming = {}      # more arguments of migrate-incoming
        self.first_event = len(pair.log)
        self._port = PORT
        self._reactions = []
        pair.log.on_event(self._react)

    # Before the start.

    def at_both(self, capabilities):
        """More capabilities, at both sides; None: no more."""
        self.src_caps.update(capabilities or {})
        self.dst_caps.update(capabilities or {})

    def when(self, action, side=None, name=None, **data):
        """Call action() once, in a thread, when such an event comes."""
        self._reactions.append([action, side, name, data])

    def _react(self, event):
        for reaction in list(self._reactions):
            action, side, name, data = reaction
            if side in (None, event.side) and name in (None, event.name) and \
               all(event.data.get(k) == v for k, v in data.items()):
                self._reactions.remove(reaction)
                threading.Thread(target=self._act, args=(action,),
                                 daemon=True).start()

    @staticmethod
    def _act(action):
        try:
            action()
        except (QmpError, QmpLost):
            pass    # what it asked for is too late; the test sees the end

    def prepare(self):
        self.pair.src.set_capabilities(self.src_caps)
        self.pair.dst.set_capabilities(self.dst_caps)
        if self.transport.startswith('tls'):
            self._prepare_tls()
        self.pair.src.set_parameters(self.parameters)

    def _prepare_tls(self):
        kind = 'x509' if self.transport == 'tls-x509' else 'psk'
        folder = os.path.join(self.pair.run.folder, 'tls')
        if not os.path.isdir(folder):
            os.mkdir(folder)
            {'x509': _make_certificates, 'psk': _make_key}[kind](folder)
        for guest, endpoint in ((self.pair.src, 'client'),
                                (self.pair.dst, 'server')):
            more = {'username': 'qemu'} \
                if kind == 'psk' and endpoint == 'client' else {}
            guest.qmp('object-add', {
                'qom-type': f'tls-creds-{kind}', 'id': 'tls', 'dir': folder,
                'endpoint': endpoint, **more})
            guest.set_parameters({'tls-creds': 'tls'})

    # The run.

    def start(self, uri=None):
        """Have the destination wait and the source migrate."""
        self.prepare()
        src_uri = self.listen(uri)
        self.pair.src.qmp('migrate', {'uri': uri or src_uri})
        return self

    def listen(self, uri=None, command='migrate-incoming', oob=False):
        """Returns the URI for the source."""
        if uri and not uri.startswith(TRANSPORTS):
            return uri
        if self.transport == 'fd':
            ours, theirs = self.pair.link.connected_pair()
            name = f'mig{self._port}'
            self._port += 1
            self.pair.src.monitor.give_fd(ours.fileno(), name)
            self.pair.dst.monitor.give_fd(theirs.fileno(), name)
            ours.close()
            theirs.close()
            uri = f'fd:{name}'
        elif self.transport.endswith('unix'):
            uri = f'unix:{self.pair.run.folder}/mig{self._port}.sock'
        else:
            uri = f'tcp:{self.pair.address}:{self._port}'
        self._port += 1
        more = self.incoming if command == 'migrate-incoming' else {}
        self.pair.dst.monitor.command(command, {'uri': uri, **more}, oob=oob)
        return uri

    def recover(self):
        """Both sides are paused, the link is whole: go on.

        Over TCP if it was over a descriptor: "getfd" is not out of band, and
        a vCPU that waits for a page may hold the destination's main loop.
        """
        if self.transport == 'fd':
            self.transport = 'tcp'
        uri = self.listen(command='migrate-recover', oob=True)
        self.pair.src.qmp('migrate', {'uri': uri, 'resume': True})

    def pause(self):
        """Out of band: a vCPU that waits for a page may hold the main loop."""
        for guest in (self.pair.src, self.pair.dst):
            monitor = guest.monitor
            if monitor is None:
                raise QmpLost('the guest has been ended')
            try:
                monitor.command('migrate-pause', oob=True)
            except QmpError:
                pass            # it has noticed by itself

    def cancel(self):
        self.pair.src.qmp('migrate_cancel')

    # What happened.

    def event(self, side, name, **data):
        return self.pair.log.find(side, name, after=self.first_event, **data)

    def status_seen(self, side, status):
        return self.event(side, 'MIGRATION', status=status)

    def times(self, side, status):
        """How often it was seen."""
        return sum(e.side == side and e.name == 'MIGRATION' and
                   e.data['status'] == status
                   for e in self.pair.log.events[self.first_event:])

    def last_status(self, side):
        """By the events: a QEMU whose vCPU waits for a page may not answer."""
        event = self.pair.log.last(side, 'MIGRATION')
        return event and event.data['status']

    def wait_status(self, side, *statuses, timeout=60, or_none=False):
        """The first event with one of these statuses; or_none: if it came."""
        return self.pair.log.wait(
            lambda: next((e for e in map(lambda s: self.status_seen(side, s),
                                         statuses) if e), None), timeout,
            None if or_none else f'{side} {" or ".join(statuses)}')

    def wait_phase(self, phase, timeout=60):
        """The event; it has to come."""
        return self.pair.log.wait(
            lambda: self.event('src', 'MIGRATION_HYBRID_PHASE', phase=phase),
            timeout, f'phase {phase}')

    def wait_end(self, timeout=120):
        """Wait for the end at the source; where the guest is, there too."""
        end = self.wait_status('src', *ENDS, timeout=timeout)
        if end.data['status'] == 'completed':
            self.pair.log.wait(lambda: self.event('dst', 'RESUME'), 30)
        return end.data['status']

    def info(self, side='src'):
        return self.pair.side(side).qmp('query-migrate')

    def hybrid(self, side='src'):
        return self.info(side).get('hybrid', {})
