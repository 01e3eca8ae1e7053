"""Utilisation against one processor, decided exactly, and what follows for how far to look."""

from collections.abc import Sequence
from enum import Enum
from fractions import Fraction
from math import lcm

import numpy as np

from mutualedge.plan.edf.tasks import TaskSet

ROUNDING = 2.0**-52
"""Relative error of one operation on doubles, with a factor of two to spare."""


FREE_SURE = 1e-6
"""A free share of the processor that is far above the error of doubles for a million tasks."""


class Load(Enum):
    """How the long-run demand compares with one processor."""

    BELOW = "below"
    EXACTLY_ONE = "exactly one"
    ABOVE = "above"


def utilisation(tasks: TaskSet) -> Fraction:
    """Return the exact share of the processor that the tasks need in the long run.

    Its denominator can have as many digits as all different periods together.
    """
    return _weighted(tasks, [1] * len(tasks))


def compare_load(tasks: TaskSet) -> Load:
    """Return how the utilisation compares with one: by doubles where their error leaves no doubt.

    Within that error of one, exact fractions decide.
    """
    about = float((tasks.execution_us / tasks.period_us).sum())
    error = (len(tasks) + 2) * ROUNDING * about
    if abs(about - 1) > error:
        return Load.BELOW if about < 1 else Load.ABOVE
    exact = utilisation(tasks)
    return Load.EXACTLY_ONE if exact == 1 else Load.BELOW if exact < 1 else Load.ABOVE


def hyperperiod_us(tasks: TaskSet, *, enough_us: int | None = None) -> int:
    """Return after which time all releases repeat, 0 without tasks; of any number of digits.

    Args:
        tasks: The tasks.
        enough_us: Where it is known to be longer than this, any longer time may be returned.
    """
    repeat_us = min(1, len(tasks))
    for period_us in np.unique(tasks.period_us).tolist():
        repeat_us = lcm(repeat_us, period_us)
        if enough_us is not None and repeat_us > enough_us:
            break
    return repeat_us


def overload_bound_us(tasks: TaskSet) -> int:
    """Return a length behind which no window is overloaded for the first time; utilisation < 1.

    Demand of a window t is at most U t + sum of U_i (T_i - D_i), which crosses t where this says;
    it repeats after the hyperperiod. Source: Baruah, Rosier and Howell 1990.
    """
    early_us = tasks.period_us - tasks.deadline_us
    if not early_us.any():
        return 0
    shares = tasks.execution_us / tasks.period_us
    error = (len(tasks) + 4) * ROUNDING
    free = 1 - float(shares.sum()) * (1 + error)
    if free > FREE_SURE:
        above_us = float((shares * early_us).sum()) * (1 + error) / free * (1 + error)
        return int(above_us) + 1
    bound_us = int(_weighted(tasks, early_us.tolist()) / (1 - utilisation(tasks))) + 1
    return min(bound_us, hyperperiod_us(tasks, enough_us=bound_us))


def _weighted(tasks: TaskSet, weights: Sequence[int]) -> Fraction:
    """Return the sum of utilisation times weight."""
    periods_us, index = np.unique(tasks.period_us, return_inverse=True)
    sums_us = [0] * periods_us.size
    rows = zip(index.tolist(), tasks.execution_us.tolist(), weights, strict=True)
    for position, each_us, weight in rows:
        sums_us[position] += each_us * weight
    shares = [Fraction(*each) for each in zip(sums_us, periods_us.tolist(), strict=True)]
    # In pairs: operands stay of equal length, which is what big numbers are quick with.
    while len(shares) > 1:
        shares = [sum(shares[at : at + 2], Fraction()) for at in range(0, len(shares), 2)]
    return shares[0] if shares else Fraction()
