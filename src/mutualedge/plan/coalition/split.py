"""Who gets which part of what a coalition saves.

Shapley 1953: each is paid what it adds on average, over all orders of joining. The core: no
group inside would do better alone; where Shapley's split lies outside it, that is said.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import factorial

from mutualedge.plan.coalition.peaks import Profiles, joint_peak

MEMBERS_MAX = 12
"""Every group inside is looked at: 4,096 of them."""

ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """What each member of a coalition never buys.

    Attributes:
        saved: By each member, in the order asked, in the unit of the loads.
        stable: Whether no group inside saves more alone than it is given.
        tempted: The group with the most to gain from leaving; empty if none has.
    """

    saved: tuple[float, ...]
    stable: bool
    tempted: tuple[int, ...]


def split_fairly(profiles: Profiles, members: Sequence[int]) -> Split:
    """Return Shapley's split of what these members save together.

    Raises:
        ValueError: There are more members than can be looked at in every group.
    """
    if len(members) > MEMBERS_MAX:
        message = f"{len(members)} members; at most {MEMBERS_MAX} can share by Shapley's rule"
        raise ValueError(message)
    worth = _worths(profiles, members)
    saved = tuple(_shapley(worth, members, each) for each in members)
    given = dict(zip(members, saved, strict=True))
    gains = {group: value - sum(given[each] for each in group) for group, value in worth.items()}
    tempted = max(gains, key=lambda group: gains[group])
    stable = gains[tempted] <= ROUNDING * max(worth[frozenset(members)], 1.0)
    return Split(saved=saved, stable=stable, tempted=() if stable else tuple(sorted(tempted)))


def _worths(profiles: Profiles, members: Sequence[int]) -> dict[frozenset[int], float]:
    """Return what each group inside saves; a group of one saves nothing."""
    peaks = profiles.peaks
    return {
        frozenset(group): float(peaks[list(group)].sum()) - joint_peak(profiles, group)
        for size in range(1, len(members) + 1)
        for group in combinations(members, size)
    }


def _shapley(worth: dict[frozenset[int], float], members: Sequence[int], member: int) -> float:
    others = [each for each in members if each != member]
    total = 0.0
    for size in range(len(others) + 1):
        orders = factorial(size) * factorial(len(others) - size)
        for group in combinations(others, size):
            before = worth.get(frozenset(group), 0.0)
            total += orders * (worth[frozenset((*group, member))] - before)
    return total / factorial(len(members))
