"""``plan admit``: does one more task hold beside those that a plan gives a node?"""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from mutualedge.app.planning.plan_files import read_plan
from mutualedge.app.planning.scenarios import read_scenario
from mutualedge.app.terminal import tell
from mutualedge.errors import UsageError
from mutualedge.plan.edf import (
    Overload,
    TaskSet,
    check_nonpreemptive,
    check_preemptive,
    execution_us,
    utilisation,
)
from mutualedge.plan.scenario import Node, Scenario
from mutualedge.plan.solving import NodeJobs, list_jobs

EXIT_NOT_ADMITTED = 3
US_PER_MS = 1_000


class WantedTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task that nobody runs yet.

    Attributes:
        wcet_ms: Of one job at speed 1 and full level, in the fastest memory.
        deadline_ms: From release to end.
    """

    wcet_ms: float
    period_ms: float
    deadline_ms: float


class LevelVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a node takes the task, if it runs at this level, out of the node's first memory.

    Attributes:
        level: From 0, the fastest.
        execution_ms: Of one job there.
        utilisation: Of the node with the task.
        interruptible: Whether every deadline holds if a job may be interrupted.
        uninterrupted: The same if none may be.
        reasons: The windows that hold more work than time, where one does.
    """

    level: int
    execution_ms: float
    utilisation: float
    interruptible: bool
    uninterrupted: bool
    reasons: tuple[str, ...]


def admit_files(
    path: Path, plan_path: Path, node: str, task: WantedTask, *, is_preemptive: bool, as_json: bool
) -> int:
    """Tell at which levels a node takes one more task: 0 if at any, 3 if at none.

    Args:
        path: The scenario.
        plan_path: The plan whose tasks are promised already.
        node: Which of the scenario's.
        task: The new one.
        is_preemptive: Jobs may be interrupted, as the exit status should mean it.
        as_json: Print one JSON object.

    Raises:
        UsageError: A file cannot be read, there is no such node, or this is no task.
    """
    scenario = read_scenario(path)
    machine, held = _node(scenario, node), _held(list_jobs(scenario, read_plan(plan_path)), node)
    verdicts = [_verdict(machine, level, held, task) for level in range(len(machine.levels))]
    if as_json:
        tell(msgspec.json.encode({"node": node, "levels": verdicts}).decode(), is_data=True)
    else:
        tell("\n".join(_text(node, held, verdicts)))
    taken = (each.interruptible if is_preemptive else each.uninterrupted for each in verdicts)
    return 0 if any(taken) else EXIT_NOT_ADMITTED


def _node(scenario: Scenario, name: str) -> Node:
    nodes = {each.name: each for owner in scenario.enterprises for each in owner.nodes}
    if name not in nodes:
        sentence = f"The scenario has no node '{name}'; name one of {', '.join(nodes)}."
        raise UsageError("app.admit.node", sentence)
    return nodes[name]


def _held(jobs: tuple[NodeJobs, ...], node: str) -> TaskSet:
    """Return what the plan gives a node; nothing, if it stands idle."""
    empty = np.empty(0, np.int64)
    found = next((each.tasks for each in jobs if each.node == node), None)
    return found or TaskSet.from_columns(execution_us=empty, period_us=empty)


def _verdict(node: Node, level: int, held: TaskSet, task: WantedTask) -> LevelVerdict:
    scales = (node.speed, node.levels[level].scale, node.memories[0].scale)
    taken_us = execution_us(task.wcet_ms, *scales)
    tasks = TaskSet.from_columns(
        execution_us=np.append(held.execution_us, taken_us),
        period_us=np.append(held.period_us, round(task.period_ms * US_PER_MS)),
        deadline_us=np.append(held.deadline_us, round(task.deadline_ms * US_PER_MS)),
    )
    preempted, blocked = check_preemptive(tasks), check_nonpreemptive(tasks)
    return LevelVerdict(
        level=level,
        execution_ms=taken_us / US_PER_MS,
        utilisation=float(utilisation(tasks)),
        interruptible=preempted is None,
        uninterrupted=blocked is None,
        reasons=(*_reason("interruptible", preempted), *_reason("uninterrupted", blocked)),
    )


def _reason(execution: str, overload: Overload | None) -> Iterator[str]:
    """Yield the window that holds more work than time, if one does."""
    if overload is None:
        return
    blocking_ms = overload.blocking_us / US_PER_MS
    needed_ms = overload.demand_us / US_PER_MS + blocking_ms
    blocked = f", {blocking_ms:g} ms of it a longer job that began before" if blocking_ms else ""
    window_ms = overload.length_us / US_PER_MS
    yield f"{execution}: {window_ms:g} ms may hold {needed_ms:g} ms of work{blocked}"


def _text(node: str, held: TaskSet, verdicts: list[LevelVerdict]) -> Iterator[str]:
    yield f"'{node}' is {float(utilisation(held)):.1%} full with {len(held)} streams of jobs."
    yield f"{'level':<7}{'ms a job':>10}{'full then':>11}  {'interruptible':<15}uninterrupted"
    for each in verdicts:
        words = ["holds" if holds else "no" for holds in (each.interruptible, each.uninterrupted)]
        row = f"{each.level:<7}{each.execution_ms:>10.3f}{each.utilisation:>11.1%}"
        yield f"{row}  {words[0]:<15}{words[1]}"
        yield from (f"       {reason}" for reason in each.reasons)
    if not any(each.interruptible for each in verdicts):
        yield "Another plan may have room for it: others run slowly where they may."
