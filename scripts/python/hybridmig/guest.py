"""One QEMU process with the test guest, or waiting for it to come in.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import logging
import os
import socket
import threading

from . import lan, paths
from .monitor import Monitor, Monitored, QmpLost


DISK_FORMATS = ('qcow2', 'raw')


class GuestConfig:
    """What both sides have in common: the machine, and what the guest does.

    network: a card in the Lan of the pair; then the guest has Redis, too
    disk:    boots this image by its own boot loader instead of kernel and
             initrd; both QEMUs open it, as hosts do that share a storage
    disk_format: qcow2 or raw; by default what the file's name ends with
    bare:    no Linux, but tests/guest/bare, with firmware of its own
    words:   more settings of the guest's program
    preload: libraries that QEMU loads before its own
    """
    def __init__(self, kernel=None, initrd=None, mem=768, smp=1, pages=131072,
                 zero=0, untouched=0, workload='idle', accel='tcg',
                 machine='pc', extra=(), network=False, disk=None,
                 disk_format=None, bare=False, words=(), preload=()):
        self.kernel = kernel or (paths.bare('kernel') if bare else
                                 paths.kernel())
        self.initrd = initrd or (paths.programs_initrd() if network else
                                 paths.initrd())
        self.mem = mem
        self.smp = smp
        self.pages = pages
        self.zero = zero
        self.untouched = untouched
        self.workload = workload
        self.accel = accel
        self.machine = machine
        self.extra = list(extra)
        self.network = network
        self.disk = disk
        self.bare = bare
        self.words = list(words)
        self.preload = list(preload)
        self.disk_format = disk_format or (disk and disk_format_of(disk))
        if disk and self.disk_format not in DISK_FORMATS:
            raise ValueError(f'format of the disk: {self.disk_format!r} is '
                             f'not one of {", ".join(DISK_FORMATS)}')

    def settings(self):
        """What the guest's program is told, as tests/guest/linux/main.c says."""
        words = [f'hm.pages={self.pages}', f'hm.zero={self.zero}',
                 f'hm.untouched={self.untouched}',
                 f'hm.work={self.workload.replace(" ", ",")}', *self.words]
        if self.network:
            words.append(f'hm.ip={lan.GUEST_ADDRESS}')
        if self.disk:
            words.append('hm.files=/var/lib/hybridmig')
        return ' '.join(words)

    def _boot(self):
        if self.disk:
            image = paths.need_file(self.disk, 'the disk image')
            strings = self.settings().replace(',', ',,')
            return ['-blockdev', f'driver={self.disk_format},node-name=disk,'
                    f'file.driver=file,file.filename={image}',
                    '-device', 'virtio-blk-pci,drive=disk,bootindex=0',
                    '-smbios', f'type=11,value={strings}']
        if self.bare:
            firmware = paths.need_file(paths.bare('firmware'),
                                       "the bare guest's firmware")
            return ['-bios', firmware, '-append', self.settings(), '-kernel',
                    paths.need_file(self.kernel, 'the bare guest')]
        # What the emulated CPU need not be protected from costs it a lot of
        # time; the time-stamp counter is the only clock that is read cheaply.
        # A busy host may keep the timer's interrupts from its test at boot, and a
        # guest on a slow link waits longer for its pages than its watchdog does.
        return ['-kernel', paths.need_file(self.kernel, "the guest's kernel"),
                '-initrd', paths.need_file(self.initrd, "the guest's initrd"),
                '-append', 'console=ttyS0 quiet loglevel=3 mitigations=off '
                'nowatchdog tsc=reliable clocksource=tsc no_timer_check '
                'random.trust_cpu=on panic=-1 ' +
                self.settings()]

    def arguments(self):
        return ['-nodefaults', '-no-reboot', '-msg', 'timestamp=on',
                '-accel', self.accel,
                '-m', str(self.mem), '-smp', str(self.smp)] + \
            self._boot() + \
            (lan.Lan.qemu_args() if self.network else []) + self.extra


def disk_format_of(name):
    """By how the file's name ends."""
    ending = os.path.splitext(name)[1].lstrip('.')
    return {'img': 'raw'}.get(ending, ending)


