"""What happens when: EDF executed event by event on one processor, in whole microseconds."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import cast

import numpy as np
from numpy.typing import NDArray

from mutualedge.errors import UsageError
from mutualedge.plan.compiled import HAS_COMPILER
from mutualedge.plan.edf.plain import run_plain
from mutualedge.plan.edf.rows import (
    COMPLETED,
    KEY_MAX,
    MISSED,
    PREEMPTED,
    RESPONSE_MAX,
    RESPONSE_SUM,
    ROW,
    STARTED,
    TALLY_COLUMNS,
    Counts,
    Rows,
)
from mutualedge.plan.edf.tasks import Microseconds, TaskSet

MISSES_MAX = 1_000
"""Late jobs told one by one; all are counted."""

Loop = Callable[[Microseconds, int, bool, Rows], Counts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """A job that was not finished by its deadline.

    Attributes:
        task_id: Whose job.
        release_us: Absolute.
        deadline_us: Absolute.
        completion_us: Absolute, None where the horizon came first.
    """

    task_id: int
    release_us: int
    deadline_us: int
    completion_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A job had the processor without interruption.

    Attributes:
        task_id: Whose job.
        job_index: Which of the task's jobs, the first is 0.
        start_us: Absolute.
        end_us: Absolute.
    """

    task_id: int
    job_index: int
    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Simulation:
    """What an execution came to; the columns have a number for each task.

    Attributes:
        horizon_us: How long it ran.
        preemptive: Whether an earlier deadline interrupted a running job.
        released: Jobs released before the horizon.
        completed: Jobs finished by the horizon.
        missed: Jobs late, or due by the horizon and not finished.
        preempted: How often a job of the task was interrupted.
        busy_us: How long the task had the processor.
        response_us_max: Longest time from release to completion, 0 without completed jobs.
        response_us_mean: Mean of it, 0 without completed jobs.
        idle_us: How long nobody had the processor.
        misses: The first MISSES_MAX, by completion, unfinished ones last.
        segments: The trace, if asked for.
        trace_complete: Whether all segments are in it.
    """

    horizon_us: int
    preemptive: bool
    released: NDArray[np.int64]
    completed: NDArray[np.int64]
    missed: NDArray[np.int64]
    preempted: NDArray[np.int64]
    busy_us: Microseconds
    response_us_max: Microseconds
    response_us_mean: NDArray[np.float64]
    idle_us: int
    misses: tuple[Miss, ...]
    segments: tuple[Segment, ...]
    trace_complete: bool


