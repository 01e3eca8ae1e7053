"""The coalitions of a size that save the largest share.

A joint peak is at least the joint load at any few times. So a coalition can save no more than its
load at some critical times allows; whoever cannot win by that is never looked at over the whole
year, and each whole look adds the time of its peak to the critical ones. What is found is proven
best, as long as all coalitions of the size can be listed; larger searches grow the best smaller
ones and exchange members, and say so.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from mutualedge.plan.coalition.partners import pair_shares
from mutualedge.plan.coalition.peaks import Floats, Profiles, saved_share

LISTED_MAX = 2_000_000
"""Coalitions that are listed one by one: five of 43, in some seconds and 100 MB."""

CRITICAL_TIMES = 48
"""Before the first look at a whole year: the busiest times of all, and of some pairs."""

STARTS = 8
"""Pairs from which a search that cannot list all begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coalition:
    """Members that share, by their index, and what that is worth.

    Attributes:
        share: Of what they need one by one, never bought.
        proven: Whether no other coalition of this size saves more.
    """

    members: tuple[int, ...]
    share: float
    proven: bool


def find_coalitions(profiles: Profiles, count: int) -> Iterator[Coalition]:
    """Yield coalitions without common members, best first, until too few are left.

    Args:
        profiles: All who might join.
        count: How many members a coalition has, from 2.

    Yields:
        The best of those who are left.
    """
    left = list(range(len(profiles.members)))
    while len(left) >= count:
        part = Profiles(
            members=tuple(profiles.members[each] for each in left),
            loads=profiles.loads[left],
            times=profiles.times,
        )
        found = best_coalition(part, count)
        members = tuple(left[each] for each in found.members)
        yield Coalition(members=members, share=found.share, proven=found.proven)
        left = [each for each in left if each not in members]


def best_coalition(profiles: Profiles, count: int) -> Coalition:
    """Return the coalition of this size that saves the largest share."""
    if comb(len(profiles.members), count) <= LISTED_MAX:
        return _best_listed(profiles, count)
    pairs = _best_pairs(profiles, STARTS)
    members = max(
        (_exchange(profiles, _grow(profiles, pair, count)) for pair in pairs),
        key=lambda each: saved_share(profiles, each),
    )
    return Coalition(members=members, share=saved_share(profiles, members), proven=False)


def _best_listed(profiles: Profiles, count: int) -> Coalition:
    everyone = range(len(profiles.members))
    listed = np.array(list(combinations(everyone, count)), dtype=np.int16)
    alone = _summed(profiles.peaks, listed)
    reached = np.zeros(len(listed))
    for time in _critical_times(profiles):
        np.maximum(reached, _summed(profiles.loads[:, time], listed), out=reached)
    best, share = None, -np.inf
    while True:
        hopes = 1 - np.divide(reached, alone, out=np.ones_like(alone), where=alone > 0)
        index = int(np.argmax(hopes))
        if best is not None and hopes[index] <= share:
            return Coalition(members=best, share=share, proven=True)
        members = tuple(int(each) for each in listed[index])
        joint = profiles.loads[list(members)].sum(axis=0)
        time = int(np.argmax(joint))
        np.maximum(reached, _summed(profiles.loads[:, time], listed), out=reached)
        if (saved := saved_share(profiles, members)) > share:
            best, share = members, saved
        # Its own load is known exactly now, so that it is not looked at again.
        reached[index] = np.inf


def _summed(values: Floats, listed: NDArray[np.int16]) -> Floats:
    total = values[listed[:, 0]].copy()
    for column in range(1, listed.shape[1]):
        total += values[listed[:, column]]
    return total


def _critical_times(profiles: Profiles) -> list[int]:
    """Return times at which many are busy together, and the peaks of each alone."""
    shares = profiles.loads / np.maximum(profiles.peaks, 1e-300)[:, None]
    busiest = np.argsort(shares.sum(axis=0))[-CRITICAL_TIMES:]
    return sorted({*busiest.tolist(), *profiles.loads.argmax(axis=1).tolist()})


def _best_pairs(profiles: Profiles, starts: int) -> list[tuple[int, ...]]:
    shares = np.triu(pair_shares(profiles), 1)
    order = np.argsort(shares, axis=None)[::-1][:starts]
    return [divmod(int(index), len(profiles.members)) for index in order]


def _grow(profiles: Profiles, members: tuple[int, ...], count: int) -> tuple[int, ...]:
    while len(members) < count:
        members = _best(profiles, [(*members, each) for each in _others(profiles, members)])
    return members


def _exchange(profiles: Profiles, members: tuple[int, ...]) -> tuple[int, ...]:
    """Replace one member at a time as long as that saves more."""
    while True:
        swaps = [
            (*(each for each in members if each != leaver), joiner)
            for leaver in members
            for joiner in _others(profiles, members)
        ]
        better = _best(profiles, [members, *swaps])
        if better == members:
            return tuple(sorted(members))
        members = better


def _others(profiles: Profiles, members: tuple[int, ...]) -> list[int]:
    return [each for each in range(len(profiles.members)) if each not in members]


def _best(profiles: Profiles, candidates: list[tuple[int, ...]]) -> tuple[int, ...]:
    return max(candidates, key=lambda each: saved_share(profiles, each))
