"""Time plans that are near the best, and evolution beside pymoo on the same problems."""

from collections.abc import Iterator
from pathlib import Path
from time import perf_counter_ns, process_time_ns

import msgspec
import numpy as np

from benchmarks.alone import Alone
from benchmarks.lines import Baseline, Detail, Metric, Target, judged, quantile
from mutualedge.model import NS_PER_S
from mutualedge.plan.choice import Choice, ChoiceProblem, choose
from mutualedge.plan.compiled import HAS_COMPILER
from mutualedge.plan.generation import Draw, generate
from mutualedge.plan.genetic import Evolver, Settings
from mutualedge.plan.options import list_options, pose_problem
from mutualedge.plan.plans import Plan
from mutualedge.plan.scenario import Scenario
from mutualedge.plan.solving import solve

LOADS = (0.1, 0.3, 0.5, 0.7, 0.9, 1.0, 1.2, 1.5)
LIMIT_S = 20.0

PUBLISHED_CHILDREN_S = 355_000
"""Of the published C program, repaired, on another machine of this kind."""

PYMOO = "pymoo==0.6.1.5"
PYMOO_PROGRAM = Path(__file__).with_name("pymoo_alone.py")
PYMOO_CHILDREN = 20_000


class Evolved(msgspec.Struct, frozen=True, kw_only=True):
    """What pymoo answers."""

    seconds: float
    children: int
    cost: float | None


class Limit:
    """A watch with a time limit."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._end_ns = perf_counter_ns() + round(limit_s * NS_PER_S)

    def left_s(self) -> float:
        """Return what is left."""
        return (self._end_ns - perf_counter_ns()) / NS_PER_S

    def tell(self, cost_usd: float, bound_usd: float) -> None:
        """Pass over how far the search is."""


def run(seed: int = 1) -> list[Metric]:
    """Return times and proven gaps of choices and whole plans, and rates of evolution."""
    choose(_problem(5, 0.5, seed), gap=0.0, watch=Limit())
    return [
        *_choices(100, 1e-6, 10, seed, Target(quantity="p50", at_most=50.0)),
        *_choices(1_000, 1e-6, 3, seed),
        *_choices(10_000, 1e-5, 2, seed),
        *_choices(100_000, 1e-5, 1, seed, Target(quantity="p50", at_most=500.0)),
        *_whole_plans(seed),
        *_evolution(seed),
    ]


def _scenario(tasks: int, load: float, seed: int) -> Scenario:
    return generate(Draw(tasks=tasks, load=load, seed=seed))


def _problem(tasks: int, load: float, seed: int) -> ChoiceProblem:
    return pose_problem(list_options(_scenario(tasks, load, seed)))


def _choices(tasks: int, gap: float, seeds: int, first: int, *targets: Target) -> Iterator[Metric]:
    """Yield time and gap of choosing among options that lie ready, over all loads."""
    times_ms, gaps = [], []
    for load in LOADS:
        for seed in range(first, first + seeds):
            problem = _problem(tasks, load, seed)
            begun_ns = perf_counter_ns()
            found = choose(problem, gap=gap, watch=Limit())
            times_ms.append((perf_counter_ns() - begun_ns) / 1e6)
            gaps.append(found.gap if isinstance(found, Choice) else np.inf)
    proven: Detail = {"loads": f"{LOADS[0]} to {LOADS[-1]}", "gap_asked": gap, "gap_max": max(gaps)}
    yield _judged_times(f"choice for {tasks:,} tasks", times_ms, targets, proven)
    most = {100: 1e-6, 1_000: 1e-6, 10_000: 1e-4, 100_000: 1e-5}[tasks]
    target = Target(quantity="p99", at_most=most)
    ordered = sorted(gaps)
    yield judged(
        Metric(
            metric=f"proven gap for {tasks:,} tasks, of the cost that choices change",
            n=len(gaps),
            unit="share",
            p50=quantile(ordered, 0.5),
            p99=ordered[-1],
            targets=(target,),
            detail={"gap_asked": gap},
        )
    )


def _whole_plans(seed: int) -> Iterator[Metric]:
    """Yield times from a scenario to its plan: options, choice, deadlines, names."""
    for tasks, seeds in ((100, 5), (10_000, 1)):
        times_ms = []
        for load in LOADS:
            for each in range(seed, seed + seeds):
                scenario = _scenario(tasks, load, each)
                begun_ns = perf_counter_ns()
                plan = solve(scenario, watch=Limit(), gap=1e-6)
                times_ms.append((perf_counter_ns() - begun_ns) / 1e6)
                assert isinstance(plan, Plan)
        yield _judged_times(f"whole plan for {tasks:,} tasks", times_ms, (), {})


def _judged_times(
    name: str, times_ms: list[float], targets: tuple[Target, ...], detail: Detail
) -> Metric:
    ordered = sorted(times_ms)
    return judged(
        Metric(
            metric=name,
            n=len(ordered),
            unit="ms",
            p50=round(quantile(ordered, 0.5), 3),
            p99=round(quantile(ordered, 0.99), 3),
            targets=targets,
            detail={**detail, "most": round(ordered[-1], 3)},
        )
    )


def _evolution(seed: int) -> Iterator[Metric]:
    """Yield children a second of processor time beside pymoo's, and how near the best both end."""
    if not HAS_COMPILER:
        return
    Evolver(Settings(population=16, children=64)).choose(
        _problem(5, 0.5, seed), gap=0.0, watch=Limit()
    )
    pymoo = Alone.installed(PYMOO, PYMOO_PROGRAM)
    settings = Settings(seed=seed)
    rates, gaps, their_rates, their_gaps = [], [], [], []
    for load in LOADS:
        problem = _problem(100, load, seed)
        best = choose(problem, gap=1e-6, watch=Limit())
        assert isinstance(best, Choice)
        begun_ns = process_time_ns()
        found = Evolver(settings).choose(problem, gap=0.0, watch=Limit())
        rates.append(settings.children * NS_PER_S / (process_time_ns() - begun_ns))
        assert isinstance(found, Choice)
        gaps.append(max(found.cost_usd / best.cost_usd - 1, 0.0))
        if pymoo is not None:
            theirs = pymoo.ask(_asked(problem, seed), Evolved)
            their_rates.append(theirs.children / theirs.seconds)
            their_gaps.append((theirs.cost or np.inf) / best.cost_usd - 1)
    if pymoo is not None:
        pymoo.close()
    yield _rates(rates, their_rates, gaps, their_gaps)


