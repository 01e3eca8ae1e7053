"""Plans: never wrong, never dearer than the best of all, and their deadlines met when replayed."""

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mutualedge.plan.checking import check
from mutualedge.plan.edf import simulate
from mutualedge.plan.generation import Draw, generate
from mutualedge.plan.options import OptionTable, list_options
from mutualedge.plan.plans import NoPlan, Plan
from mutualedge.plan.scenario import Enterprise, Node, Scenario
from mutualedge.plan.solving import assemble, list_jobs, solve
from mutualedge.plan.strategies import Strategy
from tests.property.planning import Calm, scenarios

EVERY_PLAN_MAX = 6_000
REPLAYED_US = 30_000_000
RESERVED = 2e-3
"""What a processor may keep free so that its deadlines can be proven, and what that may cost."""


def every_plan(table: OptionTable) -> list[Plan]:
    """Return each combination of options as a plan that claims to be the best."""
    count = sum(len(block.enterprise.tasks) for block in table.blocks)
    columns = range(len(table.columns.columns))
    return [
        assemble(table, np.array(options, np.intp), bound_usd_month=-np.inf, method="drawn")
        for options in product(columns, repeat=count)
    ]


def is_small(scenario: Scenario) -> bool:
    table = list_options(scenario)
    count = sum(len(block.enterprise.tasks) for block in table.blocks)
    columns = len(table.columns.columns)
    return columns > 0 and float(columns) ** count <= EVERY_PLAN_MAX


@given(scenarios().filter(is_small))
@settings(max_examples=40, deadline=None)
def test_no_plan_is_cheaper(scenario: Scenario) -> None:
    """Among all plans that the independent check accepts none costs less; without any, none is."""
    plans = [each for each in every_plan(list_options(scenario)) if not check(scenario, each)]
    best = min((each.objective_usd_month for each in plans), default=np.inf)
    found = solve(scenario, watch=Calm())
    if isinstance(found, NoPlan):
        assert found.proven
        assert found.reasons
        assert best == np.inf
        return
    allowed = 1e-6 if not found.reasons else RESERVED
    assert found.bound_usd_month <= best * (1 + allowed)
    assert found.objective_usd_month <= best * (1 + allowed) + 1e-9


@given(scenarios(), st.sampled_from(Strategy))
@settings(max_examples=100, deadline=None)
def test_what_is_planned_holds(scenario: Scenario, strategy: Strategy) -> None:
    """Check and replay agree with every plan, whatever the strategy; reasons are told otherwise."""
    found = solve(scenario, strategy, watch=Calm())
    if isinstance(found, NoPlan):
        assert all(reason.sentence for reason in found.reasons)
        return
    assert check(scenario, found) == ()
    assert found.strategy is strategy
    assert abs(found.cost.usd_month - found.objective_usd_month) < 1e-9
    for jobs in list_jobs(scenario, found):
        run = simulate(jobs.tasks, REPLAYED_US, compiled=False)
        assert run.misses == ()


@given(
    st.builds(
        Draw,
        kind=st.sampled_from(("published", "uunifast")),
        tasks=st.integers(1, 60),
        load=st.sampled_from((0.05, 0.5, 0.9, 1.0, 1.3)),
        enterprises=st.integers(1, 2),
        memory_share=st.sampled_from((0.5, 1.2)),
        deadline_ratio_min=st.sampled_from((1.0, 0.5, 0.1)),
        seed=st.integers(0, 10_000),
    ),
    st.sampled_from(Strategy),
)
@settings(max_examples=40, deadline=None)
def test_invented_factories_are_planned(draw: Draw, strategy: Strategy) -> None:
    """Of larger scenarios too every plan holds, and the gap is what it says."""
    scenario = generate(draw)
    found = solve(scenario, strategy, watch=Calm(2.0), gap=1e-4)
    if isinstance(found, Plan):
        assert check(scenario, found) == ()
        assert 0 <= found.gap <= 1
        assert found.bound_usd_month <= found.objective_usd_month


def test_nothing_to_do_costs_what_stands_there() -> None:
    """Without tasks the plan is empty and costs what the nodes cost anyway."""
    scenario = Scenario(enterprises=(Enterprise(name="idle", nodes=(Node(name="oven"),)),))
    found = solve(scenario, watch=Calm())
    assert isinstance(found, Plan)
    assert found.choices == ()
    assert found.gap == 0
    assert check(scenario, found) == ()
