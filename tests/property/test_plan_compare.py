"""Strategies side by side: whose money is whose, and which can never be the dearer one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mutualedge.plan.comparing import (
    Slot,
    at_load,
    compare,
    compromises,
    known_shape,
    shape_names,
)
from mutualedge.plan.generation import Draw, generate
from mutualedge.plan.plans import Costs, Plan
from mutualedge.plan.scenario import Scenario
from mutualedge.plan.solving import solve, split_costs
from mutualedge.plan.strategies import Strategy
from tests.property.planning import Calm, scenarios


@given(scenarios(), st.sampled_from(Strategy))
@settings(max_examples=80, deadline=None)
def test_what_enterprises_pay_is_what_the_plan_costs(
    scenario: Scenario, strategy: Strategy
) -> None:
    """Part by part the enterprises' money adds up to the plan's, and nobody lends to itself."""
    plan = solve(scenario, strategy, watch=Calm())
    if not isinstance(plan, Plan):
        return
    split = split_costs(scenario, plan)
    assert set(split.costs) == {each.name for each in scenario.enterprises}
    total = Costs.add(split.costs.values())
    for part in Costs.__struct_fields__:
        assert getattr(total, part) == pytest.approx(getattr(plan.cost, part), abs=1e-9)
    assert all(home != owner for home, owner in (each.split(">") for each in split.lent))
    if not strategy.lends:
        assert split.lent == {}


@given(st.floats(0.05, 3), st.integers(0, 50))
@settings(max_examples=40, deadline=None)
def test_a_load_is_what_was_asked_for(load: float, seed: int) -> None:
    """Stretching periods gives the load, whatever it was before; no load means no tasks."""
    scenario = generate(Draw(tasks=12, load=0.4, seed=seed))
    at = at_load(scenario, Slot(name="x", loads={"e1": load}))
    tasks = at.enterprises[0].tasks
    assert sum(task.wcet_ms / task.period_ms for task in tasks) == pytest.approx(load, rel=1e-4)
    idle = at_load(scenario, Slot(name="x", loads={"e1": 0.0}))
    assert idle.enterprises[0].tasks == ()


def test_mutual_is_never_dearer_than_hybrid_nor_hybrid_than_private_with_as_many_nodes() -> None:
    """Whoever may do more cannot fare worse; Private buys what its busiest slot asks for."""
    scenario = generate(Draw(tasks=10, load=0.5, enterprises=2, memory_share=0.5, seed=2))
    shapes = [known_shape(name) for name in ("bakery", "evening")]
    slots = [
        Slot(
            name=str(hour), loads={f"e{i + 1}": 1.3 * (s or ())[hour] for i, s in enumerate(shapes)}
        )
        for hour in range(0, 24, 4)
    ]
    told = compare(scenario, slots, watch=Calm())
    totals = {total.strategy: total for total in told.totals}
    assert all(total.feasible for total in told.totals)
    assert totals[Strategy.PRIVATE].copies == 2
    private, hybrid, mutual = (
        totals[each].usd_month or 0.0
        for each in (Strategy.PRIVATE, Strategy.HYBRID, Strategy.MUTUAL)
    )
    assert mutual <= hybrid * (1 + 1e-4)
    assert hybrid < private
    assert totals[Strategy.PRIVATE].enterprises["e1"].cost.hardware_usd_month == pytest.approx(
        2 * 2000 / 36.5
    )
    for row in told.slots:
        parts = sum(share.usd_month for share in row.enterprises.values())
        assert parts == pytest.approx(row.usd_month)
        earned = [share.mileage_microcredits_month for share in row.enterprises.values()]
        assert sum(earned) == pytest.approx(0, abs=1e-3)


def test_what_cannot_be_is_said_and_costs_nothing() -> None:
    """Where a strategy has no plan there is no money, but a reason."""
    scenario = generate(Draw(tasks=3, load=0.9, memory_share=0.5, seed=1))
    told = compare(
        scenario,
        [Slot(name="peak", loads={"e1": 40.0})],
        watch=Calm(),
        strategies=(Strategy.PRIVATE,),
    )
    (total,) = told.totals
    assert not total.feasible
    assert total.usd_month is None
    assert "peak" in total.reason


def test_every_shape_peaks_once_and_never_rests() -> None:
    """Built-in shapes are shares of their peak, above zero, over a day or a year."""
    for name in shape_names():
        shape = known_shape(name)
        assert shape is not None
        assert max(shape) == pytest.approx(1)
        assert min(shape) > 0
        assert len(shape) in {12, 24}
    assert known_shape("no such shape") is None


def test_less_energy_never_costs_less() -> None:
    """By rising energy the money falls; the cheapest of all is the plan itself."""
    scenario = generate(Draw(tasks=12, load=1.2, memory_share=0.5, seed=4))
    found = compromises(scenario, Strategy.HYBRID, watch=Calm())
    assert len(found) >= 2
    energies = [each.energy_kwh_month for each in found]
    money = [each.usd_month for each in found]
    assert energies == sorted(energies)
    assert money == sorted(money, reverse=True)
    plan = solve(scenario, Strategy.HYBRID, watch=Calm())
    assert isinstance(plan, Plan)
    assert money[-1] == pytest.approx(plan.objective_usd_month, rel=1e-4)
