"""Rules of thumb for level and memory: what the planner's own answers are compared with.

Named after the reference simulator simrts, which changes its choice whenever it dispatches a job;
here each is decided once and then holds for ever, so execution is plain EDF and nothing is late.
Tasks choose in the order in which the reference dispatches them first: the densest (execution
time over deadline at full speed) before the others, the lower id among equals. What a task
chooses must leave the whole set schedulable with those that have not chosen at full speed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from mutualedge.errors import UsageError
from mutualedge.plan.edf.demand import check_preemptive
from mutualedge.plan.edf.energy import PowerTable, power_table
from mutualedge.plan.edf.machine import Machine, Placement, Work, memory_used_mb, placed_us
from mutualedge.plan.edf.tasks import TaskSet

DRAM = "dram"
"""The fast memory by which policies are named."""

NVRAM = "nvram"
"""The frugal one."""


class Policy(StrEnum):
    """How level and memory are chosen.

    ``dram``: full speed, all in DRAM as if every memory of the machine were some.
    ``hm``: full speed, NVRAM where it fits.
    ``dvsdram``: as ``dram``, each task at its slowest level that fits.
    ``dvshm``: NVRAM where it fits, then the slowest level that fits.
    ``dvshm_gr``: the same, decided once for each task; that is how all are decided here, and the
    reference prints the same numbers for both.
    ``fixed``: as somebody else decided.
    """

    DRAM = "dram"
    HM = "hm"
    DVSDRAM = "dvsdram"
    DVSHM = "dvshm"
    DVSHM_GREEDY = "dvshm_gr"
    FIXED = "fixed"


MIXED = frozenset({Policy.HM, Policy.DVSHM, Policy.DVSHM_GREEDY})
"""Policies that use two memories."""

SLOWED = frozenset({Policy.DVSDRAM, Policy.DVSHM, Policy.DVSHM_GREEDY})
"""Policies that lower the level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A choice with which every deadline holds.

    Attributes:
        placements: Of each task.
        tasks: As they then run.
        power: What they then draw.
    """

    placements: tuple[Placement, ...]
    tasks: TaskSet
    power: PowerTable


@dataclass(frozen=True, slots=True, kw_only=True)
class NotDecided:
    """Why this policy has no choice with which every deadline holds.

    Attributes:
        code: Stable dotted cause.
        sentence: What does not fit and what to do.
    """

    code: str
    sentence: str


def decide(
    policy: Policy,
    works: Sequence[Work],
    machine: Machine,
    *,
    fixed: Sequence[Placement] = (),
) -> Decided | NotDecided:
    """Return level and memory of each task by this policy.

    Args:
        policy: Which.
        works: The tasks.
        machine: Its memories include ``dram``, and ``nvram`` for policies that use both.
        fixed: The placements for ``fixed``.

    Raises:
        UsageError: The machine lacks a memory or level that was named, or ``fixed`` has another
            length than the tasks.
    """
    if policy is Policy.FIXED:
        return _decided(works, machine, _checked(works, machine, fixed), machine_wide=False)
    placements = [Placement(level=0, memory=DRAM)] * len(works)
    if policy is Policy.DRAM:
        return _decided(works, machine, placements, machine_wide=True)
    started = _schedulable(works, machine, placements)
    if isinstance(started, NotDecided):
        return started
    left_mb = {each.name: each.capacity_mb for each in machine.memories}
    if policy not in MIXED:
        left_mb[DRAM] = sum(left_mb.values())
    for task_id in _densest_first(started):
        chosen = _choice(policy, works, machine, placements, task_id=task_id, left_mb=left_mb)
        if chosen is None:
            return _no_memory(works[task_id], task_id, left_mb)
        placements[task_id] = chosen
        left_mb[chosen.memory] -= works[task_id].memory_mb
    return _decided(works, machine, placements, machine_wide=policy not in MIXED)


def _checked(
    works: Sequence[Work], machine: Machine, fixed: Sequence[Placement]
) -> Sequence[Placement]:
    """Return fixed placements that exist.

    Raises:
        UsageError: One does not, or there are too few or too many.
    """
    if len(fixed) != len(works):
        sentence = f"{len(fixed)} placements were given for {len(works)} tasks; give one for each."
        raise UsageError("edf.policy.placements", sentence)
    for task_id, each in enumerate(fixed):
        machine.memory(each.memory)
        if not 0 <= each.level < len(machine.levels):
            sentence = (
                f"Task {task_id} is to run at level {each.level}; the machine has 0 to "
                f"{len(machine.levels) - 1}."
            )
            raise UsageError("edf.policy.level", sentence)
    return fixed


def _densest_first(tasks: TaskSet) -> list[int]:
    density = tasks.execution_us / tasks.deadline_us
    return sorted(range(len(tasks)), key=lambda task_id: (-density[task_id], task_id))


def _choice(
    policy: Policy,
    works: Sequence[Work],
    machine: Machine,
    placements: Sequence[Placement],
    *,
    task_id: int,
    left_mb: dict[str, float],
) -> Placement | None:
    """Return the first of the policy's preferences that fits, None if no memory has room."""
    names = (NVRAM, DRAM) if policy in MIXED else (DRAM,)
    levels = range(len(machine.levels) - 1, -1, -1) if policy in SLOWED else (0,)
    for name in names:
        if works[task_id].memory_mb > left_mb[machine.memory(name).name]:
            continue
        for level in levels:
            wanted = Placement(level=level, memory=name)
            tried = [*placements]
            tried[task_id] = wanted
            if isinstance(_schedulable(works, machine, tried), TaskSet):
                return wanted
    return None


