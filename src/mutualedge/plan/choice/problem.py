"""Multiple-choice knapsack with several rows: what is asked, and what an answer carries.

Kellerer, Pferschy and Pisinger, Knapsack Problems (2004), chapter 11; with more than one row.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceProblem:
    """Choose one option of every group: least cost, and no row above its capacity.

    Attributes:
        cost: Cost of each option, shape (groups, options); infinite where it is not allowed.
        use: What each option takes of each row, shape (rows, groups, options); may be negative.
        capacity: What each row has, shape (rows,).
    """

    cost: NDArray[np.float64]
    use: NDArray[np.float64]
    capacity: NDArray[np.float64]

    @property
    def groups(self) -> int:
        """How many choices there are to make."""
        return int(self.cost.shape[0])

    def cost_of(self, choice: NDArray[np.intp]) -> float:
        """Return what this choice costs."""
        return float(self.cost[np.arange(self.groups), choice].sum())

    def use_of(self, choice: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return what this choice takes of each row."""
        taken: NDArray[np.float64] = self.use[:, np.arange(self.groups), choice].sum(axis=1)
        return taken

    def holds(self, choice: NDArray[np.intp]) -> bool:
        """Return whether this choice keeps every capacity and uses allowed options only."""
        return bool(
            np.isfinite(self.cost_of(choice)) and (self.use_of(choice) <= self.capacity).all()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A choice that holds, and how far it can be from the best.

    Attributes:
        options: The chosen option of every group, shape (groups,).
        cost_usd: What it costs.
        bound_usd: No choice that holds costs less than this.
        prices: Lagrange multiplier of each row: what one more unit of capacity would save.
        method: Which solver found it: ``greedy``, ``search`` or ``milp``.
    """

    options: NDArray[np.intp]
    cost_usd: float
    bound_usd: float
    prices: NDArray[np.float64]
    method: str
