"""What a choice puts on each processor, and the rows that keep it from being too much."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mutualedge.plan.options.columns import NodeColumn
from mutualedge.plan.options.demands import Floats, Ints
from mutualedge.plan.options.table import Block, Cell, OptionTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The jobs of one processor, a stream per element, in microseconds."""

    execution_us: Ints
    deadline_us: Ints
    period_us: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of time in which a processor is asked for more than it lasts.

    Attributes:
        row: Of the processor.
        length_us: How long it is.
    """

    row: int
    length_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Takers:
    """The tasks of one enterprise that take one option, by their index."""

    block: Block
    cell: Cell
    tasks: NDArray[np.intp]


def takers(table: OptionTable, options: NDArray[np.intp]) -> Iterator[Takers]:
    """Yield who takes which option."""
    first = 0
    for block in table.blocks:
        last = first + len(block.enterprise.tasks)
        chosen = options[first:last]
        for index, cell in enumerate(block.cells):
            yield Takers(block=block, cell=cell, tasks=np.flatnonzero(chosen == index))
        first = last


def loads(table: OptionTable, options: NDArray[np.intp]) -> dict[int, Load]:
    """Return what each processor has to do, by its row, when every task takes its option."""
    streams: dict[int, list[tuple[Ints, Ints, Ints]]] = {
        index: [] for index, row in enumerate(table.columns.rows) if row.memory is None
    }
    for each in takers(table, options):
        period_us = each.block.tasks.period_us[each.tasks]
        for row, execution_us, deadline_us in parts(each.block, each.cell):
            streams[row].append((execution_us[each.tasks], deadline_us[each.tasks], period_us))
    return {row: _stacked(asked) for row, asked in streams.items()}


def parts(block: Block, cell: Cell) -> Iterator[tuple[int, Ints, Ints]]:
    """Yield row, execution and deadline of each part of the jobs in a cell."""
    demand = cell.demand
    if isinstance(cell.column, NodeColumn):
        yield cell.column.row, demand.execution_us, demand.deadline_us
    if block.gateway is not None:
        yield block.gateway, demand.send_us, demand.send_deadline_us
        yield block.gateway, demand.receive_us, demand.receive_deadline_us


def window_use(table: OptionTable, window: Window) -> Floats:
    """Return the share of a window that each option asks for, shape (tasks, columns)."""
    uses = [
        np.stack([_cell_window_use(block, cell, window) for cell in block.cells], axis=1)
        for block in table.blocks
    ]
    return np.concatenate(uses)


def _cell_window_use(block: Block, cell: Cell, window: Window) -> Floats:
    demand_us = np.zeros(len(block.tasks.period_us))
    for row, execution_us, deadline_us in parts(block, cell):
        if row == window.row:
            jobs = (window.length_us - deadline_us) // block.tasks.period_us + 1
            demand_us += np.maximum(jobs, 0) * execution_us
    return demand_us / window.length_us


def _stacked(streams: list[tuple[Ints, Ints, Ints]]) -> Load:
    columns = [np.concatenate(column) for column in zip(*streams, strict=True)] if streams else []
    if not columns:
        columns = [np.zeros(0, dtype=np.int64)] * 3
    asked = columns[0] > 0
    execution_us, deadline_us, period_us = (column[asked] for column in columns)
    return Load(execution_us=execution_us, deadline_us=deadline_us, period_us=period_us)
