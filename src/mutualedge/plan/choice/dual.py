"""Prices for the rows: the Lagrangian dual, whose value no choice that holds can undercut.

With prices on the rows every group chooses for itself. One row that binds is priced by cutting
planes in one dimension, which end at the exact maximum; several by cutting planes within a box
around the best prices so far (Marsten, Hogan and Blankenship 1975).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mutualedge.plan.choice.linear import LineProgram, Selection, relax
from mutualedge.plan.choice.problem import ChoiceProblem, Floats, Options, Watch

ROUNDING = 1e-13
"""Of a sum in floating point, per unit of what was added; keeps a bound a bound."""

PROGRAM_OPTIONS_MAX = 20_000
"""Options up to which the linear program itself tells the prices: a tenth of a second."""

ONE_ROW_STEPS_MAX = 200
DOUBLINGS_MAX = 200
SEVERAL_ROWS_STEPS_MAX = 400
BOX_START, BOX_SHRINK, BOX_GROW = 1.0, 0.5, 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The dual at some prices.

    Attributes:
        prices: One per row, not negative.
        value: Of the dual; a lower bound on every choice that holds.
        slope: Use less capacity of the groups' own choices: in which direction prices should go.
        options: What the groups choose at these prices.
    """

    prices: Floats
    value: float
    slope: Floats
    options: Options


class Dual:
    """Evaluates the dual of one problem."""

    def __init__(self, problem: ChoiceProblem) -> None:
        """Take the problem; nothing is computed yet."""
        self.problem = problem
        self._everyone = np.arange(problem.groups)
        finite = np.where(np.isfinite(problem.cost), problem.cost, -np.inf)
        self.cost_max = float(finite.max(axis=1, initial=-np.inf).sum())

    def reduced(self, prices: Floats) -> Floats:
        """Return what each option costs with its share of the rows paid for."""
        reduced = self.problem.cost.copy()
        for row in np.flatnonzero(prices):
            reduced += prices[row] * self.problem.use[row]
        return reduced

    def at(self, prices: Floats) -> Point:
        """Return the dual at these prices."""
        reduced = self.reduced(prices)
        options: Options = np.argmin(reduced, axis=1)
        least = reduced[self._everyone, options]
        paid = float(prices @ self.problem.capacity)
        slack = ROUNDING * (float(np.abs(least).sum()) + abs(paid))
        return Point(
            prices=prices,
            value=float(least.sum()) - paid - slack,
            slope=self.problem.use_of(options) - self.problem.capacity,
            options=options,
        )

    def is_impossible(self, point: Point) -> bool:
        """Tell whether the bound exceeds what any choice can cost: then none holds."""
        return point.value > self.cost_max + abs(self.cost_max) * 1e-9 + 1e-12


def price_rows(dual: Dual, gap: float, watch: Watch) -> Point:
    """Return the best prices found: exact for one row that binds, near the best for several.

    Args:
        dual: Of the problem.
        gap: Distance from the maximum, as a share of it, at which to stop.
        watch: Ends the search.
    """
    best = dual.at(np.zeros(len(dual.problem.capacity)))
    binding: list[int] = []
    while fresh := [row for row in _overdrawn(best) if row not in binding]:
        binding.append(max(fresh, key=lambda row: _pressure(dual, best, row)))
        if len(binding) == 1:
            best = _price_one(dual, binding[0], best)
        elif (known := _price_all(dual, watch)) is not None:
            return known
        else:
            best = _price_several(dual, binding, best, gap, watch)
        if dual.is_impossible(best) or watch.left_s() <= 0:
            break
    return best


def _overdrawn(point: Point) -> list[int]:
    return [int(row) for row in np.flatnonzero(point.slope > 0)]