def _rates(
    rates: list[float], their_rates: list[float], gaps: list[float], their_gaps: list[float]
) -> Metric:
    middle, theirs = quantile(sorted(rates), 0.5), sorted(their_rates)
    their_middle = quantile(theirs, 0.5) if theirs else 0.0
    metric = Metric(
        metric="evolution, 100 tasks: children a second of processor time",
        n=len(rates),
        unit="children/s",
        p50=round(middle),
        baseline=Baseline(name=PYMOO, p50=round(their_middle), p99=round(theirs[-1]))
        if theirs
        else None,
        ratio_p50=round(middle / their_middle) if theirs else None,
        ratio_p99=round(middle / theirs[-1]) if theirs else None,
        targets=(
            Target(quantity="p50", at_least=10 * PUBLISHED_CHILDREN_S),
            *((Target(quantity="ratio_p50", at_least=200),) if theirs else ()),
        ),
        detail={
            "children": Settings().children,
            "gap_max": max(gaps),
            "gap_median": quantile(sorted(gaps), 0.5),
            "their_gap_median": quantile(sorted(their_gaps), 0.5) if theirs else "none",
            "their_children": PYMOO_CHILDREN,
        },
    )
    return judged(metric)


def _asked(problem: ChoiceProblem, seed: int) -> dict[str, object]:
    cost = [[None if not np.isfinite(usd) else usd for usd in row] for row in problem.cost.tolist()]
    return {
        "cost": cost,
        "use": problem.use.tolist(),
        "capacity": problem.capacity.tolist(),
        "children": PYMOO_CHILDREN,
        "seed": seed,
    }
