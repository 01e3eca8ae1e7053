"""The cheapest choice that holds: prices, greedy, swaps, and a proof of what they leave open.

Prices give the bound. An option whose price-corrected cost lies further above its group's best
than the gap between bound and best choice cannot improve anything (reduced-cost fixing); what
remains is small as a rule, and an integer program decides it.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mutualedge.plan.choice.conflict import find_conflict
from mutualedge.plan.choice.dual import Dual, Point, price_rows
from mutualedge.plan.choice.greedy import fill, relieve
from mutualedge.plan.choice.linear import Selection, relax, select
from mutualedge.plan.choice.problem import (
    Choice,
    ChoiceProblem,
    Floats,
    NoChoice,
    Options,
    Watch,
    gap_between,
)
from mutualedge.plan.choice.swaps import swap

OPEN_MAX = 60_000
"""Options that an integer program is asked about; more and it would not end."""

ROUNDED_MAX = 24_000
"""Options of the linear program whose answer is rounded, besides each group's own: some 0.2 s."""

COST_LEAST = 1e-12
"""Money below which a distance is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    problem: ChoiceProblem
    dual: Dual
    point: Point
    gap: float
    watch: Watch

    def is_enough(self, cost_usd: float) -> bool:
        """Tell whether a choice of this cost is near enough to the bound, or the time is over."""
        bound = self.point.value
        self.watch.tell(cost_usd, bound)
        near = cost_usd - bound <= COST_LEAST or gap_between(cost_usd, bound) <= self.gap
        return near or self.watch.left_s() <= 0


class Chooser(Protocol):
    """What answers a problem of choice."""

    def __call__(self, problem: ChoiceProblem, *, gap: float, watch: Watch) -> Choice | NoChoice:
        """Return the cheapest choice that it finds, or why there is none."""
        ...


def choose(problem: ChoiceProblem, *, gap: float, watch: Watch) -> Choice | NoChoice:
    """Return the cheapest choice that holds, or why there is none.

    Args:
        problem: What to choose from.
        gap: How far from the best it may be, as a share of its cost.
        watch: Ends the search early: the best so far is returned with its bound.
    """
    if not problem.groups:
        return _nothing(problem)
    dual = Dual(problem)
    point = _priced(dual, gap, watch)
    if isinstance(point, NoChoice):
        return point
    return _search(_Search(problem=problem, dual=dual, point=point, gap=gap, watch=watch))


def prices_of(
    problem: ChoiceProblem, *, gap: float, watch: Watch
) -> tuple[float, Floats] | NoChoice:
    """Return the bound and the price of each row that gives it, or why nothing holds.

    Args:
        problem: What to choose from.
        gap: How far from the best bound it may be.
        watch: Ends the search.
    """
    point = _priced(Dual(problem), gap, watch)
    return point if isinstance(point, NoChoice) else (point.value, point.prices)


def improve(problem: ChoiceProblem, options: Options, prices: Floats) -> Options | None:
    """Return a choice near this one that holds, as good as greedy and swaps make it."""
    relieved = relieve(problem, options, prices)
    if relieved is None:
        return None
    return swap(problem, fill(problem, relieved, prices), prices, lambda _: False)


def _priced(dual: Dual, gap: float, watch: Watch) -> Point | NoChoice:
    problem = dual.problem
    without = np.flatnonzero(~np.isfinite(problem.cost).any(axis=1))
    if len(without):
        return NoChoice(proven=True, groups=(int(without[0]),))
    point = price_rows(dual, gap=gap, watch=watch)
    return find_conflict(problem, watch) if dual.is_impossible(point) else point


def _search(search: _Search) -> Choice | NoChoice:
    problem, point = search.problem, search.point
    options, method, bound = _improved(search), "search", point.value
    cost_usd = problem.cost_of(options) if options is not None else np.inf
    if not search.is_enough(cost_usd):
        options, bound, method = _decide(search, options, method)
    if options is None:
        return (
            NoChoice(proven=False) if np.isfinite(bound) else find_conflict(problem, search.watch)
        )
    cost_usd = problem.cost_of(options)
    return Choice(
        options=options,
        cost_usd=cost_usd,
        bound_usd=min(bound, cost_usd),
        method=method,
        prices=point.prices,
    )


def _improved(search: _Search) -> Options | None:
    """Return a choice that holds, as good as greedy, swaps and rounding make it."""
    problem, point = search.problem, search.point
    best = _polished(search, point.options, point.prices)
    several = np.count_nonzero(point.prices) > 1
    if not several or (best is not None and search.is_enough(problem.cost_of(best))):
        return best
    rounded = _rounded(search)
    if rounded is None or (best is not None and problem.cost_of(best) <= problem.cost_of(rounded)):
        return best
    return rounded


def _polished(search: _Search, options: Options, prices: Floats) -> Options | None:
    relieved = relieve(search.problem, options, prices)
    if relieved is None:
        return None
    filled = fill(search.problem, relieved, prices)
    return swap(search.problem, filled, prices, search.is_enough)


def _rounded(search: _Search) -> Options | None:
    """Return what the linear program over the promising options takes, polished.

    Of all groups it divides hardly more than there are rows; the others are as they should be.
    """
    reduced = search.dual.reduced(search.point.prices)
    above = reduced - reduced.min(axis=1, keepdims=True)
    most = min(ROUNDED_MAX, int(np.isfinite(above).sum())) - 1
    limit = np.partition(above, most, axis=None)[most]
    groups, others = np.nonzero(np.isfinite(above) & (above <= limit))
    asked = Selection(
        groups=groups.astype(np.int32),
        cost=search.problem.cost[groups, others],
        use=search.problem.use[:, groups, others],
        capacity=search.problem.capacity,
    )
    relaxed = relax(asked, search.watch)
    if relaxed is None:
        return None
    shares = np.full(reduced.shape, -1.0)
    shares[groups, others] = relaxed.shares
    return _polished(search, np.argmax(shares, axis=1), relaxed.prices)


def _decide(
    search: _Search, options: Options | None, method: str
) -> tuple[Options | None, float, str]:
    """Ask the integer program about what prices leave open; return choice, bound and method."""
    problem, point = search.problem, search.point
    cost_usd = problem.cost_of(options) if options is not None else np.inf
    open_options = _open_options(search, cost_usd)
    groups, others = np.nonzero(open_options)
    if len(groups) > OPEN_MAX:
        return options, point.value, method
    free = open_options.sum(axis=1) > 1
    fixed = np.where(free, -1, np.argmax(open_options, axis=1))
    if not free.any():
        return options, cost_usd, method
    asked, candidates = _selection(problem, fixed, groups[free[groups]], others[free[groups]])
    allowed = search.gap * abs(cost_usd) if np.isfinite(cost_usd) else 0.0
    found = select(asked, gap=allowed, watch=search.watch)
    known_usd = float(problem.cost[~free, fixed[~free]].sum())
    bound = max(point.value, min(found.bound + known_usd, cost_usd))
    if found.candidates is None:
        return options, bound, method
    better = fixed.copy()
    better[candidates[0][found.candidates]] = candidates[1][found.candidates]
    if problem.holds(better) and problem.cost_of(better) < cost_usd:
        return better, bound, "milp"
    return options, bound, method


def _open_options(search: _Search, cost_usd: float) -> NDArray[np.bool_]:
    """Return which options a choice cheaper than this may contain; the best of each group do."""
    reduced = search.dual.reduced(search.point.prices)
    above = reduced - reduced.min(axis=1, keepdims=True)
    is_open: NDArray[np.bool_] = above <= max(cost_usd - search.point.value, 0.0)
    return np.isfinite(reduced) & is_open


def _selection(
    problem: ChoiceProblem, fixed: Options, groups: Options, others: Options
) -> tuple[Selection, tuple[Options, Options]]:
    """Return the program about the open options, and what its candidates are."""
    known = np.flatnonzero(fixed >= 0)
    taken: Floats = problem.use[:, known, fixed[known]].sum(axis=1)
    _, numbers = np.unique(groups, return_inverse=True)
    asked = Selection(
        groups=numbers.astype(np.int32),
        cost=problem.cost[groups, others],
        use=problem.use[:, groups, others],
        capacity=problem.capacity - taken,
    )
    return asked, (groups, others)


def _nothing(problem: ChoiceProblem) -> Choice | NoChoice:
    rows = tuple(int(row) for row in np.flatnonzero(problem.capacity < 0))
    if rows:
        return NoChoice(proven=True, rows=rows)
    empty = np.zeros(0, dtype=np.intp)
    prices = np.zeros(len(problem.capacity))
    return Choice(options=empty, cost_usd=0.0, bound_usd=0.0, method="search", prices=prices)
