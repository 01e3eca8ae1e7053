"""Evolution: never a plan that does not hold, near the best where that is known, repeatable."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mutualedge.plan.choice import Choice, NoChoice, choose
from mutualedge.plan.generation import Draw, generate
from mutualedge.plan.genetic import Evolver, Settings, convergence_text
from mutualedge.plan.options import list_options, pose_problem
from tests.property.planning import Calm

FEW = Settings(population=64, children=4_000, seed=1)


@given(st.integers(0, 1_000), st.sampled_from((0.1, 0.6, 1.0, 1.4)), st.integers(1, 20))
@settings(max_examples=25, deadline=None)
def test_what_evolves_holds_and_lies_above_the_bound(seed: int, load: float, tasks: int) -> None:
    """Whatever comes out keeps every row, is not below the best, and not below its bound."""
    problem = pose_problem(list_options(generate(Draw(tasks=tasks, load=load, seed=seed))))
    best = choose(problem, gap=1e-9, watch=Calm())
    found = Evolver(FEW).choose(problem, gap=0.0, watch=Calm())
    if isinstance(best, NoChoice):
        assert isinstance(found, NoChoice)
        return
    if isinstance(found, Choice):
        assert problem.holds(found.options)
        assert found.cost_usd >= best.cost_usd * (1 - 1e-8)
        assert found.bound_usd <= found.cost_usd


def test_much_evolution_comes_near_the_best_and_says_how() -> None:
    """A tenth of a percent on a light load; the report shows it come down, row by row."""
    problem = pose_problem(list_options(generate(Draw(tasks=30, load=0.4, seed=5))))
    best = choose(problem, gap=1e-5, watch=Calm())
    assert isinstance(best, Choice)
    evolver = Evolver(Settings(population=128, children=60_000, seed=2))
    found = evolver.choose(problem, gap=0.0, watch=Calm())
    assert isinstance(found, Choice)
    assert found.cost_usd <= best.cost_usd * 1.001
    first, last = evolver.convergence[0], evolver.convergence[-1]
    assert last.score.mean < first.score.mean
    assert first.number == 0
    rows = [line.split() for line in convergence_text(evolver.convergence).splitlines()]
    assert {len(row) for row in rows} == {13}
    again = Evolver(Settings(population=128, children=60_000, seed=2))
    other = again.choose(problem, gap=0.0, watch=Calm())
    assert isinstance(other, Choice)
    assert np.array_equal(other.options, found.options)
    assert again.convergence == evolver.convergence


def test_who_has_no_time_still_gets_a_plan() -> None:
    """No child is bred, and the best of those drawn is repaired."""
    problem = pose_problem(list_options(generate(Draw(tasks=30, load=0.9, seed=5))))
    evolver = Evolver(Settings(population=16, children=1_000_000))
    found = evolver.choose(problem, gap=0.0, watch=Calm(0.0))
    assert isinstance(found, Choice)
    assert problem.holds(found.options)
    assert len(evolver.convergence) == 1
