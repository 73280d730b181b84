"""Two libvirt hosts on one machine, with a link between them.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import glob
import os
import shutil
import subprocess
import sys
import time
import uuid

from hybridmig.net import DST_ADDRESS, SRC_ADDRESS, Link
from hybridmig.runs import command

HERE = os.path.dirname(os.path.abspath(__file__))
NAMESPACES = ['unshare', '--mount', '--uts', '--pid', '--ipc', '--fork',
              '--kill-child=KILL', '--mount-proc']
TOOLS = ('libvirtd', 'virsh', 'unshare', 'setpriv', 'setsid', 'ip', 'tc',
         'mount')


class VirshError(RuntimeError):
    """virsh failed, or took too long; the text is its own."""


def version():
    return command('libvirtd', '--version').split()[-1]


def why_not_here():
    """What the test needs and this machine lacks, or None."""
    if os.geteuid() != 0:
        return 'namespaces need root'
    for tool in TOOLS:
        if not shutil.which(tool):
            return f'there is no {tool} (Debian: libvirt-daemon, ' \
                   'libvirt-daemon-driver-qemu, libvirt-clients, ' \
                   'iproute2, util-linux)'
    done = subprocess.run(NAMESPACES + ['--net', 'true'], check=False,
                          stdin=subprocess.DEVNULL, capture_output=True,
                          text=True)
    if done.returncode:
        return f'no namespaces: {done.stderr.strip()}'
    return None


class Host:
    """One libvirt daemon; its files are below "folder"."""
    def __init__(self, run, name, address, wrapper):
        self.name = name
        self.address = address
        self.folder = os.path.join(run.folder, name)
        self.log_file = os.path.join(self.folder,
                                     'var/log/libvirt/libvirtd.log')
        self.out_file = os.path.join(run.folder, f'{name}.out')
        self._socket = os.path.join(self.folder, 'run/libvirt/libvirt-sock')
        self.uri = f'qemu+unix:///system?socket={self._socket}'
        os.mkdir(self.folder)
        with open(self.out_file, 'wb') as out:
            self._process = subprocess.Popen(
                wrapper + NAMESPACES +
                [sys.executable, os.path.join(HERE, 'host_init.py'),
                 self.folder, name, str(uuid.uuid4())],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        run.callback(self._end)

    def _end(self):
        self._process.kill()
        self._process.wait()

    def wait_ready(self, timeout=30):
        end = time.monotonic() + timeout
        while not os.path.exists(self._socket):
            if self._process.poll() is not None or time.monotonic() > end:
                with open(self.out_file, encoding='utf-8',
                          errors='replace') as out:
                    raise RuntimeError(f'libvirtd of {self.name} did not '
                                       f'start: {out.read().strip()}')
            time.sleep(0.02)
        self.virsh('hostname', timeout=timeout)

    def inside(self, name):
        """A file that libvirt and QEMU know as /run/guest/NAME."""
        return os.path.join(self.folder, 'run/guest', name)

    def start_virsh(self, *arguments):
        """It is to die with the test, as everything does."""
        return subprocess.Popen(
            ['setpriv', '--pdeathsig', 'KILL',
             'virsh', '-q', '-c', self.uri, *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
            env=dict(os.environ, LC_ALL='C'))

    def virsh(self, *arguments, timeout=60):
        return finish(self.start_virsh(*arguments), arguments[0], timeout)

    def log_size(self):
        return os.path.getsize(self.log_file)

    def read_log(self, offset):
        with open(self.log_file, encoding='utf-8', errors='replace') as log:
            log.seek(offset)
            return log.read()


def finish(virsh, what, timeout=60):
    """Wait for a virsh; its output, or its error as an exception."""
    try:
        out, error = virsh.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise VirshError(f'virsh {what}: no end within {timeout} s') from None
    finally:
        virsh.kill()
    if virsh.returncode:
        raise VirshError(f'virsh {what}: {error.strip() or out.strip()}')
    return out.strip()


class Hosts:
    """Hosts "hosta" and "hostb"."""
    def __init__(self, run, rate):
        self.run = run
        run.callback(self._save_logs)
        self.link = Link(run, rate)
        self.hosts = [Host(run, name, address, self.link.wrapper(side))
                      for name, address, side in (
                          ('hosta', SRC_ADDRESS, 'src'),
                          ('hostb', DST_ADDRESS, 'dst'))]
        for host in self.hosts:
            host.wait_ready()

    def other(self, host):
        return self.hosts[1 - self.hosts.index(host)]

    def _save_logs(self):
        """To where a run keeps its logs, if it is to keep them."""
        if not self.run.kept:
            return
        for host in self.hosts:
            logs = os.path.dirname(host.log_file)
            for file in glob.glob(os.path.join(logs, '**/*.log'),
                                  recursive=True):
                shutil.copy(file, os.path.join(
                    self.run.folder, f'{host.name}-{os.path.basename(file)}'))
