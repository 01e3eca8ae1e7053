"""Task sets for laws of EDF: small enough for a search tick by tick."""

from random import Random

from hypothesis import strategies as st

from mutualedge.plan.edf import PeriodicTask, TaskSet

PERIOD_MAX_US = 12


@st.composite
def task_sets(
    draw: st.DrawFn, *, offset_us_max: int = 0, crowding: int = 3, tasks_max: int = 5
) -> TaskSet:
    """Draw a set whose utilisation lies around one; more of it with less crowding."""
    rows = []
    for _ in range(draw(st.integers(1, tasks_max))):
        period_us = draw(st.integers(1, PERIOD_MAX_US))
        execution_us = draw(st.integers(1, max(1, period_us // crowding)))
        rows.append(
            PeriodicTask(
                execution_us=execution_us,
                period_us=period_us,
                deadline_us=draw(st.integers(execution_us, period_us)),
                offset_us=draw(st.integers(0, offset_us_max)),
            )
        )
    return TaskSet.of(rows)


def full_set(rng: Random, count: int) -> TaskSet:
    """Return a set that needs exactly one processor, with deadlines up to 3 us before periods."""
    rows: list[PeriodicTask] = []
    ticks = 24
    for left in range(count, 0, -1):
        share = ticks if left == 1 else rng.randint(1, ticks - left + 1)
        ticks -= share
        period_us = 24 * rng.choice((1, 2, 3))
        execution_us = share * period_us // 24
        deadline_us = max(execution_us, period_us - rng.choice((0, 0, 1, 3)))
        rows.append(
            PeriodicTask(execution_us=execution_us, period_us=period_us, deadline_us=deadline_us)
        )
    return TaskSet.of(rows)
