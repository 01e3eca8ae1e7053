"""Why there is no plan, in words that a plant's engineer can act on."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from mutualedge.plan.choice import Choice, ChoiceProblem, NoChoice, Watch, choose
from mutualedge.plan.options import (
    Block,
    Cell,
    CloudColumn,
    OptionTable,
    Subject,
    Window,
    pose_problem,
    subjects,
)
from mutualedge.plan.plans import Reason
from mutualedge.plan.scenario import Task

TASKS_NAMED_MAX = 8
US_PER_MS = 1_000
NEED_GAP = 1e-3
LEAST = 1e-12


def explain(
    table: OptionTable, windows: Sequence[Window], found: NoChoice, watch: Watch
) -> tuple[Reason, ...]:
    """Return why nothing holds, and what would make it fit.

    Args:
        table: All options.
        windows: Those that had a row of their own when nothing was found.
        found: What the search for a choice ended with.
        watch: Ends the search for what would make it fit.
    """
    if not found.proven:
        sentence = (
            "No plan was found in time, and none was proven impossible: give it more time with "
            "--time, or a node more."
        )
        return (Reason(code="plan.solve.time", sentence=sentence),)
    if not found.rows:
        return tuple(_homeless(table, found.groups[0]) if found.groups else ())
    return (_conflict(table, windows, found, watch),)


def _homeless(table: OptionTable, group: int) -> Iterator[Reason]:
    """Yield why one task fits nowhere."""
    block, index = _find(table, group)
    task = block.enterprise.tasks[index]
    name = f"{block.enterprise.name}/{task.name}"
    obstacles = dict.fromkeys(_obstacle(block, cell, index, task) for cell in block.cells)
    why = "; ".join(obstacles) or "there is no node and no cloud"
    sentence = f"{name} can run nowhere: {why}. Give it a later deadline or a faster place."
    yield Reason(code="plan.solve.task", sentence=sentence, tasks=(name,))


def _obstacle(block: Block, cell: Cell, index: int, task: Task) -> str:
    """Return what forbids one place, at its fastest level and memory as at any other."""
    column = cell.column
    place = column.cloud if isinstance(column, CloudColumn) else column.node
    is_home = not isinstance(column, CloudColumn) and column.node in block.enterprise.nodes
    if not is_home and not task.offloadable:
        return f"it must not leave for {place.name}"
    if not is_home and not place.assurance.reaches(task.assurance):
        return f"{place.name} protects it by {place.assurance} only, {task.assurance} is asked"
    fastest = [each for each in block.cells if _place_name(each) == place.name]
    takes_ms = min(int(each.demand.execution_us[index]) for each in fastest) / US_PER_MS
    due_ms = int(block.tasks.deadline_us[index]) / US_PER_MS
    way = "" if is_home else ", its way there and back besides"
    return f"on {place.name} a job takes {takes_ms:g} ms at best{way}, and is due after {due_ms:g}"


def _place_name(cell: Cell) -> str:
    column = cell.column
    return column.cloud.name if isinstance(column, CloudColumn) else column.node.name


def _conflict(
    table: OptionTable, windows: Sequence[Window], found: NoChoice, watch: Watch
) -> Reason:
    """Return who cannot share what, and by how much what would have to be more."""
    meanings = subjects(table, windows)
    problem = _only(pose_problem(table, windows), list(found.groups))
    names = [_name(table, group) for group in found.groups]
    subject, verb = ("They", "cannot share") if len(names) > 1 else ("It", "is too much for")
    shown = ", ".join(names[:TASKS_NAMED_MAX])
    if len(names) > TASKS_NAMED_MAX:
        shown += f" and {len(names) - TASKS_NAMED_MAX} more"
    shared = dict.fromkeys(_words(meanings[row]) for row in found.rows)
    remedies = dict.fromkeys(
        _remedy(meanings[row], need, float(problem.capacity[row]))
        for row in found.rows
        if (need := _least_use(problem, row, watch)) is not None
    )
    mend = f" {subject} would fit with {' or '.join(remedies)}." if remedies else ""
    places = (place for row in found.rows if (place := meanings[row].place))
    return Reason(
        code="plan.solve.conflict",
        sentence=f"{shown} {verb} {' and '.join(shared)}.{mend}",
        tasks=tuple(names),
        places=tuple(dict.fromkeys(places)),
    )


def _only(problem: ChoiceProblem, groups: list[int]) -> ChoiceProblem:
    return replace(problem, cost=problem.cost[groups], use=problem.use[:, groups])


def _least_use(problem: ChoiceProblem, row: int, watch: Watch) -> float | None:
    """Return how much of one row would be enough if the others stay; None if nothing would be."""
    others = np.arange(len(problem.capacity)) != row
    asked = ChoiceProblem(
        cost=np.where(np.isfinite(problem.cost), problem.use[row], np.inf),
        use=problem.use[others],
        capacity=problem.capacity[others],
    )
    least = choose(asked, gap=NEED_GAP, watch=watch)
    if not isinstance(least, Choice) or least.cost_usd <= problem.capacity[row]:
        return None
    return least.cost_usd


def _words(about: Subject) -> str:
    if about.place is None:
        return "the balance of mileage"
    if about.memory is not None:
        return f"the {about.memory} of {about.place}"
    if about.window_us is not None:
        return f"the processor of {about.place} for {about.window_us / US_PER_MS:g} ms"
    return f"the processor of {about.place}"


def _remedy(about: Subject, need: float, capacity: float) -> str:
    if about.place is None:
        return f"{need / max(capacity, LEAST):.3g} times the mileage allowed out of balance"
    if about.memory is not None:
        return f"{need:.6g} MB of {about.memory} on {about.place} instead of {capacity:.6g}"
    return f"{need / max(capacity, LEAST):.3g} times the processor of {about.place}"


def _name(table: OptionTable, group: int) -> str:
    block, index = _find(table, group)
    return f"{block.enterprise.name}/{block.enterprise.tasks[index].name}"


def _find(table: OptionTable, group: int) -> tuple[Block, int]:
    first = 0
    for block in table.blocks:
        if group < first + len(block.enterprise.tasks):
            return block, group - first
        first += len(block.enterprise.tasks)
    message = f"group {group} of {first}"
    raise AssertionError(message)