class Guest(Monitored):
    """Start, stop and talk to one QEMU. Start it from the main thread."""
    def __init__(self, run, side, binary, config, console, log, wrapper=(),
                 extra=(), name=None):
        self.run = run
        self.side = side
        self.name = name or side        # of its files
        self.binary = paths.need_file(binary, 'QEMU')
        self.config = config
        self.console = console
        self.log = log
        self.wrapper = list(wrapper)
        if config.preload:
            self.wrapper += ['env', f'LD_PRELOAD={":".join(config.preload)}']
        self.extra = list(extra)
        self.machine = None
        self.monitor = None
        self._killed = False
        self._ending = threading.Lock()
        self.trace_file = os.path.join(run.folder, f'{self.name}.trace')
        self.boot_file = os.path.join(run.folder, f'{self.name}.boot')
        self.log_file = os.path.join(run.folder, f'{self.name}.log')

    def start(self, incoming=False):
        """Start QEMU: a guest that boots, or one that waits for "incoming"."""
        from qemu.machine import QEMUMachine
        args = self.config.arguments() + paths.firmware_args(self.binary)
        # An unpatched QEMU has no such event, and does not mind.
        args += ['-trace', 'hybrid_*', '-D', self.trace_file] + self.extra
        if incoming:
            args += ['-incoming', 'defer']
        ours, theirs = {}, []
        for name, use in (('qmp', ['-mon', 'chardev=qmp,mode=control']),
                          ('serial', ['-serial', 'chardev:serial']),
                          ('tick', ['-device',
                                    'isa-debugcon,iobase=0xe9,chardev=tick'])):
            ours[name], other = socket.socketpair()
            os.set_inheritable(other.fileno(), True)
            theirs.append(other)
            args += ['-chardev', f'socket,id={name},fd={other.fileno()}'] + use
        if self.config.disk:    # what boots says so on the second port
            args += ['-chardev', f'file,id=boot,path={self.boot_file}',
                     '-serial', 'chardev:boot']
        # It warns of each process that a test kills.
        logging.getLogger('qemu.machine').setLevel(logging.ERROR)
        self.machine = QEMUMachine(
            self.binary, args, wrapper=self.wrapper, name=self.name,
            base_temp_dir=self.run.folder, log_dir=self.run.folder)
        self.machine.set_machine(self.config.machine)
        self.machine.set_qmp_monitor(False)
        self.run.callback(self.stop)
        try:
            self.machine.launch()
        finally:
            for sock in theirs:
                sock.close()
        self.console.attach(self.side, ours['serial'], ours['tick'])
        try:
            self.monitor = Monitor(self.side, self.log, ours['qmp'])
        except QmpLost as exc:
            raise RuntimeError(f'QEMU of {self.side} did not start: '
                               f'{self.output() or exc}') from exc

    def capabilities(self):
        return {entry['capability']: entry['state']
                for entry in self.qmp('query-migrate-capabilities')}

    def status(self):
        """The run state: running, paused, inmigrate, postmigrate, ..."""
        return self.qmp('query-status')['status']

    def is_alive(self):
        return self.machine is not None and self.machine.is_running()

    def kill(self):
        """As if the host had died."""
        with self._ending:
            self._killed = True
            self.machine.kill()

    def stop(self):
        """End QEMU, however it hangs; there is nothing in it to keep.

        Raises an error if it had crashed: that must not pass unnoticed.
        """
        if self.monitor:
            self.monitor.close()
            self.monitor = None
        if not self.machine:
            return
        with self._ending:
            code = self.machine.exitcode()
            crashed = code is not None and code < 0 and not self._killed
            self._killed = True
            self.machine.kill()
        if crashed:
            raise RuntimeError(f'QEMU of {self.side} died of signal {-code}: '
                               f'{self.output()[-500:]}')

    def remove_files(self):
        """Nobody will want them."""
        for name in (self.trace_file, self.boot_file, self.log_file):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)

    def output(self):
        """What QEMU printed."""
        try:
            with open(self.log_file, encoding='utf-8',
                      errors='replace') as log:
                return log.read().strip()
        except OSError:
            return ''

    # The guest inside.

    def wait_ready(self, timeout=60):
        def said(*kinds):
            return next((line for line in self.console.lines
                         if line.kind in kinds), None)
        self.console.wait(
            lambda: not self.is_alive() or said('ready', 'fatal'), timeout,
            f'"ready" of the guest (QEMU says: {self.output()[-300:]!r})')
        if not said('ready'):
            raise RuntimeError('the guest did not start: '
                               f'{self.output() or self.console.faults}')
        return said('ready')

    def ask(self, text, timeout=30):
        return self.console.ask(self.side, text, timeout)

    def audit(self, timeout=60):
        return Audit(self.ask('audit', timeout))


class Audit:
    """What the guest found when it checked all its memory."""
    #: The last two are the bare guest's, which has no files.
    CHECKS = ('table', 'code', 'file', 'pipe', 'pagetables', 'registers')

    def __init__(self, line):
        self.line = line
        self.pages = line.number_of('pages')
        self.wrong = line.number_of('wrong')
        self.misread = line.number_of('misread')
        self.writes = line.number_of('writes')
        first = line.fields['first']
        self.first = [] if first == '-' else [int(p) for p in first.split(',')]
        self.bad = [name for name in self.CHECKS
                    if line.fields.get(name, 'ok') != 'ok']

    @property
    def right(self):
        return not self.wrong and not self.bad and not self.misread

    def __str__(self):
        text = f'{self.pages} pages checked, {self.wrong} wrong'
        if self.first:
            text += f' (first: {", ".join(map(str, self.first))})'
        if self.bad:
            text += f', and these are damaged: {", ".join(self.bad)}'
        if self.misread:
            text += f', {self.misread} misread while running'
        return text
