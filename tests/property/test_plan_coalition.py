"""Coalitions: the best of all, a split that adds up, and partners that are everybody's best."""

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mutualedge.plan.coalition import (
    Profiles,
    best_partners,
    find_coalitions,
    joint_peak,
    saved_share,
    split_fairly,
    validate_coalition,
)


@st.composite
def profiles(draw: st.DrawFn) -> Profiles:
    members, times = draw(st.integers(2, 6)), draw(st.integers(2, 10))
    loads = [[draw(st.integers(0, 20)) for _ in range(times)] for _ in range(members)]
    return Profiles(
        members=tuple(f"m{each}" for each in range(members)),
        loads=np.array(loads, float),
        times=tuple(str(each) for each in range(times)),
    )


@given(profiles(), st.integers(2, 4))
@settings(max_examples=150, deadline=None)
def test_no_coalition_of_its_size_saves_more(drawn: Profiles, count: int) -> None:
    """The first one is the best of all of its size; none shares a member with another."""
    found = list(find_coalitions(drawn, count))
    everyone = range(len(drawn.members))
    assert len(found) == len(drawn.members) // count
    if found:
        best = max(saved_share(drawn, each) for each in combinations(everyone, count))
        assert found[0].proven
        assert found[0].share == pytest.approx(best, abs=1e-12)
    seen = [member for each in found for member in each.members]
    assert len(seen) == len({*seen})


@given(profiles())
@settings(max_examples=100, deadline=None)
def test_the_split_is_shapleys_and_adds_up(drawn: Profiles) -> None:
    """Each is given what it adds on average over all orders; all together what is saved."""
    members = tuple(range(min(4, len(drawn.members))))
    split = split_fairly(drawn, members)

    def worth(group: tuple[int, ...]) -> float:
        return float(drawn.peaks[list(group)].sum()) - joint_peak(drawn, group) if group else 0.0

    orders = list(permutations(members))
    for position, member in enumerate(members):
        added = [
            worth(order[: order.index(member) + 1]) - worth(order[: order.index(member)])
            for order in orders
        ]
        assert split.saved[position] == pytest.approx(sum(added) / len(orders), abs=1e-9)
    assert sum(split.saved) == pytest.approx(worth(members), abs=1e-9)
    given_to = dict(zip(members, split.saved, strict=True))
    groups = [g for size in range(1, len(members) + 1) for g in combinations(members, size)]
    gains = {group: worth(group) - sum(given_to[each] for each in group) for group in groups}
    assert split.stable == (max(gains.values()) <= 1e-9 * max(worth(members), 1.0))


@given(profiles())
@settings(max_examples=60, deadline=None)
def test_a_best_partner_is_nobody_else(drawn: Profiles) -> None:
    """No other partner saves a larger share."""
    for member, partner in enumerate(best_partners(drawn)):
        assert partner != member
        others = [each for each in range(len(drawn.members)) if each != member]
        best = max(saved_share(drawn, (member, each)) for each in others)
        assert saved_share(drawn, (member, int(partner))) == pytest.approx(best, abs=1e-12)


def test_a_promise_that_is_not_kept_is_told() -> None:
    """Peaks apart while choosing, together afterwards: nothing is saved, and it is too little."""
    loads = np.array([[4.0, 0.0, 4.0, 1.0], [0.0, 4.0, 4.0, 1.0]])
    drawn = Profiles(members=("a", "b"), loads=loads, times=("1", "2", "3", "4"))
    judged = validate_coalition(drawn, (0, 1), 2)
    assert judged.promised_share == 0.5
    assert judged.kept_share == 0.0
    assert judged.short_share == 0.5
    assert judged.short_most == 1.0
