"""The table as a problem of choice: costs, and a row for every capacity that options share."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from mutualedge.plan.choice import ChoiceProblem
from mutualedge.plan.options.columns import NodeColumn
from mutualedge.plan.options.demands import US_PER_MS, Floats
from mutualedge.plan.options.loads import Window, parts, window_use
from mutualedge.plan.options.table import Block, OptionTable
from mutualedge.plan.scenario import MONTH_S, Tariff

SHARE_MAX = 1 - 1e-12
"""Of a processor or a window; what is left covers the rounding of a sum in floating point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a row of the problem is about: a processor, a memory, a window, or mileage.

    Attributes:
        place: Name of the node; None for the balance of mileage.
        memory: Name of its memory; None for its processor.
        window_us: Length of the stretch of its processor's time; None for all of it.
    """

    place: str | None = None
    memory: str | None = None
    window_us: int | None = None


NO_RESERVES: Mapping[int, float] = MappingProxyType({})


def pose_problem(
    table: OptionTable,
    windows: Sequence[Window] = (),
    reserves: Mapping[int, float] = NO_RESERVES,
    *,
    is_dense: bool = False,
) -> ChoiceProblem:
    """Return the choice that a table leaves, with one more row for each window.

    Rows stand in this order: those of ``table.columns.rows``, two for each enterprise if mileage
    must balance (lends more, borrows more), and the windows.

    Args:
        table: All options.
        windows: Stretches of time that are known to be asked for too much.
        reserves: Share to keep free, by the row of a processor.
        is_dense: Whether execution counts against deadlines instead of periods, which no window
            can break any more and which asks for more than is needed.
    """
    limits = _balance_limits(table)
    capacity = [_capacity(row.capacity, row.memory) for row in table.columns.rows]
    for row, share in reserves.items():
        capacity[row] -= share
    return ChoiceProblem(
        cost=np.concatenate([_cost(block) for block in table.blocks]),
        use=np.concatenate(
            [
                np.concatenate([_use(table, block, is_dense) for block in table.blocks], axis=1),
                *(window_use(table, window)[None] for window in windows),
            ]
        ),
        capacity=np.array([*capacity, *limits, *(SHARE_MAX for _ in windows)]),
    )


def subjects(table: OptionTable, windows: Sequence[Window] = ()) -> tuple[Subject, ...]:
    """Return what each row of such a problem is about, in the order of the rows."""
    rows = table.columns.rows
    return (
        *(Subject(place=row.place, memory=row.memory) for row in rows),
        *(Subject() for _ in _balance_limits(table)),
        *(Subject(place=rows[each.row].place, window_us=each.length_us) for each in windows),
    )


def _capacity(capacity: float, memory: str | None) -> float:
    return SHARE_MAX if memory is None else capacity


def _cost(block: Block) -> Floats:
    cost = np.empty((len(block.enterprise.tasks), len(block.cells)))
    for index, cell in enumerate(block.cells):
        cost[:, index] = np.where(cell.allowed, cell.money.usd_month, np.inf)
    return cost


def _use(table: OptionTable, block: Block, is_dense: bool) -> Floats:
    tasks = len(block.enterprise.tasks)
    use = np.zeros((len(table.columns.rows), tasks, len(block.cells)))
    for index, cell in enumerate(block.cells):
        for row, execution_us, deadline_us in parts(block, cell):
            time_us = np.maximum(deadline_us, 1) if is_dense else block.tasks.period_us
            use[row, :, index] += execution_us / time_us
        if isinstance(cell.column, NodeColumn):
            use[cell.column.memory_row, :, index] = block.tasks.memory_mb
    return np.concatenate([use, *(_balance_use(table, block))])


def lent_shares(table: OptionTable) -> Floats:
    """Return what each option lends for each enterprise, negative where it borrows: in processors.

    Shape (enterprises, tasks of all, columns).
    """
    return np.concatenate([_lent(table, block) for block in table.blocks], axis=1)


def microcredits_processor_month(tariff: Tariff) -> float:
    """Return what a processor earns that is lent all month: the unit of the rows of balance."""
    return max(tariff.microcredits_per_ms, 1) * MONTH_S * 1e6 / US_PER_MS


def _balance_limits(table: OptionTable) -> list[float]:
    tariff = table.scenario.tariff
    if tariff.imbalance_max_microcredits is None:
        return []
    limit = tariff.imbalance_max_microcredits / microcredits_processor_month(tariff)
    return [limit] * 2 * len(table.scenario.enterprises)


def _balance_use(table: OptionTable, block: Block) -> Iterator[Floats]:
    """Yield, per enterprise, what each option lends for it, and the same with the sign turned."""
    if table.scenario.tariff.imbalance_max_microcredits is None:
        return
    for lent in _lent(table, block):
        yield lent[None]
        yield -lent[None]


def _lent(table: OptionTable, block: Block) -> Floats:
    home = table.scenario.enterprises.index(block.enterprise)
    lent = np.zeros(
        (len(table.scenario.enterprises), len(block.enterprise.tasks), len(block.cells))
    )
    for index, cell in enumerate(block.cells):
        if isinstance(cell.column, NodeColumn) and cell.column.owner != home:
            earned = cell.money.mileage_microcredits_month
            lent[cell.column.owner, :, index] = earned
            lent[home, :, index] = -earned
    lent /= microcredits_processor_month(table.scenario.tariff)
    return lent
