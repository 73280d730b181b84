"""The guest as a libvirt domain that moves between the hosts.

Besides libvirt the test listens to QEMU itself: a second monitor, the guest's
serial line and its tick, each a socket that QEMU opens where it runs.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import glob
import json
import os
import re
import socket
import time
from xml.sax.saxutils import escape, quoteattr

from hybridmig import paths
from hybridmig.console import Console
from hybridmig.guest import Audit
from hybridmig.monitor import EventLog, Monitor

from hosts import finish

NAME = 'hybrid-smoke'
INSIDE = '/run/guest'

XML = '''
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  <memory unit='MiB'>{mem}</memory>
  <vcpu>{smp}</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>{kernel}</kernel>
    <initrd>{initrd}</initrd>
    <cmdline>{append}</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='custom' match='exact' check='none'>
    <model fallback='forbid'>qemu64</model>
  </cpu>
  <devices>
    <emulator>{qemu}</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <audio id='1' type='none'/>
    <serial type='unix'><source mode='bind' path='{inside}/serial'/></serial>
  </devices>
  <qemu:commandline>
{arguments}
  </qemu:commandline>
</domain>
'''


def xml(qemu, config):
    """What "virsh create" takes."""
    given = config.arguments()
    arguments = ['-global', 'migration.x-hybrid=on',
                 '-trace', 'hybrid_*', '-D', f'{INSIDE}/%d.trace']
    for name, use in (('qmp', ['-mon', 'chardev=peek-qmp,mode=control']),
                      ('tick', ['-device', 'isa-debugcon,iobase=0xe9,'
                                           'chardev=peek-tick'])):
        arguments += ['-chardev', f'socket,id=peek-{name},server=on,wait=off,'
                                  f'path={INSIDE}/{name}'] + use
    arguments += paths.firmware_args(qemu)
    return XML.format(
        name=NAME, mem=config.mem, smp=config.smp, inside=INSIDE,
        kernel=escape(os.path.abspath(config.kernel)),
        initrd=escape(os.path.abspath(config.initrd)), qemu=escape(qemu),
        append=escape(given[given.index('-append') + 1]),
        arguments='\n'.join(f'    <qemu:arg value={quoteattr(value)}/>'
                            for value in arguments))


class Talk:
    """What libvirt and a QEMU said to each other, from libvirt's log."""
    SENT = re.compile(r'QEMU_MONITOR_SEND_MSG: mon=\S+ msg=(\{.*\})')
    REPLY = re.compile(r'QEMU_MONITOR_RECV_REPLY: mon=\S+ reply=(\{.*\})')

    def __init__(self, log):
        self.commands = [json.loads(text) for text in self.SENT.findall(log)]
        self.replies = [json.loads(text) for text in self.REPLY.findall(log)]

    def sent(self, name):
        return [command for command in self.commands
                if command.get('execute') == name]

    def last_info(self):
        """The last reply to query-migrate that says something."""
        queries = {command['id'] for command in self.sent('query-migrate')}
        found = [reply['return'] for reply in self.replies
                 if reply.get('id') in queries and reply.get('return')]
        return found[-1] if found else {}


class Stay:
    """The domain on one host, from one QEMU's start to its end."""
    def __init__(self, host, side, folder):
        self.host = host
        self.side = side
        self.monitor = None
        self.trace_file = os.path.join(folder, f'{side}-{host.name}.trace')
        self._trace_from = 0

    def connect(self, log, console, virsh=None):
        """Wait for QEMU, which that virsh, if it is still busy, starts."""
        socks = {name: self._connect_one(name, virsh)
                 for name in ('qmp', 'serial', 'tick')}
        console.attach(self.side, socks['serial'], socks['tick'])
        self.monitor = Monitor(self.side, log, socks['qmp'])
        # The trace file is the only one: those before it were moved too.
        (trace,) = glob.glob(self.host.inside('*.trace'))
        os.rename(trace, self.trace_file)

    def _connect_one(self, name, virsh):
        end = time.monotonic() + 30
        while True:
            sock = socket.socket(socket.AF_UNIX)
            try:
                sock.connect(self.host.inside(name))
                return sock
            except OSError:
                # Not there yet, or what a QEMU before it has left.
                sock.close()
                if virsh and virsh.poll():
                    finish(virsh, 'migrate')
                if time.monotonic() > end:
                    raise RuntimeError('no QEMU to connect to on '
                                       f'{self.host.name}') from None
                time.sleep(0.01)

    def leave(self):
        """It was a destination, it becomes a source: a new chapter."""
        self._trace_from = os.path.getsize(self.trace_file)

    def trace(self):
        with open(self.trace_file, encoding='utf-8') as trace:
            trace.seek(self._trace_from)
            return trace.read()

    def said(self, kind):
        """How many messages of a kind the destination has sent."""
        return self.trace().count(f'hybrid_message side=dst {kind}\n')

    def steps(self):
        """The handoff's events on this side, in order."""
        return re.findall(r'hybrid_handoff_step side=\w+ \w+ --(\w+)-->',
                          self.trace())


