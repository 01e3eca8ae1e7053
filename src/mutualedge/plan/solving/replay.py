"""A plan's jobs, node by node, as the EDF simulator takes them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mutualedge.errors import UsageError
from mutualedge.plan.edf import TaskSet
from mutualedge.plan.options import OptionTable, Takers, list_options, parts, takers
from mutualedge.plan.plans import Chosen, Plan
from mutualedge.plan.scenario import Scenario
from mutualedge.plan.solving.answer import label_column
from mutualedge.plan.strategies import restrict


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NodeJobs:
    """What one node has to do.

    Attributes:
        node: Its name.
        tasks: Its streams of jobs.
        names: Of each: ``enterprise/task``, with ``send`` or ``receive`` for what only passes.
    """

    node: str
    tasks: TaskSet
    names: tuple[str, ...]


def list_jobs(scenario: Scenario, plan: Plan) -> tuple[NodeJobs, ...]:
    """Return the jobs of every node that has any, in the order of the scenario.

    Raises:
        UsageError: The plan names a task, place, level or memory that the scenario lacks.
    """
    table = list_options(restrict(scenario, plan.strategy))
    streams: dict[int, list[tuple[str, int, int, int]]] = {}
    for each in takers(table, options_of(table, plan)):
        for row, stream in _streams(each):
            streams.setdefault(row, []).append(stream)
    return tuple(_node_jobs(table.columns.rows[row].place, streams[row]) for row in sorted(streams))


def _node_jobs(node: str, streams: list[tuple[str, int, int, int]]) -> NodeJobs:
    names, executions_us, deadlines_us, periods_us = zip(*streams, strict=True)
    tasks = TaskSet.from_columns(
        execution_us=executions_us, deadline_us=deadlines_us, period_us=periods_us
    )
    return NodeJobs(node=node, tasks=tasks, names=names)


def _streams(each: Takers) -> Iterator[tuple[int, tuple[str, int, int, int]]]:
    """Yield, for every part of every job, its row, and its name and times in microseconds."""
    enterprise = each.block.enterprise
    named = list(parts(each.block, each.cell))
    suffixes = ("", " send", " receive")[-len(named) :] if named else ()
    for task in each.tasks:
        name = f"{enterprise.name}/{enterprise.tasks[task].name}"
        period_us = int(each.block.tasks.period_us[task])
        for suffix, (row, execution_us, deadline_us) in zip(suffixes, named, strict=True):
            if execution_us[task]:
                stream = name + suffix, int(execution_us[task]), int(deadline_us[task]), period_us
                yield row, stream


def options_of(table: OptionTable, plan: Plan) -> NDArray[np.intp]:
    """Return the column that a plan chose for every task.

    Raises:
        UsageError: It names a task, place, level or memory that the table lacks.
    """
    columns = {label_column(column): index for index, column in enumerate(table.columns.columns)}
    chosen = {(each.enterprise, each.task): each for each in plan.choices}
    return np.array(
        [
            _column(columns, chosen.get((block.enterprise.name, task.name)), task.name)
            for block in table.blocks
            for task in block.enterprise.tasks
        ],
        dtype=np.intp,
    )


def _column(
    columns: dict[tuple[str, int | None, str | None], int], chosen: Chosen | None, task: str
) -> int:
    if chosen is None:
        sentence = f"The plan does not say where {task} runs; solve this scenario again."
        raise UsageError("plan.replay.task", sentence)
    column = columns.get((chosen.place, chosen.level, chosen.memory))
    if column is None:
        sentence = (
            f"The plan puts {task} at level {chosen.level} in {chosen.memory} of {chosen.place}, "
            "which the scenario lacks; solve this scenario again."
        )
        raise UsageError("plan.replay.place", sentence)
    return column
