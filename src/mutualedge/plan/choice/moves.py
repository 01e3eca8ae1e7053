"""Single changes of a choice: what each costs, what it takes, how it looks at given prices."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mutualedge.plan.choice.problem import ChoiceProblem, Floats, Options


@dataclass(frozen=True, slots=True, kw_only=True)
class Moves:
    """Changes of one group each, an element per change.

    Attributes:
        groups: Who changes.
        options: To what.
        cost: By how much the choice gets dearer; negative if it gets cheaper.
        use: By how much it takes more of each row, shape (rows, moves).
    """

    groups: Options
    options: Options
    cost: Floats
    use: Floats

    def __len__(self) -> int:
        """How many there are."""
        return len(self.groups)

    def take(self, chosen: NDArray[np.bool_] | Options) -> "Moves":
        """Return some of them, in this order."""
        return Moves(
            groups=self.groups[chosen],
            options=self.options[chosen],
            cost=self.cost[chosen],
            use=self.use[:, chosen],
        )

    def worth(self, prices: Floats) -> Floats:
        """Return by how much each gets dearer once what it takes is paid for."""
        worth: Floats = self.cost + prices @ self.use
        return worth


def list_moves(problem: ChoiceProblem, options: Options) -> Moves:
    """Return every allowed change of a choice."""
    everyone = np.arange(problem.groups)
    change = problem.cost - problem.cost[everyone, options][:, None]
    possible = np.isfinite(change)
    possible[everyone, options] = False
    groups, others = np.nonzero(possible)
    return Moves(
        groups=groups,
        options=others,
        cost=change[groups, others],
        use=problem.use[:, groups, others] - problem.use[:, groups, options[groups]],
    )


def first_of_each_group(moves: Moves) -> Moves:
    """Return the first move of each group, in the order in which they stand."""
    _, first = np.unique(moves.groups, return_index=True)
    return moves.take(np.sort(first))