def _price_all(dual: Dual, watch: Watch) -> Point | None:
    """Return the dual at the prices of the linear program, if that is small and has an end."""
    groups, options = np.nonzero(np.isfinite(dual.problem.cost))
    if len(groups) > PROGRAM_OPTIONS_MAX:
        return None
    asked = Selection(
        groups=groups.astype(np.int32),
        cost=dual.problem.cost[groups, options],
        use=dual.problem.use[:, groups, options],
        capacity=dual.problem.capacity,
    )
    relaxed = relax(asked, watch)
    return None if relaxed is None else dual.at(relaxed.prices)


def _pressure(dual: Dual, point: Point, row: int) -> float:
    return float(point.slope[row]) / max(abs(float(dual.problem.capacity[row])), 1e-300)


def _price_one(dual: Dual, row: int, start: Point) -> Point:
    """Maximise over one price: tangents from both sides meet at the next price to try."""
    low, high = start, _beyond(dual, row, start)
    best = max(low, high, key=lambda each: each.value)
    for _ in range(ONE_ROW_STEPS_MAX):
        rise, fall = float(low.slope[row]), float(high.slope[row])
        if fall > 0 or rise <= fall:
            return best
        at_low, at_high = float(low.prices[row]), float(high.prices[row])
        price = (high.value - low.value + rise * at_low - fall * at_high) / (rise - fall)
        if not at_low < price < at_high:
            return best
        point = dual.at(_with(start.prices, row, price))
        best = max(best, point, key=lambda each: each.value)
        promised = low.value + rise * (price - at_low)
        if point.value >= promised - 1e-12 * abs(promised):
            return best
        if point.slope[row] > 0:
            low = point
        else:
            high = point
    return best


def _beyond(dual: Dual, row: int, start: Point) -> Point:
    """Return a price so high that the row is not overdrawn, or the highest that was tried."""
    spread = dual.cost_max - start.value
    price = max(spread, 1e-12) / max(float(start.slope[row]), 1e-12) / 64
    point = start
    for _ in range(DOUBLINGS_MAX):
        point = dual.at(_with(start.prices, row, price))
        if point.slope[row] <= 0 or dual.is_impossible(point):
            break
        price *= 2
    return point


def _with(prices: Floats, row: int, raised: float) -> Floats:
    changed = prices.copy()
    changed[row] = raised
    return changed


def _price_several(
    dual: Dual, rows: Sequence[int], start: Point, gap: float, watch: Watch
) -> Point:
    """Maximise over several prices: cutting planes within a box that follows the best point."""
    scale = _scale(dual, rows, start)
    box, best = BOX_START, start
    program = LineProgram(len(rows))
    program.cut(start.prices[list(rows)] / scale, start.value, start.slope[list(rows)] * scale)
    for _ in range(SEVERAL_ROWS_STEPS_MAX):
        middle = best.prices[list(rows)] / scale
        scaled, promised = program.best_within(middle - box, middle + box)
        is_near = promised - best.value <= gap * max(abs(best.value), 1e-300)
        on_edge = bool((np.abs(scaled - middle) >= box * (1 - 1e-9)).any())
        if watch.left_s() <= 0 or (is_near and not on_edge):
            return best
        prices = best.prices.copy()
        prices[list(rows)] = scaled * scale
        point = dual.at(prices)
        program.cut(scaled, point.value, point.slope[list(rows)] * scale)
        if point.value > best.value:
            best = point
            box *= BOX_GROW if on_edge else 1.0
            if dual.is_impossible(best):
                return best
        else:
            box *= BOX_SHRINK
        if box < 1e-12:
            return best
    return best


def _scale(dual: Dual, rows: Sequence[int], start: Point) -> Floats:
    """Return a price per row that is of the order of the right one."""
    spread = max(dual.cost_max - start.value, 1e-12)
    capacity = np.maximum(np.abs(dual.problem.capacity[list(rows)]), 1e-12)
    guessed = spread / capacity / 8
    known = start.prices[list(rows)]
    scale: Floats = np.where(known > 0, known, guessed)
    return scale
