"""A connection that breaks in the middle of something is what is told, not what
could not be read because of that.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import re

from common import check
from forward import Forwarder, listener
from hybridmig.waiting import until
from machines import SLOW, machines


class CutInFooter(Forwarder):
    """Ends the first connection within the footer of a section, when told."""
    #: What says that it is one, and the first bytes of the section's number
    FOOTER = re.compile(rb'\x7e\x00\x00\x00[\x01-\x20]')

    def __init__(self, run, target):
        self.path = f'{run.folder}/cut.sock'
        super().__init__(target, listener(self.path))
        self.armed = False
        run.callback(self.close)
        self._start(self._accept)

    def _accept(self):
        source, destination = self._take(), self._connect()
        self._start(self._back, destination, source)
        while data := source.recv(65536):
            found = self.armed and self.FOOTER.search(data)
            destination.sendall(data[:found.start() + 3] if found else data)
            if found:
                self.close()

    @staticmethod
    def _back(from_, to):
        while data := from_.recv(65536):
            to.sendall(data)


def broken_in_footer(logs):
    """Postcopy pauses at the destination, and says that the link is gone.

    The guest stands still: one that runs may wait for a page with the big lock
    held, and what is not sent out of band is answered after a recovery only.
    """
    with machines(logs, dst_extra=['-S']) as pair:
        cut = CutInFooter(pair.run, f'{pair.run.folder}/migration.sock')
        pair.migrate(True, src_caps={'hybrid': False}, to=f'unix:{cut.path}',
                     max_postcopy_bandwidth=SLOW)
        pair.wait('postcopy-active')
        pair.dst.wait_status('paused')
        cut.armed = True
        pair.wait('postcopy-paused', side='dst')
        said = until(lambda: pair.dst.qmp('query-migrate').get('error-desc'),
                     20, 'a reason')
        check('The other end closed the connection' in said, said)
        check('footer' in pair.dst.output(), 'it broke elsewhere')


CASES = {'broken-in-footer': broken_in_footer}
