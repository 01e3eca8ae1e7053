"""How a slot's plan is chosen once the prices of the whole period are known."""

from dataclasses import dataclass, replace

import numpy as np

from mutualedge.plan.choice import Choice, ChoiceProblem, NoChoice, Watch, choose
from mutualedge.plan.choice.greedy import relieve
from mutualedge.plan.choice.problem import Floats, Options
from mutualedge.plan.options import OptionTable
from mutualedge.plan.period.dual import SlotProblem

SPARE = 1e-3
"""Of every capacity; what it costs is within the gap, as the bound knows nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One slot of the period.

    Attributes:
        table: Its options.
        asked: What is chosen, and what each option lends.
        alone: No plan of the slot alone, in balance or not, costs less; of the part that tasks add.
        prices: Of the slot's rows.
    """

    table: OptionTable
    asked: SlotProblem
    alone: float
    prices: Floats


@dataclass(slots=True, kw_only=True)
class Near:
    """Chooses near a start, or near what it chose last, at prices of rows and of what is lent.

    Attributes:
        slot: What is chosen in.
        lending: Price of each enterprise's lending.
        bound: Nothing costs less at that price.
        start: Where to begin; each group's own choice at the prices if there is none.
        low: What each enterprise must lend net at least; nothing if there are no bounds.
        high: What it may lend net at most.
    """

    slot: Slot
    lending: Floats
    bound: float
    start: Options | None = None
    low: Floats | None = None
    high: Floats | None = None

    def __call__(self, problem: ChoiceProblem, *, gap: float, watch: Watch) -> Choice | NoChoice:
        """Return a choice that holds, if search finds one; it ends soon whatever the watch says."""
        del gap, watch
        asked = self.slot.asked
        cost = replace(asked, problem=problem).charged(self.lending)
        own = self.slot.prices
        prices = np.concatenate([own, np.zeros(len(problem.capacity) - len(own))])
        start = self.start
        if start is None:
            start = np.argmin(cost + np.tensordot(prices, problem.use, axes=1), axis=1)
        problem = replace(problem, cost=cost, capacity=problem.capacity * (1 - SPARE))
        if self.low is not None and self.high is not None:
            problem = ChoiceProblem(
                cost=cost,
                use=np.concatenate([problem.use, asked.lent, -asked.lent]),
                capacity=np.concatenate([problem.capacity, self.high, -self.low]),
            )
            prices = np.concatenate([prices, np.zeros(2 * len(self.high))])
        self.start = relieve(problem, start, prices)
        if self.start is None:
            return NoChoice(proven=False)
        return Choice(
            options=self.start,
            cost_usd=problem.cost_of(self.start),
            bound_usd=self.bound,
            method="search",
            prices=prices,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Charging:
    """Chooses as well as it can, with a price on what is lent.

    Attributes:
        slot: What is chosen in.
        lending: Price of each enterprise's lending.
    """

    slot: Slot
    lending: Floats

    def __call__(self, problem: ChoiceProblem, *, gap: float, watch: Watch) -> Choice | NoChoice:
        """Return the cheapest choice at this price."""
        cost = replace(self.slot.asked, problem=problem).charged(self.lending)
        kept = problem.capacity * (1 - SPARE)
        found = choose(replace(problem, cost=cost, capacity=kept), gap=gap, watch=watch)
        return NoChoice(proven=False) if isinstance(found, NoChoice) else found