class Move:
    """One migration that has succeeded."""
    def __init__(self, src, dst, talk, events):
        self.src, self.dst, self.talk = src, dst, talk
        self.info = talk.last_info()
        self.hybrid = self.info.get('hybrid', {})
        self.statuses = [event.data['status'] for event in events
                         if event.side == src.side and
                         event.name == 'MIGRATION']
        times = {(event.side, event.name): event.time for event in events}
        self.downtime_ms = (times[dst.side, 'RESUME'] -
                            times[src.side, 'STOP']) * 1e3

    def summary(self):
        text = f'STOP to RESUME {self.downtime_ms:.1f} ms'
        if 'downtime-us' in self.hybrid:
            text += f', QEMU says {self.hybrid["downtime-us"] / 1e3:.1f} ms'
            if self.hybrid['downtime-estimated']:
                text += ' (estimated)'
        text += f', total {self.info.get("total-time")} ms'
        if self.hybrid.get('active'):
            text += f', {len(self.hybrid["rounds"])} rounds, ' \
                    f'{self.hybrid.get("action")} because ' \
                    f'{self.hybrid.get("end-reason")}'
        return text


class Domain:
    """A guest that has been started; "stay" is where it is."""
    def __init__(self, run, hosts, number, qemu, config):
        self.run = run
        self.hosts = hosts
        self.log = EventLog()
        self.console = Console(os.path.join(run.folder,
                                            f'serial-{number}.log'))
        run.callback(self.console.close)
        self.stay = None
        self._stays = []
        run.callback(self._disconnect)
        # Counts down, as the console listens in the order of names reversed
        # and what was said on the host before comes first.
        self._sides = iter(f'{number}-{left}' for left in range(99, 0, -1))
        self.file = os.path.join(run.folder, f'domain-{number}.xml')
        with open(self.file, 'w', encoding='utf-8') as out:
            out.write(xml(qemu, config))

    def start(self, host):
        host.virsh('create', '--paused', self.file)
        self._go_on_at(host)
        self.console.wait(lambda: any(
            line.kind in ('ready', 'fatal') for line in self.console.lines),
            60, '"ready" of the guest')

    def _new_stay(self, host):
        stay = Stay(host, next(self._sides), self.run.folder)
        self._stays.append(stay)
        return stay

    def _disconnect(self):
        for stay in self._stays:
            if stay.monitor:
                stay.monitor.close()
        self._stays.clear()

    def _go_on_at(self, host):
        """Listen to a guest that is paused and have it run."""
        self.stay = self._new_stay(host)
        self.stay.connect(self.log, self.console)
        host.virsh('resume', NAME)

    def ask(self, text):
        return self.console.ask(self.stay.side, text)

    def audit(self):
        return Audit(self.console.ask(self.stay.side, 'audit', 60))

    def migrate(self, *options):
        src, host = self.stay, self.hosts.other(self.stay.host)
        dst = self._new_stay(host)
        src.leave()
        offset, heard = src.host.log_size(), len(self.log)
        virsh = src.host.start_virsh(
            'migrate', '--live', *options, NAME, host.uri,
            '--migrateuri', f'tcp://{host.address}')
        try:
            dst.connect(self.log, self.console, virsh)
            finish(virsh, 'migrate')
        finally:
            virsh.kill()
            virsh.wait()
        self.stay = dst
        self.console.wait_heard(dst.side, 10)
        self.log.wait(lambda: self.log.find(dst.side, 'RESUME'), 10,
                      f'RESUME on {host.name}')
        return Move(src, dst, Talk(src.host.read_log(offset)),
                    self.log.events[heard:])

    def save_and_restore(self):
        """What libvirt and QEMU said while it was saved."""
        host, file = self.stay.host, os.path.join(self.run.folder, 'saved')
        offset = host.log_size()
        host.virsh('save', NAME, file)
        talk = Talk(host.read_log(offset))
        host.virsh('restore', '--paused', file)
        os.unlink(file)
        self._go_on_at(host)
        self.console.wait_heard(self.stay.side, 10)
        return talk

    def places(self):
        """The hosts that have the domain, and its state there."""
        return {host.name: host.virsh('domstate', NAME)
                for host in self.hosts.hosts
                if NAME in host.virsh('list', '--all', '--name').split()}

    def destroy(self):
        """End it wherever it is, for another one to be started."""
        self._disconnect()
        for host in self.hosts.hosts:
            for name in host.virsh('list', '--name').split():
                host.virsh('destroy', name)
            for trace in glob.glob(host.inside('*.trace')):
                os.rename(trace, os.path.join(
                    self.run.folder, f'unheard-{os.path.basename(trace)}'))
