"""From prices to a choice that holds: relieve what is overdrawn, then spend what is left.

Both go by the same price: what a change costs beyond what its use of the rows is worth.
"""

import numpy as np

from mutualedge.plan.choice.moves import Moves, first_of_each_group, list_moves
from mutualedge.plan.choice.problem import ChoiceProblem, Floats, Options

RELIEF_ROUNDS_MAX = 60
FILL_ROUNDS_MAX = 40
DEARER = 1.15
"""Factor on the price of a row each time it has to be relieved: what moves in circles stops."""

LEAST = 1e-300


def relieve(problem: ChoiceProblem, options: Options, prices: Floats) -> Options | None:
    """Return a choice near this one that holds, or None if none was found.

    Args:
        problem: What to choose from.
        options: A choice that may overdraw rows.
        prices: What a unit of each row is worth.
    """
    options, prices = options.copy(), prices + _least_prices(problem, prices)
    for _ in range(RELIEF_ROUNDS_MAX):
        over = problem.use_of(options) - problem.capacity
        if (over <= 0).all():
            return options
        row = int(np.argmax(over / _size(problem.capacity)))
        moves = _relieving(problem, options, prices, row, over)
        if not len(moves):
            return None
        relief = np.cumsum(-moves.use[row])
        count = int(np.searchsorted(relief, over[row])) + 1
        options[moves.groups[:count]] = moves.options[:count]
        prices[row] *= DEARER
    return None


def _relieving(
    problem: ChoiceProblem, options: Options, prices: Floats, row: int, over: Floats
) -> Moves:
    """Return what takes less of a row, least worth per relief first, one move per group."""
    moves = list_moves(problem, options)
    burdens_others = (moves.use > np.maximum(-over, 0)[:, None]).any(axis=0)
    moves = moves.take((moves.use[row] < 0) & ~burdens_others)
    price = np.maximum(moves.worth(prices) + prices[row] * -moves.use[row], 0.0)
    # Equal prices are frequent, as levels have the same slope for all tasks: small moves first.
    order = np.lexsort((-moves.use[row], price / -moves.use[row]))
    return first_of_each_group(moves.take(order))


def fill(
    problem: ChoiceProblem, options: Options, prices: Floats, rounds: int = FILL_ROUNDS_MAX
) -> Options:
    """Return a choice that holds and costs no more: what is left is spent where it saves most.

    Args:
        problem: What to choose from.
        options: A choice that holds.
        prices: What a unit of each row is worth.
        rounds: How often to look for what still fits.
    """
    options = options.copy()
    for _ in range(rounds):
        slack = problem.capacity - problem.use_of(options)
        moves = _cheapening(problem, options, prices, slack)
        if not len(moves):
            break
        fits = (np.cumsum(moves.use, axis=1) <= slack[:, None]).all(axis=0)
        count = len(moves) if fits.all() else int(np.argmin(fits))
        changed = options.copy()
        changed[moves.groups[:count]] = moves.options[:count]
        # Sums in another order differ in their last digits.
        while count and not problem.holds(changed):
            count -= 1
            changed[moves.groups[count]] = options[moves.groups[count]]
        if not count:
            break
        options = changed
    return options


def _cheapening(problem: ChoiceProblem, options: Options, prices: Floats, slack: Floats) -> Moves:
    """Return what saves money and fits, most saving per worth of rows first."""
    moves = list_moves(problem, options)
    moves = moves.take((moves.cost < 0) & (moves.use <= slack[:, None]).all(axis=0))
    taken = np.maximum(prices @ moves.use, 0.0)
    order = np.lexsort((moves.cost, moves.cost / np.maximum(taken, LEAST)))
    return first_of_each_group(moves.take(order))


def _least_prices(problem: ChoiceProblem, prices: Floats) -> Floats:
    """Return a trifle for each row, so that a row without a price can become dearer."""
    spread = np.nanmax(np.where(np.isfinite(problem.cost), problem.cost, np.nan))
    trifle: Floats = np.where(prices > 0, 0.0, 1e-6 * max(float(spread), 1e-9))
    return trifle / _size(problem.capacity)


def _size(capacity: Floats) -> Floats:
    size: Floats = np.maximum(np.abs(capacity), 1e-9)
    return size
