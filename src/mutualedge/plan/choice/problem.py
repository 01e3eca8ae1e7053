"""Multiple-choice knapsack with several rows: what is asked, and what an answer carries.

Kellerer, Pferschy and Pisinger, Knapsack Problems (2004), chapter 11; with more than one row.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Options = NDArray[np.intp]


class Watch(Protocol):
    """Whoever waits for the answer: knows the time, and may want to hear how it goes."""

    def left_s(self) -> float:
        """Return for how long one may still search; 0 or less to stop with what there is."""
        ...

    def tell(self, cost_usd: float, bound_usd: float) -> None:
        """Hear of a better choice or a better bound; both of the variable part, in money."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """A watch that ends sooner than the whole one.

    Attributes:
        whole: The whole one.
        kept_s: What is left of it when this one ends.
    """

    whole: Watch
    kept_s: float

    @classmethod
    def at_most(cls, whole: Watch, limit_s: float) -> "Part":
        """Return a watch that ends after so long, or with the whole one."""
        return cls(whole, max(whole.left_s() - limit_s, 0.0))

    def left_s(self) -> float:
        """Return for how long one may still search."""
        return self.whole.left_s() - self.kept_s

    def tell(self, cost_usd: float, bound_usd: float) -> None:
        """Pass on what was found."""
        self.whole.tell(cost_usd, bound_usd)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceProblem:
    """Choose one option of every group: least cost, and no row above its capacity.

    Attributes:
        cost: Cost of each option, shape (groups, options); infinite where it is not allowed.
        use: What each option takes of each row, shape (rows, groups, options); may be negative.
        capacity: What each row has, shape (rows,).
    """

    cost: Floats
    use: Floats
    capacity: Floats

    @property
    def groups(self) -> int:
        """How many choices there are to make."""
        return int(self.cost.shape[0])

    def cost_of(self, options: Options) -> float:
        """Return what this choice costs."""
        return float(self.cost[np.arange(self.groups), options].sum())

    def use_of(self, options: Options) -> Floats:
        """Return what this choice takes of each row."""
        taken: Floats = self.use[:, np.arange(self.groups), options].sum(axis=1)
        return taken

    def holds(self, options: Options) -> bool:
        """Return whether this choice keeps every capacity and uses allowed options only."""
        is_allowed = np.isfinite(self.cost_of(options))
        return bool(is_allowed and (self.use_of(options) <= self.capacity).all())


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A choice that holds, and how far it can be from the best.

    Attributes:
        options: The chosen option of every group, shape (groups,).
        cost_usd: What it costs.
        bound_usd: No choice that holds costs less than this.
        method: What found it: ``search`` (prices, greedy, swaps) or ``milp``.
        prices: Of each row: what the last unit of its capacity is worth, shape (rows,).
    """

    options: Options
    cost_usd: float
    bound_usd: float
    method: str
    prices: Floats

    @property
    def gap(self) -> float:
        """Distance of cost and bound as a share of the cost."""
        return gap_between(self.cost_usd, self.bound_usd)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoChoice:
    """Nothing holds, or nothing was found.

    Attributes:
        proven: Whether nothing can hold; otherwise the time was too short to know.
        groups: Groups that conflict, as few as were found.
        rows: Rows that these groups cannot share; none if a group has no allowed option.
    """

    proven: bool
    groups: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()


def gap_between(cost_usd: float, bound_usd: float) -> float:
    """Return how far a cost lies above a bound, as a share of the larger of the two."""
    distance_usd = cost_usd - bound_usd
    largest_usd = max(abs(cost_usd), abs(bound_usd))
    return distance_usd / largest_usd if distance_usd > 0 else 0.0
