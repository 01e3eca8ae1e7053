"""Two changes at once: what one gives up of the rows, the other puts to better use."""

from collections.abc import Callable, Iterator

import numpy as np

from mutualedge.plan.choice.moves import Moves, list_moves
from mutualedge.plan.choice.problem import ChoiceProblem, Floats, Options

PAIRED_MAX = 400
"""Moves that are tried with each other: 160,000 pairs, some 3 ms a row."""

SWAP_ROUNDS_MAX = 40

WISHES_MAX = 8
"""Groups that rounding left where prices would not have them, tried anew with a pair each."""

LEAST_GAIN = 1e-13
"""Relative; less is the rounding of sums."""


def swap(
    problem: ChoiceProblem, options: Options, prices: Floats, is_enough: Callable[[float], bool]
) -> Options:
    """Return a choice that holds and costs no more, after the best pairs of changes.

    Args:
        problem: What to choose from.
        options: A choice that holds.
        prices: What a unit of each row is worth; the moves that lose least by them are paired.
        is_enough: Tells whether a choice of this cost is good enough, or the time over.
    """
    cost_usd = problem.cost_of(options)
    for _ in range(SWAP_ROUNDS_MAX):
        if is_enough(cost_usd):
            break
        better = next(_improvements(problem, options, prices, cost_usd), None)
        if better is None:
            break
        options, cost_usd = better, problem.cost_of(better)
    return options


def _improvements(
    problem: ChoiceProblem, options: Options, prices: Floats, cost_usd: float
) -> Iterator[Options]:
    """Yield cheaper choices that hold: a pair of changes away, or a wish and the pair it takes."""
    for wished in (options, *_wishes(problem, options, prices)):
        changed = _best_pair(problem, wished, prices)
        if changed is None or not problem.holds(changed):
            continue
        if problem.cost_of(changed) < cost_usd - LEAST_GAIN * abs(cost_usd):
            yield changed


def _wishes(problem: ChoiceProblem, options: Options, prices: Floats) -> Iterator[Options]:
    """Yield this choice with one group as it would be at these prices, most worth first."""
    moves = list_moves(problem, options)
    worth = moves.worth(prices)
    for index in np.argsort(worth)[:WISHES_MAX]:
        if worth[index] >= 0:
            break
        wished = options.copy()
        wished[moves.groups[index]] = moves.options[index]
        yield wished


def _best_pair(problem: ChoiceProblem, options: Options, prices: Floats) -> Options | None:
    """Return the choice that holds after the two changes that save most, or after one alone."""
    slack = problem.capacity - problem.use_of(options)
    moves = _promising(problem, options, prices)
    if not len(moves):
        return None
    gain = -(moves.cost[:, None] + moves.cost[None, :])
    fits = moves.groups[:, None] != moves.groups[None, :]
    # The diagonal stands for one move alone.
    np.fill_diagonal(gain, -moves.cost)
    for row, left in enumerate(slack):
        together = moves.use[row][:, None] + moves.use[row][None, :]
        np.fill_diagonal(together, moves.use[row])
        fits &= together <= left
    np.fill_diagonal(fits, (moves.use <= slack[:, None]).all(axis=0))
    gain[~fits] = -np.inf
    best = int(np.argmax(gain))
    if gain.flat[best] == -np.inf:
        return None
    changed = options.copy()
    for index in np.unravel_index(best, gain.shape):
        changed[moves.groups[index]] = moves.options[index]
    return changed


def _promising(problem: ChoiceProblem, options: Options, prices: Floats) -> Moves:
    """Return the moves that lose least once rows are paid for."""
    moves = list_moves(problem, options)
    if len(moves) <= PAIRED_MAX:
        return moves
    least = np.argpartition(moves.worth(prices), PAIRED_MAX)[:PAIRED_MAX]
    return moves.take(least)
