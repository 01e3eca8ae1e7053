"""Does every deadline hold? Exact answers for sporadic tasks, and the window that says no.

Processor demand criterion: a set holds under preemptive EDF exactly when no window holds more
work, released and due inside it, than time (Baruah, Rosier and Howell 1990). Without preemption,
a longer job that has just started counts before the window's work (Jeffay, Stanat and Martel
1991; George, Rivierre and Spuri 1996). Windows are searched from long to short and most are
skipped (QPA: Zhang and Burns 2009). For tasks with offsets both tests are sufficient.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mutualedge.plan.edf.full import overload_when_full_us
from mutualedge.plan.edf.tasks import EXACT_MAX_US, TaskSet, rows_of
from mutualedge.plan.edf.utilisation import (
    Load,
    compare_load,
    overload_bound_us,
)

SHORTER_LOOKS_MAX = 10_000
"""Looks for a shorter overloaded window once one is known: some 0.1 s for 100 tasks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload:
    """A window that can hold more work than time.

    Attributes:
        length_us: Of the window.
        demand_us: Work released and due inside it at most: the sum over the tasks with
            D <= length of ``((length - D) // T + 1) * C``.
        blocking_us: What a longer job, started just before, takes of it; 0 with preemption.
        is_first: Whether every shorter window holds; otherwise the search for shorter ones ended.
    """

    length_us: int
    demand_us: int
    blocking_us: int
    is_first: bool


def demand_us(tasks: TaskSet, length_us: int) -> int:
    """Return the processor time that must be served inside a window of this length at most."""
    if not len(tasks):
        return 0
    spared_us = tasks.period_us - tasks.deadline_us
    total_us = int(tasks.execution_us.sum())
    if total_us * (length_us // int(tasks.period_us.min()) + 2) < EXACT_MAX_US:
        counts = (length_us + spared_us) // tasks.period_us
        return int((counts * tasks.execution_us).sum())
    return sum(
        (length_us + spared) // period * execution
        for execution, period, spared in rows_of(tasks.execution_us, tasks.period_us, spared_us)
    )


def check_preemptive(
    tasks: TaskSet, *, shorter_looks_max: int = SHORTER_LOOKS_MAX
) -> Overload | None:
    """Return None if every deadline holds under preemptive EDF, else an overloaded window.

    Necessary and sufficient for sporadic tasks and for periodic ones released together. With a
    utilisation of exactly one and deadlines before the period, no search is known whose time
    is bounded by less than the hyperperiod; `full` says how most sets are decided sooner.

    Args:
        tasks: On one processor.
        shorter_looks_max: How far to look for a shorter overloaded window once one is known.
    """
    if not len(tasks):
        return None
    return _unblocked_overload(tasks, int(tasks.deadline_us.min()), shorter_looks_max)


def check_nonpreemptive(tasks: TaskSet) -> Overload | None:
    """Return None if every deadline holds when no job is interrupted, else an overloaded window.

    A job blocks for its execution time minus 1 us at most: it started 1 us earlier. Necessary
    and sufficient for sporadic tasks, sufficient for periodic ones; time as `check_preemptive`.
    """
    if not len(tasks):
        return None
    for each in _stretches(tasks):
        overload = _first_overload(tasks, each)
        if overload is not None:
            return overload
    return _unblocked_overload(tasks, int(tasks.deadline_us.max()))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stretch:
    """Window lengths from one to another, both included, with one blocking."""

    shortest_us: int
    longest_us: int
    blocking_us: int = 0


def _stretches(tasks: TaskSet) -> list[_Stretch]:
    """Return the stretches, short ones first, that one job blocks the longest."""
    order = np.argsort(tasks.deadline_us, kind="stable")
    deadlines_us = tasks.deadline_us[order]
    # Entry k is the longest blocking by task k and those due later, which ends at their deadline.
    blockings_us = np.maximum.accumulate((tasks.execution_us[order] - 1)[::-1])[::-1]
    last = np.flatnonzero(np.append(blockings_us[:-1] != blockings_us[1:], [True]))
    limits_us = [int(deadlines_us[0]), *deadlines_us[last].tolist()]
    return [
        _Stretch(shortest_us=shortest_us, longest_us=end_us - 1, blocking_us=blocking_us)
        for (shortest_us, end_us), blocking_us in zip(
            pairwise(limits_us), blockings_us[last].tolist(), strict=True
        )
    ]


def _unblocked_overload(
    tasks: TaskSet, shortest_us: int, shorter_looks_max: int = SHORTER_LOOKS_MAX
) -> Overload | None:
    """Return an overload among all windows of this length or longer, without any blocking."""
    load = compare_load(tasks)
    if load is Load.BELOW:
        longest_us = overload_bound_us(tasks)
    elif load is Load.EXACTLY_ONE:
        longest_us = overload_when_full_us(tasks, shortest_us)
    else:
        longest_us = _some_overload_us(tasks, shortest_us)
    stretch = _Stretch(shortest_us=shortest_us, longest_us=longest_us)
    return _first_overload(tasks, stretch, shorter_looks_max)


def _some_overload_us(tasks: TaskSet, shortest_us: int) -> int:
    """Return an overloaded length, which a processor asked for too much must have."""
    length_us = shortest_us
    while demand_us(tasks, length_us) <= length_us:
        length_us *= 2
    return length_us


def _first_overload(
    tasks: TaskSet, stretch: _Stretch, shorter_looks_max: int = SHORTER_LOOKS_MAX
) -> Overload | None:
    """Return the shortest overload of a stretch, or some where the shortest is far to seek."""
    blocking_us = stretch.blocking_us
    found_us = None
    length_us = _last_deadline_us(tasks, stretch.longest_us)
    look_count = 0
    while length_us >= stretch.shortest_us:
        needed_us = demand_us(tasks, length_us) + blocking_us
        if needed_us > length_us:
            found_us, length_us = _edge_us(tasks, stretch, length_us)
        elif needed_us < length_us:
            # No shorter window down to this one can need more than it.
            length_us = needed_us
        else:
            length_us = _last_deadline_us(tasks, length_us - 1)
        look_count += found_us is not None
        if look_count > shorter_looks_max:
            break
    if found_us is None:
        return None
    return Overload(
        length_us=found_us,
        demand_us=demand_us(tasks, found_us),
        blocking_us=blocking_us,
        is_first=look_count <= shorter_looks_max,
    )


def _edge_us(tasks: TaskSet, stretch: _Stretch, overloaded_us: int) -> tuple[int, int]:
    """Return an overloaded length at most this one, and the one 1 us shorter, which holds."""
    holds_us = stretch.shortest_us - 1
    while overloaded_us - holds_us > 1:
        middle_us = (holds_us + overloaded_us) // 2
        if demand_us(tasks, middle_us) + stretch.blocking_us > middle_us:
            overloaded_us = middle_us
        else:
            holds_us = middle_us
    return overloaded_us, holds_us


def _last_deadline_us(tasks: TaskSet, until_us: int) -> int:
    """Return the longest window up to this length that ends with a deadline, -1 without any."""
    if until_us < EXACT_MAX_US:
        rounds = (until_us - tasks.deadline_us) // tasks.period_us
        return int(np.where(rounds >= 0, tasks.deadline_us + rounds * tasks.period_us, -1).max())
    return max(
        deadline + (until_us - deadline) // period * period
        for deadline, period in rows_of(tasks.deadline_us, tasks.period_us)
    )
