"""The choice solver against every possible choice, and its promises on larger problems."""

from dataclasses import replace
from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mutualedge.plan.choice import Choice, ChoiceProblem, NoChoice, choose
from tests.property.planning import Calm

GROUPS_MAX, OPTIONS_MAX, ROWS_MAX = 6, 4, 3


@st.composite
def problems(draw: st.DrawFn) -> ChoiceProblem:
    """Draw small problems: forbidden options, rows that others relieve, ties everywhere."""
    groups, options = draw(st.integers(1, GROUPS_MAX)), draw(st.integers(1, OPTIONS_MAX))
    rows = draw(st.integers(1, ROWS_MAX))
    costs = st.integers(0, 40).map(lambda cents: cents / 8) | st.just(np.inf)
    uses = st.integers(-2, 12).map(lambda parts: parts / 16)
    cost = [[draw(costs) for _ in range(options)] for _ in range(groups)]
    use = [[[draw(uses) for _ in range(options)] for _ in range(groups)] for _ in range(rows)]
    capacity = [draw(st.integers(0, 16)) / 8 for _ in range(rows)]
    return ChoiceProblem(cost=np.array(cost), use=np.array(use), capacity=np.array(capacity))


def cheapest(problem: ChoiceProblem) -> float:
    """Return what the best of all choices that hold costs; infinite without any."""
    groups, options = problem.cost.shape
    every = (np.array(each, np.intp) for each in product(range(options), repeat=groups))
    return min((problem.cost_of(each) for each in every if problem.holds(each)), default=np.inf)


@given(problems())
@settings(max_examples=300, deadline=None)
def test_no_choice_is_better_and_the_bound_is_true(problem: ChoiceProblem) -> None:
    """What is found holds and is the best; where nothing is found, nothing holds."""
    best = cheapest(problem)
    found = choose(problem, gap=1e-9, watch=Calm())
    if isinstance(found, NoChoice):
        assert found.proven
        assert best == np.inf
        return
    assert problem.holds(found.options)
    assert found.cost_usd == problem.cost_of(found.options)
    assert found.bound_usd <= best + 1e-9
    assert abs(found.cost_usd - best) <= 1e-8 * max(best, 1.0)


@given(problems())
@settings(max_examples=200, deadline=None)
def test_who_is_named_in_a_conflict_conflicts(problem: ChoiceProblem) -> None:
    """The groups that are named cannot hold together, and any of them fewer can."""
    found = choose(problem, gap=1e-9, watch=Calm())
    if isinstance(found, Choice):
        return
    named = list(found.groups)
    assert cheapest(only(problem, named)) == np.inf
    for group in named:
        assert np.isfinite(cheapest(only(problem, [each for each in named if each != group])))


def only(problem: ChoiceProblem, groups: list[int]) -> ChoiceProblem:
    """Return the problem of these groups alone."""
    return replace(problem, cost=problem.cost[groups], use=problem.use[:, groups])


@given(problems(), st.floats(0, 2), st.sampled_from((0.25, 8.0)))
@settings(max_examples=100, deadline=None)
def test_more_capacity_never_costs_more_and_scale_does_not_matter(
    problem: ChoiceProblem, more: float, scale: float
) -> None:
    """Capacity added cannot hurt; money and rows in other units change nothing but the numbers."""
    found = choose(problem, gap=1e-9, watch=Calm())
    if isinstance(found, NoChoice):
        return
    wider = choose(replace(problem, capacity=problem.capacity + more), gap=1e-9, watch=Calm())
    assert isinstance(wider, Choice)
    assert wider.cost_usd <= found.cost_usd + 1e-7
    scaled = replace(
        problem,
        cost=problem.cost * scale,
        use=problem.use * scale,
        capacity=problem.capacity * scale,
    )
    other = choose(scaled, gap=1e-9, watch=Calm())
    assert isinstance(other, Choice)
    assert abs(other.cost_usd - scale * found.cost_usd) <= 1e-6 * max(scale * found.cost_usd, 1.0)


def test_who_has_no_time_gets_the_best_so_far_with_its_bound() -> None:
    """A watch that is over at once still leaves a choice that holds, and a bound below it."""
    chance = np.random.Generator(np.random.PCG64(3))
    problem = ChoiceProblem(
        cost=chance.random((60, 5)), use=chance.random((2, 60, 5)), capacity=np.array([24.0, 24.0])
    )
    hurried = choose(problem, gap=0.0, watch=Calm(0.0))
    assert isinstance(hurried, Choice)
    assert problem.holds(hurried.options)
    patient = choose(problem, gap=1e-9, watch=Calm())
    assert isinstance(patient, Choice)
    assert hurried.bound_usd <= patient.cost_usd <= hurried.cost_usd


def test_nobody_needs_nothing() -> None:
    """Without groups the empty choice costs nothing, unless a row is overdrawn before anybody."""
    empty = ChoiceProblem(cost=np.zeros((0, 2)), use=np.zeros((1, 0, 2)), capacity=np.ones(1))
    found = choose(empty, gap=0.0, watch=Calm())
    assert isinstance(found, Choice)
    assert found.cost_usd == found.bound_usd == 0
    overdrawn = choose(replace(empty, capacity=-np.ones(1)), gap=0.0, watch=Calm())
    assert isinstance(overdrawn, NoChoice)
    assert overdrawn.rows == (0,)
