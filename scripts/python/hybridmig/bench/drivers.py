"""How a migration is begun, how the switch happens, and what bounds it.

A driver is called with the migration, prepared but not begun, and the bounds
of the cell. It returns (status, notes): a status of metrics.py, and figures of
its own. Each waits for events, never for time alone, but for a bound.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import dataclasses
import time

from ..migrate import ENDS
from . import metrics


#: In one pass nothing can be said of convergence, however slow it is.
LEAST_PASSES = 2


class CellError(Exception):
    """The cell failed; says why."""


@dataclasses.dataclass(frozen=True)
class Bounds:
    """Seconds."""
    precopy: float      # of precopy, before it counts as not converging
    demand: float       # of demand paging without push
    total: float        # of anything, before it counts as failed


def bounds_for(copy_seconds):
    """From the least time in which the guest's set can be copied."""
    precopy = max(15, 5 * copy_seconds)
    return Bounds(precopy, max(5, 2 * copy_seconds), 60 + 3 * precopy)


def _end(migration, timeout):
    """Wait for completion."""
    status = migration.wait_end(timeout)
    if status != 'completed':
        reason = migration.info().get('error-desc', 'no reason given')
        raise CellError(f'the migration ended as {status}: {reason}')
    return metrics.OK, {}


def non_live(migration, bounds):
    migration.pair.src.qmp('stop')
    migration.start()
    end = migration.wait_status('dst', *ENDS, timeout=bounds.total)
    if end.data['status'] != 'completed':
        raise CellError(f'stop and copy: {end.data["status"]}')
    migration.pair.dst.qmp('cont')
    return _end(migration, bounds.total)


def precopy(migration, bounds):
    """Bounded by time, but never before LEAST_PASSES are over; then it is
    cancelled, and says so."""
    def ended():
        return next((e for e in map(lambda status: migration.status_seen(
            'src', status), ENDS) if e), None)

    begin = time.monotonic()
    migration.start()
    migration.wait_status('src', *ENDS, timeout=bounds.precopy, or_none=True)
    migration.pair.log.wait(
        lambda: ended() or migration.event(
            'src', 'MIGRATION_PASS', **{'pass': LEAST_PASSES + 1}),
        bounds.total)
    bound = time.monotonic() - begin
    if ended():
        return _end(migration, bounds.total)
    ram = migration.info().get('ram', {})
    migration.cancel()
    end = migration.wait_status('src', *ENDS, timeout=60)
    if end.data['status'] == 'completed':
        return _end(migration, bounds.total)    # just then
    return metrics.NO_CONVERGE, {
        'bound_s': round(bound, 1), 'passes': ram.get('dirty-sync-count'),
        'left_mib': round(ram.get('remaining', 0) / 2**20, 1)}


def postcopy(migration, bounds):
    migration.start()
    migration.pair.src.qmp('migrate-start-postcopy')
    return _end(migration, bounds.total)


def first_pass(migration, bounds):
    """As management layers do: when the second pass begins."""
    migration.when(
        lambda: migration.pair.src.qmp('migrate-start-postcopy'),
        'src', 'MIGRATION_PASS', **{'pass': 2})
    migration.start()
    return _end(migration, bounds.total)


def hybrid(migration, bounds):
    """Nobody has to do anything."""
    migration.start()
    return _end(migration, bounds.total)


def _then_push(migration, bounds, parameters):
    """Demand paging for a bounded time; then the rest is pushed."""
    migration.wait_status('src', 'postcopy-active', *ENDS,
                          timeout=bounds.total)
    end = migration.wait_status('src', *ENDS, timeout=bounds.demand,
                                or_none=True)
    left = 0
    if end is None:
        left = migration.info().get('ram', {}).get('remaining', 0)
        migration.pair.src.set_parameters(parameters)
    status, notes = _end(migration, bounds.total)
    return status, {**notes, 'demand_s': bounds.demand,
                    'residue_mib': round(left / 2**20, 1)}


def demand_only(migration, bounds):
    migration.start()
    migration.pair.src.qmp('migrate-start-postcopy')
    return _then_push(migration, bounds, {'max-postcopy-bandwidth': 0})


def hybrid_demand_only(migration, bounds):
    migration.start()
    return _then_push(migration, bounds, {'hybrid-push-policy': 'linear'})


DRIVERS = {driver.__name__: driver for driver in (
    non_live, precopy, postcopy, first_pass, hybrid, demand_only,
    hybrid_demand_only)}
