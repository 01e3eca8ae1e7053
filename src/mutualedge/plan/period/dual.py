"""Prices for what slots of time share: how much each member is out of balance by their end.

Each slot is a problem of choice of its own. What couples them is the balance over all of them; with
a price on it for each enterprise every slot chooses for itself again (Dantzig and Wolfe 1960). The
prices of the slots' own rows and of the balance are sought together by cutting planes, those of
each slot apart, within a box around the best point so far.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mutualedge.plan.choice import ChoiceProblem, Watch
from mutualedge.plan.choice.linear import SharedProgram
from mutualedge.plan.choice.problem import Floats, Options

ROUNDING = 1e-13
"""Of a sum in floating point, per unit of what was added; keeps a bound a bound."""

STEPS_MAX = 200
BOX_START, BOX_SHRINK, BOX_GROW, BOX_LEAST = 1.0, 0.5, 2.0, 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotProblem:
    """What is chosen in one slot, and what each option lends.

    Attributes:
        problem: Its rows are those of the slot alone.
        lent: What each option lends for each enterprise, negative where it borrows, in processors,
            shape (enterprises, groups, options).
    """

    problem: ChoiceProblem
    lent: Floats

    def lent_by(self, options: Options) -> Floats:
        """Return what each enterprise lends net under this choice."""
        taken: Floats = self.lent[:, np.arange(self.problem.groups), options].sum(axis=1)
        return taken

    def charged(self, prices: Floats) -> Floats:
        """Return each option's cost with a price on what each enterprise lends."""
        cost = self.problem.cost.copy()
        for enterprise in np.flatnonzero(prices):
            cost += prices[enterprise] * self.lent[enterprise]
        return cost


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodPoint:
    """The dual of all slots at some prices.

    Attributes:
        prices: Of the balances, then of each slot's rows in turn; none negative.
        values: Of each slot; their sum is a lower bound on every choice that holds.
        slopes: Of each slot's value: along the prices of the balances, then its own.
    """

    prices: Floats
    values: tuple[float, ...]
    slopes: tuple[Floats, ...]

    @property
    def value(self) -> float:
        """The bound."""
        return sum(self.values)


class PeriodDual:
    """Evaluates the dual of slots that share a balance."""

    def __init__(self, slots: Sequence[SlotProblem], limit: float) -> None:
        """Take the slots, and what each enterprise may lend or borrow net in one on average."""
        self.slots = slots
        self.limit = limit
        self.enterprises = int(slots[0].lent.shape[0])
        self.rows = [len(each.problem.capacity) for each in slots]
        self._starts = np.cumsum([2 * self.enterprises, *self.rows])

    def own(self, prices: Floats, slot: int) -> Floats:
        """Return the prices of a slot's rows."""
        return prices[self._starts[slot] : self._starts[slot + 1]]

    def net(self, prices: Floats) -> Floats:
        """Return what lending costs each enterprise at these prices; borrowing brings it."""
        both = prices[: 2 * self.enterprises]
        net: Floats = both[: self.enterprises] - both[self.enterprises :]
        return net

    def at(self, prices: Floats) -> PeriodPoint:
        """Return the dual at these prices."""
        found = [self._slot_at(number, prices) for number in range(len(self.slots))]
        values, slopes = zip(*found, strict=True)
        return PeriodPoint(prices=prices, values=values, slopes=slopes)

    def _slot_at(self, number: int, prices: Floats) -> tuple[float, Floats]:
        slot, own = self.slots[number], self.own(prices, number)
        reduced = slot.charged(self.net(prices))
        for row in np.flatnonzero(own):
            reduced += own[row] * slot.problem.use[row]
        options = np.argmin(reduced, axis=1)
        least = reduced[np.arange(len(options)), options]
        shared = prices[: 2 * self.enterprises]
        paid = float(own @ slot.problem.capacity) + self.limit * float(shared.sum())
        slack = ROUNDING * (float(np.abs(least).sum()) + abs(paid))
        lent = slot.lent_by(options)
        balance = np.concatenate([lent - self.limit, -lent - self.limit])
        over = slot.problem.use_of(options) - slot.problem.capacity
        return float(least.sum()) - paid - slack, np.concatenate([balance, over])


def price_period(
    dual: PeriodDual, start: Floats, scale: Floats, gap: float, watch: Watch
) -> PeriodPoint:
    """Return the best prices found for the balances and for every slot's rows.

    Args:
        dual: Of the slots.
        start: Where to begin: the prices of the slots as if nothing were shared.
        scale: Of the order of each right price.
        gap: Distance from the maximum at which to stop, in money.
        watch: Ends the search.
    """
    program = SharedProgram(2 * dual.enterprises, dual.rows)
    best, box = _cut(dual, program, start, scale), BOX_START
    for _ in range(STEPS_MAX):
        middle = best.prices / scale
        scaled, promised = program.best_within(middle - box, middle + box)
        is_near = promised - best.value <= gap
        on_edge = bool((np.abs(scaled - middle) >= box * (1 - 1e-9)).any())
        if watch.left_s() <= 0 or box < BOX_LEAST or (is_near and not on_edge):
            return best
        point = _cut(dual, program, scaled * scale, scale)
        if point.value > best.value:
            best = point
            box *= BOX_GROW if on_edge else 1.0
        else:
            box *= BOX_SHRINK
    return best


def _cut(dual: PeriodDual, program: SharedProgram, prices: Floats, scale: Floats) -> PeriodPoint:
    """Evaluate the dual, and add each slot's plane there."""
    point = dual.at(prices)
    shared = 2 * dual.enterprises
    for number, (value, slope) in enumerate(zip(point.values, point.slopes, strict=True)):
        at = np.concatenate([prices[:shared], dual.own(prices, number)])
        unit = np.concatenate([scale[:shared], dual.own(scale, number)])
        program.cut(number, at / unit, value, slope * unit)
    return point