def simulate(
    tasks: TaskSet,
    horizon_us: int,
    *,
    preemptive: bool = True,
    segments_max: int = 0,
    compiled: bool = HAS_COMPILER,
) -> Simulation:
    """Execute the tasks from 0 to the horizon; every job takes its whole execution time.

    The ready job with the earliest absolute deadline runs, among equal ones that of the lower
    id. A late job goes on until it is finished, and the task's later ones wait for it. Memory is
    that of the tasks, however long the horizon.

    Args:
        tasks: On one processor.
        horizon_us: Where to stop, > 0; jobs released from there on do not count.
        preemptive: Whether a job is interrupted by one with an earlier deadline.
        segments_max: How much of the trace to keep.
        compiled: Whether numba runs the loop; both forms give the same answer.

    Raises:
        UsageError: The horizon is empty, or too far for the keys of so many tasks.
    """
    _require_horizon(tasks, horizon_us)
    rows = Rows(
        tally=np.zeros(len(tasks) * TALLY_COLUMNS, np.int64),
        misses=np.zeros(MISSES_MAX * ROW, np.int64),
        segments=np.zeros(segments_max * ROW, np.int64),
    )
    counts = Counts(idle_us=horizon_us, misses=0, segments=0)
    if len(tasks):
        run = _compiled_loop() if compiled else run_plain
        counts = run(tasks.columns(), horizon_us, preemptive, rows)
    columns = rows.tally.reshape(-1, TALLY_COLUMNS).T
    busy_us = columns[COMPLETED] * tasks.execution_us + columns[STARTED]
    assert int(busy_us.sum()) + counts.idle_us == horizon_us, "every instant is busy or idle"
    unfinished = np.maximum(0, _due(tasks, horizon_us) - columns[COMPLETED])
    told = rows.segments.reshape(-1, ROW)[: counts.segments].tolist()
    return Simulation(
        horizon_us=horizon_us,
        preemptive=preemptive,
        released=_fixed(np.maximum(0, (horizon_us - 1 - tasks.offset_us) // tasks.period_us + 1)),
        completed=_fixed(columns[COMPLETED]),
        missed=_fixed(columns[MISSED] + unfinished),
        preempted=_fixed(columns[PREEMPTED]),
        busy_us=_fixed(busy_us),
        response_us_max=_fixed(columns[RESPONSE_MAX]),
        response_us_mean=columns[RESPONSE_SUM] / np.maximum(1, columns[COMPLETED]),
        idle_us=counts.idle_us,
        misses=_misses(
            tasks, rows.misses.reshape(-1, ROW)[: counts.misses], columns[COMPLETED], unfinished
        ),
        segments=tuple(
            Segment(task_id=task_id, job_index=job_index, start_us=start_us, end_us=end_us)
            for task_id, job_index, start_us, end_us in told
        ),
        trace_complete=counts.segments == len(told),
    )


@cache
def _compiled_loop() -> Loop:
    """Import the compiled form at its first use, which costs half a second."""
    return cast("Loop", import_module("mutualedge.plan.edf.loop").run_events)


def _require_horizon(tasks: TaskSet, horizon_us: int) -> None:
    digits = max(1, (len(tasks) - 1).bit_length())
    if horizon_us < 1:
        sentence = f"A horizon of {horizon_us} us holds no instant; simulate 1 us at least."
        raise UsageError("edf.horizon.empty", sentence)
    furthest_us = horizon_us + int(tasks.period_us.max(initial=0)) * 2
    furthest_us = max(furthest_us, int(tasks.offset_us.max(initial=0)))
    if furthest_us << digits >= KEY_MAX:
        sentence = (
            f"Instants up to {furthest_us} us and the ids of {len(tasks)} tasks do not fit into "
            f"64 bits together; {KEY_MAX >> digits} us do. Choose a nearer horizon or "
            "split the tasks."
        )
        raise UsageError("edf.horizon.far", sentence)


def _due(tasks: TaskSet, by_us: int) -> NDArray[np.int64]:
    """Return how many jobs of each task are due by an instant."""
    due: NDArray[np.int64] = (by_us - tasks.offset_us - tasks.deadline_us) // tasks.period_us + 1
    return np.maximum(due, 0)


def _misses(
    tasks: TaskSet,
    late: NDArray[np.int64],
    completed: NDArray[np.int64],
    unfinished: NDArray[np.int64],
) -> tuple[Miss, ...]:
    """Return late jobs as they completed, then unfinished ones by task, MISSES_MAX in all."""
    told = [
        Miss(task_id=row[0], release_us=row[1], deadline_us=row[2], completion_us=row[3])
        for row in late.tolist()
    ]
    for task_id in np.flatnonzero(unfinished).tolist():
        task = tasks.task(task_id)
        first = int(completed[task_id])
        room = min(int(unfinished[task_id]), MISSES_MAX - len(told))
        for job_index in range(first, first + room):
            release_us = task.offset_us + job_index * task.period_us
            due_us = release_us + task.deadline_us
            told.append(
                Miss(task_id=task_id, release_us=release_us, deadline_us=due_us, completion_us=None)
            )
    return tuple(told)


def _fixed(column: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the column as one of its own that nobody can change."""
    copied = column.astype(np.int64)
    copied.flags.writeable = False
    return copied
