"""Task sets to measure on, the same for everybody who measures."""

from random import Random

from mutualedge.plan.edf import TaskSet

SMALL = {
    "1 task": [(1, 10)],
    "2 tasks": [(1, 10), (3, 20)],
    "3 tasks": [(3, 10), (7, 20), (14, 60)],
}
"""Execution time and period; the last is the reference simulator's shipped template."""


def small_set(name: str) -> TaskSet:
    """Return one of the sets whose heaps hold next to nothing."""
    execution, period = zip(*SMALL[name], strict=True)
    return TaskSet.from_columns(execution_us=execution, period_us=period)


def random_set(
    rng: Random, count: int, load: float, *, deadline_share: tuple[float, float] = (1, 1)
) -> TaskSet:
    """Return tasks of 5 to 400 ms that together need this share of the processor.

    Args:
        rng: Where the numbers come from.
        count: How many.
        load: Utilisation, up to rounding.
        deadline_share: Between which shares of its period a deadline lies.
    """
    period_us = [rng.randint(5_000, 400_000) for _ in range(count)]
    weights = [rng.uniform(0.2, 1.8) for _ in range(count)]
    total = sum(weights)
    execution_us = [
        max(1, int(each * load * weight / total))
        for each, weight in zip(period_us, weights, strict=True)
    ]
    deadline_us = [
        max(needed, int(each * rng.uniform(*deadline_share)))
        for needed, each in zip(execution_us, period_us, strict=True)
    ]
    return TaskSet.from_columns(
        execution_us=execution_us, period_us=period_us, deadline_us=deadline_us
    )
