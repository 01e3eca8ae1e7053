"""Slots that share a settlement: balanced over all of them, near a bound that no plans undercut."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mutualedge.model import Microcredits
from mutualedge.plan.checking import check_period
from mutualedge.plan.choice import Choice, ChoiceProblem, choose
from mutualedge.plan.comparing import Slot, at_load, compare, known_shape
from mutualedge.plan.generation import Draw, generate
from mutualedge.plan.options import (
    lent_shares,
    list_options,
    microcredits_processor_month,
    pose_problem,
)
from mutualedge.plan.period import PeriodPlan, solve_period
from mutualedge.plan.plans import NoPlan
from mutualedge.plan.scenario import Scenario
from mutualedge.plan.solving import fixed_costs
from mutualedge.plan.strategies import Strategy
from tests.property.planning import Calm, scenarios

SHAPES = ("bakery", "logistics", "evening")


def limited(scenario: Scenario, limit: int | None) -> Scenario:
    """Return a scenario with this limit of imbalance."""
    allowed = None if limit is None else Microcredits(limit)
    tariff = msgspec.structs.replace(scenario.tariff, imbalance_max_microcredits=allowed)
    return msgspec.structs.replace(scenario, tariff=tariff)


def day(scenario: Scenario, load: float, hours: range = range(0, 24, 6)) -> list[Scenario]:
    """Return some hours of a day in which each enterprise is busy at another time."""
    shapes = [known_shape(name) or () for name in SHAPES]
    names = [each.name for each in scenario.enterprises]
    return [
        at_load(
            scenario,
            Slot(
                name=str(hour),
                loads={
                    name: load * shape[hour] for name, shape in zip(names, shapes, strict=False)
                },
            ),
        )
        for hour in hours
    ]


def least_usd_month(slots: list[Scenario]) -> float:
    """Return what an integer program over all slots at once comes to, windows left aside."""
    problems = [pose_problem(list_options(limited(each, None))) for each in slots]
    lent = [lent_shares(list_options(each)) for each in slots]
    groups = [each.groups for each in problems]
    width = max(each.cost.shape[1] for each in problems)
    cost = np.full((sum(groups), width), np.inf)
    rows = [len(each.capacity) for each in problems]
    enterprises = len(slots[0].enterprises)
    use = np.zeros((sum(rows) + 2 * enterprises, sum(groups), width))
    at_group = at_row = 0
    for problem, shares in zip(problems, lent, strict=True):
        mine = slice(at_group, at_group + problem.groups)
        wide = problem.cost.shape[1]
        cost[mine, :wide] = problem.cost
        use[at_row : at_row + len(problem.capacity), mine, :wide] = problem.use
        use[sum(rows) : sum(rows) + enterprises, mine, :wide] = shares
        use[sum(rows) + enterprises :, mine, :wide] = -shares
        at_group, at_row = at_group + problem.groups, at_row + len(problem.capacity)
    limit = slots[0].tariff.imbalance_max_microcredits
    assert limit is not None
    whole = len(slots) * limit / microcredits_processor_month(slots[0].tariff)
    capacity = np.concatenate([*(each.capacity for each in problems), [whole] * 2 * enterprises])
    found = choose(ChoiceProblem(cost=cost, use=use, capacity=capacity), gap=1e-9, watch=Calm())
    fixed = sum(fixed_costs(each).usd_month for each in slots)
    return (found.cost_usd + fixed) / len(slots) if isinstance(found, Choice) else np.inf


@given(scenarios(), st.integers(0, 10**10), st.sampled_from((0.5, 1.0, 2.0)))
@settings(max_examples=60, deadline=None)
def test_no_plans_undercut_the_bound_and_all_rules_hold(
    scenario: Scenario, limit: int, load: float
) -> None:
    """An integer program over all slots lies between bound and objective; the check agrees."""
    now = [
        Slot(name=str(number), loads={each.name: load * (number + 1) / 2 for each in names})
        for number in range(2)
        for names in [scenario.enterprises]
    ]
    slots = [at_load(limited(scenario, limit), slot) for slot in now]
    found = solve_period(slots, watch=Calm())
    if isinstance(found, NoPlan):
        assert all(reason.sentence for reason in found.reasons)
        return
    assert check_period(slots, found.plans) == ()
    best = least_usd_month(slots)
    assert found.bound_usd_month <= best * (1 + 1e-9) + 1e-9
    assert found.objective_usd_month >= best * (1 - 1e-9) - 1e-9


@pytest.mark.parametrize("limit", [None, 10**10, 10**8])
def test_many_tasks_are_planned_near_the_bound(limit: int | None) -> None:
    """Three enterprises busy at different times: a thousandth of the cost at the most."""
    scenario = generate(Draw(tasks=60, load=0.5, enterprises=3, seed=3))
    slots = day(limited(scenario, limit), 1.2)
    found = solve_period(slots, watch=Calm())
    assert isinstance(found, PeriodPlan), found
    assert found.gap <= 1e-3
    assert check_period(slots, found.plans) == ()
    assert sum(found.mileage.values()) == pytest.approx(0, abs=1)


def test_less_imbalance_is_never_cheaper() -> None:
    """A tighter limit takes plans away, and gives none."""
    scenario = generate(Draw(tasks=40, load=0.5, enterprises=3, seed=4))
    bounds = []
    for limit in (10**11, 10**10, 10**9):
        found = solve_period(day(limited(scenario, limit), 1.2), watch=Calm(), gap=1e-4)
        assert isinstance(found, PeriodPlan), found
        bounds.append(found.bound_usd_month)
    assert bounds == sorted(bounds)


def test_a_slot_may_be_out_of_balance_and_the_period_not() -> None:
    """Who lends in the morning and borrows at night owes nothing in the end."""
    scenario = limited(generate(Draw(tasks=30, load=0.5, enterprises=2, seed=5)), 10**9)
    shapes = [known_shape(name) or () for name in ("bakery", "evening")]
    slots = [
        Slot(
            name=str(hour), loads={f"e{i + 1}": 1.3 * shape[hour] for i, shape in enumerate(shapes)}
        )
        for hour in range(0, 24, 4)
    ]
    told = compare(scenario, slots, watch=Calm(), strategies=(Strategy.MUTUAL,))
    (total,) = told.totals
    assert total.feasible, total.reason
    for share in total.enterprises.values():
        assert abs(share.mileage_microcredits_month) <= 10**9
    worst = max(
        abs(share.mileage_microcredits_month)
        for row in told.slots
        for share in row.enterprises.values()
    )
    assert worst > 10**9


def test_what_cannot_be_in_one_slot_is_told() -> None:
    """The slot's own reasons, as if it were alone."""
    drawn = generate(Draw(tasks=10, load=0.5, enterprises=2, seed=6))
    scenario = limited(msgspec.structs.replace(drawn, clouds=()), 10**9)
    found = solve_period(day(scenario, 30.0, range(0, 24, 12)), watch=Calm())
    assert isinstance(found, NoPlan)
    assert found.reasons
