from collections import Counter

import pytest

from mutualedge.app.demo.cast import REPORTING, TRADES
from mutualedge.app.demo.day import (
    DAY_S_MIN,
    HOURS,
    INVOCATIONS_MAX,
    TICK_S,
    Day,
    apportion,
    first_batches,
    plan_day,
    usual_invocations,
)
from mutualedge.errors import UsageError


def day_of(invocations: int, *, load: float = 1.0, seed: int = 1) -> Day:
    return plan_day(REPORTING, invocations=invocations, load=load, seed=seed)


@pytest.mark.parametrize("invocations", [1, 7, 430, 1_698])
@pytest.mark.parametrize("load", [0.5, 1.0, 2.0])
def test_a_day_has_exactly_so_many_invocations(invocations: int, load: float) -> None:
    """Rounding loses none and makes none, however long the day."""
    day = day_of(invocations, load=load)
    assert day.invocations == invocations
    assert sum(map(sum, day.ticks.values())) == invocations


def test_the_usual_day_is_the_profiles() -> None:
    """As many machines report in each tick as the profile of its hour says, and it takes 12 s."""
    day = day_of(usual_invocations(REPORTING, 1.0))
    assert day.length_s == 12.0
    for name, profile in REPORTING.items():
        assert day.ticks[name] == tuple(count for count in profile for _ in range(2))


def test_everybody_is_busiest_at_another_hour() -> None:
    """While one enterprise is at its peak both others are quiet, so roles change."""
    for name, profile in REPORTING.items():
        assert len(profile) == HOURS
        peak = [hour for hour in range(HOURS) if profile[hour] == max(profile)]
        others = [REPORTING[other] for other in TRADES if other != name]
        assert all(other[hour] < max(other) for other in others for hour in peak)


def test_load_changes_the_rate_and_invocations_the_length() -> None:
    """Twice the load halves the day of as many invocations; twice as many double it."""
    usual = usual_invocations(REPORTING, 1.0)
    assert day_of(2 * usual, load=2.0).length_s == day_of(usual).length_s
    assert day_of(2 * usual).length_s == 2 * day_of(usual).length_s
    assert usual_invocations(REPORTING, 2.0) == 2 * usual


def test_a_short_day_still_has_room_for_the_loss_of_a_node() -> None:
    """Few invocations are spread over the least length, and none comes after its end."""
    day = day_of(5)
    assert day.length_s == DAY_S_MIN
    assert all(turn.at_s < day.length_s for turns in day.turns.values() for turn in turns)


def test_a_seed_decides_the_arrivals() -> None:
    """The same seed gives the same moments, another one others."""
    assert day_of(430, seed=7) == day_of(430, seed=7)
    assert day_of(430, seed=7) != day_of(430, seed=8)


def test_turns_are_in_order_and_know_their_hour() -> None:
    """Each enterprise's machines report one after the other, each in the hour it is counted in."""
    day = day_of(430)
    for turns in day.turns.values():
        assert list(turns) == sorted(turns, key=lambda turn: turn.at_s)
        assert all(
            turn.hour == int(turn.at_s / TICK_S) * HOURS // round(day.length_s / TICK_S)
            for turn in turns
        )


def test_an_hour_begins_with_its_first_machines() -> None:
    """The node loses power when machines of that hour report, also where hours share no tick."""
    for invocations in (5, 430, 1_111):
        day = day_of(invocations)
        ticks = round(day.length_s / TICK_S)
        starts = [round(day.at_s(hour) / TICK_S) for hour in range(HOURS + 1)]
        assert (starts[0], starts[-1]) == (0, ticks)
        assert all((start - 1) * HOURS // ticks < hour for hour, start in enumerate(starts))
        assert all(start * HOURS // ticks >= hour for hour, start in enumerate(starts))


@pytest.mark.parametrize("invocations", [0, -1, INVOCATIONS_MAX + 1])
def test_days_out_of_range_are_refused(invocations: int) -> None:
    """No invocation, or more than one process keeps, is a usage error with its code."""
    with pytest.raises(UsageError) as refused:
        day_of(invocations)
    assert refused.value.code == "demo.invocations.range"


@pytest.mark.parametrize("load", [0.0, -1.0, 11.0, float("nan"), float("inf")])
def test_loads_out_of_range_are_refused(load: float) -> None:
    """A factor must be a number from a tenth to ten."""
    for plan in (lambda: day_of(430, load=load), lambda: usual_invocations(REPORTING, load)):
        with pytest.raises(UsageError) as refused:
            plan()
        assert refused.value.code == "demo.load.range"


def test_shares_are_whole_and_near_their_weight() -> None:
    """Each share differs by less than one from its exact part, and together they are the total."""
    weights = [1, 8, 0, 3, 3, 5]
    shares = apportion(weights, 101)
    assert sum(shares) == 101
    assert all(
        abs(share - 101 * weight / sum(weights)) < 1
        for share, weight in zip(shares, weights, strict=True)
    )


def test_series_come_first_and_take_turns() -> None:
    """A tick sends one batch of each series at most; who has sent least is next."""
    assert first_batches([1, 1, 3, 0], [9]) == [3]
    assert first_batches([1, 1, 1], [9, 9]) == [2, 1]
    assert first_batches([2, 2, 2], [1, 9]) == [1, 3]
    assert Counter(first_batches([5] * 4, [2, 2, 2])) == Counter({2: 3})
