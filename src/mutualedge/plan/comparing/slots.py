"""The same tasks at other loads: in a slot of time jobs come more or less often."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from mutualedge.plan.scenario import Enterprise, Node, Scenario, Task

COPIES_MAX = 16
"""Of every node, beyond which Private is called impossible."""

FINEST_MS = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A stretch of time.

    Attributes:
        name: Such as an hour, or a load.
        loads: Utilisation of each enterprise at the full speed of a node of speed 1.
    """

    name: str
    loads: Mapping[str, float]


def at_load(scenario: Scenario, slot: Slot) -> Scenario:
    """Return the scenario with periods and deadlines that make each enterprise's load the slot's.

    An enterprise that the slot does not name stays as it is; one without any load has no tasks.
    """
    enterprises = tuple(
        _at_load(each, slot.loads[each.name]) if each.name in slot.loads else each
        for each in scenario.enterprises
    )
    return msgspec.structs.replace(scenario, enterprises=enterprises)


def _at_load(enterprise: Enterprise, load: float) -> Enterprise:
    now = sum(task.wcet_ms / task.period_ms for task in enterprise.tasks)
    if not now or load <= 0:
        return msgspec.structs.replace(enterprise, tasks=())
    tasks = tuple(_stretched(task, now / load) for task in enterprise.tasks)
    return msgspec.structs.replace(enterprise, tasks=tasks)


def _stretched(task: Task, factor: float) -> Task:
    period_ms = max(round(task.period_ms * factor, 3), FINEST_MS)
    deadline_ms = None
    if task.deadline_ms is not None:
        deadline_ms = min(max(round(task.deadline_ms * factor, 3), FINEST_MS), period_ms)
    return msgspec.structs.replace(task, period_ms=period_ms, deadline_ms=deadline_ms)


def with_copies(scenario: Scenario, copies: int) -> Scenario:
    """Return the scenario with so many of each node, as who shares with nobody has to buy."""
    enterprises = tuple(
        msgspec.structs.replace(
            each, nodes=tuple(_copy(node, turn) for turn in range(copies) for node in each.nodes)
        )
        for each in scenario.enterprises
    )
    return msgspec.structs.replace(scenario, enterprises=enterprises)


def _copy(node: Node, turn: int) -> Node:
    return node if not turn else msgspec.structs.replace(node, name=f"{node.name}.{turn + 1}")