def _schedulable(
    works: Sequence[Work], machine: Machine, placements: Sequence[Placement]
) -> TaskSet | NotDecided:
    """Return the tasks as they run there if every deadline holds."""
    rows = [
        (placed_us(work, machine, placement), work.period_us, work.deadline_us)
        for work, placement in zip(works, placements, strict=True)
    ]
    for task_id, (needed_us, _, deadline_us) in enumerate(rows):
        if needed_us > deadline_us:
            sentence = (
                f"Task {task_id} takes {needed_us} us where it is placed and is due after "
                f"{deadline_us} us; choose a faster level or memory."
            )
            return NotDecided(code="edf.policy.deadline", sentence=sentence)
    tasks = TaskSet.from_columns(
        execution_us=[row[0] for row in rows],
        period_us=[row[1] for row in rows],
        deadline_us=[row[2] for row in rows],
    )
    overload = check_preemptive(tasks)
    if overload is None:
        return tasks
    sentence = (
        f"Within {overload.length_us} us the tasks can need {overload.demand_us} us; choose faster "
        "levels or memories, or move a task elsewhere."
    )
    return NotDecided(code="edf.policy.demand", sentence=sentence)


def _no_memory(work: Work, task_id: int, left_mb: dict[str, float]) -> NotDecided:
    left = ", ".join(f"{mb:g} MB of {name}" for name, mb in left_mb.items())
    sentence = (
        f"Task {task_id} keeps {work.memory_mb:g} MB, and where {left} are left no choice holds "
        "every deadline; add memory or move a task elsewhere."
    )
    return NotDecided(code="edf.policy.memory", sentence=sentence)


def _decided(
    works: Sequence[Work],
    machine: Machine,
    placements: Sequence[Placement],
    *,
    machine_wide: bool,
) -> Decided | NotDecided:
    """Return the choice if memory and deadlines hold; machine-wide all memories are one."""
    pools = {each.name: each.capacity_mb for each in machine.memories}
    if machine_wide:
        pools[DRAM] = sum(pools.values())
    for name, capacity_mb in pools.items():
        used_mb = memory_used_mb(works, placements, name)
        if used_mb > capacity_mb:
            sentence = (
                f"The tasks in '{name}' keep {used_mb:g} MB and it has {capacity_mb:g} MB; move "
                "a task to another memory or elsewhere."
            )
            return NotDecided(code="edf.policy.memory", sentence=sentence)
    tasks = _schedulable(works, machine, placements)
    if isinstance(tasks, NotDecided):
        return tasks
    return Decided(
        placements=tuple(placements), tasks=tasks, power=power_table(works, machine, placements)
    )
