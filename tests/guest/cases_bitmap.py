"""The page bitmap: what looking for hot pages may cost.

SPDX-License-Identifier: GPL-2.0-or-later
"""
from common import audit, booted, check, equal, pages_add_up
from hybridmig.migrate import Migration
from hybridmig.record import looks

#: The bound, a part of the time; and the price of a page whose next write has
#: to be noted again.
SHARE, PAGE_S = 0.02, 0.5e-6


def log_not_cleared(logs):
    """A guest that writes more pages than clearing the log may cost."""
    with booted(logs, 'random pages=30000 rate=0', mem=400,
                pages=60000) as pair:
        migration = Migration(pair)
        migration.start()
        equal(migration.wait_end(), 'completed', 'ended as')
        found = looks(pair.src)
        equal({look.cleared for look in found}, {False, True, None},
              'kinds of looks')
        begin = found[0].at - found[0].over_s
        spent = 0
        for look in found:
            spent += look.cpu_s
            if look.cleared is not None:
                spent += look.cleared * look.pages * PAGE_S
                may = (look.at - begin) * SHARE
                # What a look takes is known only when it is over
                check(spent <= may + look.cpu_s,
                      f'{spent:.4f} s spent, of {may:.4f} s, '
                      f'after {look.at - begin:.3f} s: {found}')
        pages_add_up(migration)
        audit(pair, 'dst')


CASES = {case.__name__.replace('_', '-'): case for case in (
    log_not_cleared,
)}
