"""Clocks that step between two starts, and outages longer than anybody may claim in."""

import pytest

from tests.simulation.scenarios import simulate
from tests.simulation.world import ClockStep, Plan

SEEDS = (3, 6)
EVERYBODY = ("hub", "candy", "forge", "harbour")
FROM_HOUR, TO_HOUR = 11, 14
"""Around the end of the day's second leases: what was lent must be settled meanwhile."""


def wrong(ahead_hours: float, *names: str) -> tuple[ClockStep, ...]:
    """Return that these restart with a wrong clock, and later with the right one."""
    return tuple(
        step
        for who in names
        for step in (
            ClockStep(who=who, at_hour=FROM_HOUR, ahead_hours=ahead_hours),
            ClockStep(who=who, at_hour=TO_HOUR),
        )
    )


CASES = {
    "a node set back": (wrong(-5, "forge"), "ledger.block.ahead"),
    "a node a day ahead": (wrong(24, "forge"), ""),
    "the hub set back": (wrong(-5, "hub"), "clock.behind"),
    "the hub ahead": (wrong(3, "hub"), "ledger.block.ahead"),
    "everybody set back": (wrong(-5, *EVERYBODY), "clock.behind"),
    "everybody a day ahead": (wrong(24, *EVERYBODY), "clock.behind"),
    "the hub away": ((ClockStep(who="hub", at_hour=4, down_hours=8),), "ledger.resumed"),
    "everybody away": (
        tuple(ClockStep(who=who, at_hour=5, down_hours=8) for who in EVERYBODY),
        "ledger.resumed",
    ),
}
"""What happens, and what at least one process must have said about it."""


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("case", CASES)
def test_no_step_of_a_clock_loses_or_doubles_anything(case: str, seed: int) -> None:
    """What was earned is posted, within W, and proved; whoever is affected names the clock."""
    steps, said = CASES[case]
    result = simulate(Plan(seed=seed, is_driven=True, steps=steps))
    assert not result.failure, f"seed {seed}: {result.failure}"
    assert result.counts["clock stepped"] == len(steps)
    assert not said or result.counts.get(said), f"nobody said {said}"
