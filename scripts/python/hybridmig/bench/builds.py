"""What a QEMU binary is and knows, asked of itself.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import logging
import os
import socket

from .. import paths
from ..monitor import EventLog, Monitor


class Build:
    """One binary: its version, and the migration settings in its schema."""
    def __init__(self, run, binary):
        from qemu.machine import QEMUMachine
        self.binary = paths.need_file(binary, 'QEMU')
        ours, theirs = socket.socketpair()
        os.set_inheritable(theirs.fileno(), True)
        logging.getLogger('qemu.machine').setLevel(logging.ERROR)
        machine = QEMUMachine(
            self.binary, ['-nodefaults', '-S', '-chardev',
                          f'socket,id=qmp,fd={theirs.fileno()}',
                          '-mon', 'chardev=qmp,mode=control'],
            wrapper=['setsid', 'setpriv', '--pdeathsig', 'KILL'],
            base_temp_dir=run.folder, log_dir=run.folder)
        machine.set_machine('none')
        machine.set_qmp_monitor(False)
        run.callback(machine.kill)
        try:
            machine.launch()
        finally:
            theirs.close()
        monitor = Monitor('probe', EventLog(), ours)
        try:
            self.version = self._version(monitor)
            self._schema = {entry['name']: entry for entry in
                            monitor.command('query-qmp-schema')}
        finally:
            monitor.close()
            machine.kill()

    @staticmethod
    def _version(monitor):
        info = monitor.command('query-version')
        number = info['qemu']
        text = '{major}.{minor}.{micro}'.format(**number)
        package = info.get('package')
        return f'{text} ({package.strip(" ()")})' if package else text

    def _members(self, command):
        """The arguments of a command: name -> entry of its type."""
        arguments = self._schema[self._schema[command]['arg-type']]
        return {member['name']: self._schema[member['type']]
                for member in arguments['members']}

    def capabilities(self):
        entries = self._members('migrate-set-capabilities')['capabilities']
        element = self._schema[entries['element-type']]
        return next(self._schema[member['type']]['values']
                    for member in element['members']
                    if member['name'] == 'capability')

    def why_not(self, technique):
        """What of the technique's settings this build lacks, or None."""
        known = self.capabilities()
        for name in {**technique.all_src_caps(), **technique.all_dst_caps()}:
            if name not in known:
                return f'no capability {name}'
        parameters = self._members('migrate-set-parameters')
        for name, value in {**technique.all_parameters(),
                            **technique.dst_parameters}.items():
            if name not in parameters:
                return f'no parameter {name}'
            values = parameters[name].get('values')
            if values is not None and value not in values:
                return f'parameter {name} has no value {value}'
        return None
