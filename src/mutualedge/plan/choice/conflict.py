"""Why nothing holds: few groups that no choice can satisfy together, and the rows they fight for.

Prices on rows under which even everybody's least use is worth more than what there is prove it
(Farkas); the groups that weigh most are kept, and made fewer by divide and conquer (Junker 2004,
QuickXplain).
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mutualedge.plan.choice.dual import Dual, price_rows
from mutualedge.plan.choice.greedy import relieve
from mutualedge.plan.choice.linear import Selection, select
from mutualedge.plan.choice.problem import ChoiceProblem, Floats, NoChoice, Part, Watch

LOOKS_MAX = 400
"""Questions whether some groups hold together; each is an integer program at worst."""

SEARCH_S_MAX = 3.0
"""For fewer groups; who asks why nothing holds does not wait for the very fewest."""

PROOF_LEAST = 1e-9
"""Relative excess that is a proof rather than rounding."""


def find_conflict(problem: ChoiceProblem, watch: Watch) -> NoChoice:
    """Return few groups that conflict, and over which rows.

    Args:
        problem: One for which no choice holds.
        watch: Ends the search for fewer groups.
    """
    watch = Part.at_most(watch, SEARCH_S_MAX)
    free = replace(problem, cost=np.where(np.isfinite(problem.cost), 0.0, np.inf))
    point = price_rows(Dual(free), gap=0.0, watch=watch)
    groups = _heaviest(free, point.prices)
    if groups is None:
        groups = list(range(problem.groups))
    fewer = _fewest(free, groups, watch)
    rows = np.flatnonzero(point.prices > 0) if groups else np.flatnonzero(problem.capacity < 0)
    if not len(rows):
        rows = np.flatnonzero(_overdrawn(free, fewer))
    return NoChoice(proven=True, groups=tuple(sorted(fewer)), rows=tuple(int(row) for row in rows))


def _heaviest(free: ChoiceProblem, prices: Floats) -> list[int] | None:
    """Return the groups whose least use at these prices is already more than there is."""
    least = Dual(free).reduced(prices).min(axis=1)
    order = np.argsort(-least, kind="stable")
    worth = float(prices @ free.capacity)
    excess = np.cumsum(least[order]) - worth
    proven = np.flatnonzero(excess > PROOF_LEAST * max(abs(worth), 1e-300))
    return [int(group) for group in order[: proven[0] + 1]] if len(proven) else None


def _fewest(free: ChoiceProblem, groups: list[int], watch: Watch) -> list[int]:
    """Return a conflict within these groups from which none can be left out, if time allows."""
    looks = 0

    def conflicts(some: list[int]) -> bool:
        nonlocal looks
        looks += 1
        if looks > LOOKS_MAX or watch.left_s() <= 0:
            # Who is not known to be needless is kept.
            return False
        return not _holds_together(free, some, watch)

    return _explain([], groups, conflicts, is_new=False)


def _explain(
    kept: list[int], groups: list[int], conflicts: Callable[[list[int]], bool], *, is_new: bool
) -> list[int]:
    """Return the part of the groups that conflicts together with those kept."""
    if is_new and conflicts(kept):
        return []
    if len(groups) <= 1:
        return groups
    half = len(groups) // 2
    first, second = groups[:half], groups[half:]
    needed = _explain(kept + first, second, conflicts, is_new=bool(first))
    return _explain(kept + needed, first, conflicts, is_new=bool(needed)) + needed


def _holds_together(free: ChoiceProblem, some: list[int], watch: Watch) -> bool:
    part = replace(free, cost=free.cost[some], use=free.use[:, some])
    prices = np.ones(len(part.capacity)) / np.maximum(np.abs(part.capacity), 1e-9)
    options = np.argmin(Dual(part).reduced(prices), axis=1)
    if relieve(part, options, prices) is not None:
        return True
    groups, others = np.nonzero(np.isfinite(part.cost))
    asked = Selection(
        groups=groups.astype(np.int32),
        cost=np.zeros(len(groups)),
        use=part.use[:, groups, others],
        capacity=part.capacity,
    )
    return bool(np.isfinite(select(asked, gap=0.0, watch=watch).bound))


def _overdrawn(free: ChoiceProblem, groups: list[int]) -> Floats:
    """Return which rows these groups overdraw when each takes the least of all rows together."""
    part = replace(free, cost=free.cost[groups], use=free.use[:, groups])
    prices = np.ones(len(part.capacity)) / np.maximum(np.abs(part.capacity), 1e-9)
    options = np.argmin(Dual(part).reduced(prices), axis=1)
    over: Floats = np.maximum(part.use_of(options) - part.capacity, 0.0)
    return over
