"""Has clang's thread safety analysis look at the module; prints what it finds.

    locks.py               each access to a member that a lock guards has it held,
                           each to one that a thread owns is made by that
    locks.py --planted     plants accesses without; prints those that were not
                           found

It uses the commands with which build/qemu was built: set up first.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile

MODULE = os.path.abspath('migration')
COMMANDS = 'build/qemu/compile_commands.json'
TREE = 'migration/hybrid/'
#: What a function that is added to a file says, and has to be found
PLANTED = {
    'source/rounds.c': 'hybrid_source()->rp_ended',
    'source/push.c': 'hybrid_source()->held',
    'source/kick.c': 'hybrid_rounds_bandwidth(hybrid_source()->rounds)',
    'source/messages.c': '(hybrid_push_early_begin(), 1)',
    'source/probe.c': 'hybrid_source()->vm_state',
    'source/alive.c': 'hybrid_source()->watch->idle',
    'source/delta.c': 'hybrid_source()->deltas->in_pass',
    'destination/faults.c': 'hybrid_destination()->faults->blocktime',
    'destination/window.c': 'hybrid_destination()->reading->placed',
    'destination/alive.c': 'hybrid_destination()->watch->both.own_ms',
    'source/grant.c': 'hybrid_src_step(hybrid_source(), HANDOFF_EV_CANCEL)',
    'destination/handoff.c': 'hybrid_destination()->running_said = true',
}
#: Any number, and any pointer, can be told from 0
PLANT = '''
bool planted(void);
bool planted(void)
{{
    return ({}) != 0;
}}
'''


class Analysis:
    """The module, as it is in a folder of its own, with QEMU's headers."""
    def __init__(self, folder):
        self.folder = folder
        os.makedirs(os.path.join(folder, 'migration'))
        self.module = os.path.join(folder, TREE.rstrip('/'))
        shutil.copytree(MODULE, self.module)
        with open(COMMANDS, encoding='utf-8') as file:
            self.commands = {
                entry['file'].split(TREE, 1)[1]: entry
                for entry in json.load(file)
                if TREE in entry['file'] and entry['file'].endswith('.c')}

    def faults(self, name):
        """What clang says of a file, a line each."""
        entry = self.commands[name]
        words = shlex.split(entry['command'])
        given = ['-iquote', self.folder]
        for word, following in zip(words, words[1:] + ['']):
            if word in ('-iquote', '-isystem'):
                given += [word, following]
            elif word.startswith(('-I', '-D', '-std=', '-m')):
                given.append(word)
        result = subprocess.run(
            ['clang', '-fsyntax-only', *given, '-Wno-everything',
             '-Wthread-safety', os.path.join(self.module, name)],
            cwd=entry['directory'], stderr=subprocess.PIPE, text=True,
            check=False)
        return [line.replace(self.module + '/', '')
                for line in result.stderr.splitlines()
                if 'warning: ' in line or 'error: ' in line]


def main():
    with tempfile.TemporaryDirectory() as folder:
        analysis = Analysis(os.path.join(folder, 'tree'))
        if '--planted' in sys.argv:
            for name, text in PLANTED.items():
                with open(os.path.join(analysis.module, name), 'a',
                          encoding='utf-8') as out:
                    out.write(PLANT.format(text))
                if not any('requires holding ' in fault
                           for fault in analysis.faults(name)):
                    print(f'not found in {name}')
            return
        if not analysis.commands:
            print(f'{COMMANDS} has no file of the module')
        for name in sorted(analysis.commands):
            if os.path.exists(os.path.join(analysis.module, name)):
                for fault in analysis.faults(name):
                    print(fault)


if __name__ == '__main__':
    main()
