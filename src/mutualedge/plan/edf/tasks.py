"""Periodic tasks on one processor, in whole microseconds."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, isfinite

import numpy as np
from numpy.typing import NDArray

from mutualedge.errors import UsageError

TIME_MAX_US = 2**53 - 1
"""The longest period, 285 years: every record and every double carries it exactly."""

EXACT_MAX_US = 2**62
"""Sums of 64-bit integers stay exact below; past it Python's own integers count."""

US_PER_MS = 1_000

Microseconds = NDArray[np.int64]
"""One duration or instant for each task."""


def execution_us(wcet_ms: float, *scales: float) -> int:
    """Return what a job takes where these scales slow it down: whole microseconds, rounded up.

    Reads every number as the decimal it is written as, so that 7 ms at scale 0.7 are 10 ms and
    not a rounding error more.

    Args:
        wcet_ms: Worst-case execution time at full speed, milliseconds, > 0.
        scales: Of the processor level and of the memory; 1 is full speed.

    Raises:
        UsageError: A number is not positive or not finite.
    """
    if not all(isfinite(each) and each > 0 for each in (wcet_ms, *scales)):
        sentence = (
            f"A worst case of {wcet_ms} ms at scales {list(scales)} takes no time that can be "
            "told; every number must be positive and finite."
        )
        raise UsageError("edf.execution.malformed", sentence)
    slowed = Fraction(repr(wcet_ms)) * US_PER_MS
    for each in scales:
        slowed /= Fraction(repr(each))
    return ceil(slowed)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodicTask:
    """A job every period, each finished within its deadline.

    Attributes:
        execution_us: Processor time of one job at most, > 0.
        period_us: Between two releases.
        deadline_us: From a release to the latest finish; from the execution time to the period.
        offset_us: The first release.
    """

    execution_us: int
    period_us: int
    deadline_us: int
    offset_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TaskSet:
    """Tasks of one processor, a column for each property; a task's id is its position.

    Attributes:
        execution_us: Processor time of one job at most.
        period_us: Between two releases.
        deadline_us: From a release to the latest finish.
        offset_us: The first release.
    """

    execution_us: Microseconds
    period_us: Microseconds
    deadline_us: Microseconds
    offset_us: Microseconds

    @classmethod
    def of(cls, tasks: Iterable[PeriodicTask]) -> "TaskSet":
        """Return the columns of these tasks.

        Raises:
            UsageError: As `from_columns`.
        """
        rows = list(tasks)
        return cls.from_columns(
            execution_us=[each.execution_us for each in rows],
            period_us=[each.period_us for each in rows],
            deadline_us=[each.deadline_us for each in rows],
            offset_us=[each.offset_us for each in rows],
        )

    @classmethod
    def from_columns(
        cls,
        *,
        execution_us: Sequence[int] | Microseconds,
        period_us: Sequence[int] | Microseconds,
        deadline_us: Sequence[int] | Microseconds | None = None,
        offset_us: Sequence[int] | Microseconds | None = None,
    ) -> "TaskSet":
        """Return a set of these columns, copied; deadlines are periods and offsets 0 by default.

        Raises:
            UsageError: A column is not of whole numbers or has another length, or a task is not
                0 < execution <= deadline <= period < 2**53 with an offset of 0 or more; the code
                says what, the sentence which task.
        """
        count = len(execution_us)
        columns = {
            "execution_us": execution_us,
            "period_us": period_us,
            "deadline_us": period_us if deadline_us is None else deadline_us,
            "offset_us": [0] * count if offset_us is None else offset_us,
        }
        checked = {name: _column(name, values, count) for name, values in columns.items()}
        new = cls(**checked)
        new._check()
        return new

    def __len__(self) -> int:
        """Return how many tasks there are."""
        return int(self.execution_us.size)

    def columns(self) -> Microseconds:
        """Return execution times, periods, deadlines and offsets, shape (4, tasks)."""
        return np.stack([self.execution_us, self.period_us, self.deadline_us, self.offset_us])

    def task(self, task_id: int) -> PeriodicTask:
        """Return one task as a value."""
        return PeriodicTask(
            execution_us=int(self.execution_us[task_id]),
            period_us=int(self.period_us[task_id]),
            deadline_us=int(self.deadline_us[task_id]),
            offset_us=int(self.offset_us[task_id]),
        )

    def _check(self) -> None:
        refused = (
            (self.execution_us < 1, "edf.task.execution", "a job must take 1 us at least"),
            (
                self.execution_us > self.deadline_us,
                "edf.task.deadline_short",
                "no job can finish by its deadline; choose a faster level or a later deadline",
            ),
            (
                self.deadline_us > self.period_us,
                "edf.task.deadline_long",
                "the deadline must not lie behind the period",
            ),
            (
                self.period_us > TIME_MAX_US,
                "edf.task.period",
                f"the longest period is {TIME_MAX_US} us",
            ),
            (
                (self.offset_us < 0) | (self.offset_us > TIME_MAX_US),
                "edf.task.offset",
                f"the first release must lie between 0 and {TIME_MAX_US} us",
            ),
        )
        for wrong, code, demanded in refused:
            if wrong.any():
                task_id = int(np.argmax(wrong))
                raise UsageError(code, f"Task {task_id}, {self._told(task_id)}: {demanded}.")

    def _told(self, task_id: int) -> str:
        task = self.task(task_id)
        return (
            f"{task.execution_us} us every {task.period_us} us within {task.deadline_us} us "
            f"from {task.offset_us} us on"
        )


def rows_of(*columns: Microseconds) -> Iterator[tuple[int, ...]]:
    """Yield the columns task by task, as Python's own integers."""
    return zip(*(each.tolist() for each in columns), strict=True)


def _column(name: str, values: Sequence[int] | Microseconds, count: int) -> Microseconds:
    """Return the values as a column of its own that nobody can change."""
    try:
        read = np.array(values if len(values) else np.zeros(0, np.int64))
    except OverflowError:
        read = np.array(values, dtype=object)
    if read.shape != (count,) or read.dtype.kind not in "iu":
        sentence = (
            f"The column {name} has shape {read.shape} of {read.dtype}; {count} whole numbers of "
            "microseconds below 2^63 are needed, one for each task."
        )
        raise UsageError("edf.task.column", sentence)
    column = read.astype(np.int64)
    column.flags.writeable = False
    return column
