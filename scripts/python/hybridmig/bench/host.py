"""What the results were made on and with.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import hashlib
import os
import platform
import re
import subprocess

from .. import paths


def _first(path, pattern):
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            match = re.search(pattern, file.read(), re.MULTILINE)
            return match[1].strip() if match else None
    except OSError:
        return None


def machine():
    """The host; the same on each run unless the machine has changed."""
    total = int(_first('/proc/meminfo', r'^MemTotal:\s*(\d+)'))
    return {'cpu': _first('/proc/cpuinfo', r'^model name\s*:(.*)$') or
            platform.machine(), 'cpus': os.cpu_count(),
            'memory_gib': round(total / 2**20),
            'kernel': platform.release(),
            'system': _first('/etc/os-release', r'^PRETTY_NAME="?([^"\n]*)')}


def _digest(path):
    """Enough of it to tell one build from another."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:12]


def versions(builds):
    """@builds: name -> builds.Build."""
    found = {name: {'version': build.version, 'sha256': _digest(build.binary)}
             for name, build in builds.items()}
    for name, path in (('guest kernel', paths.kernel()),
                       ('guest program', paths.initrd())):
        found[name] = {'sha256': _digest(paths.need_file(path, name))}
    return found


def project():
    """The commit of this project; None outside a git tree."""
    done = subprocess.run(['git', '-C', paths.ROOT, 'describe', '--always',
                           '--dirty'], capture_output=True, text=True,
                          check=False)
    return done.stdout.strip() or None
