"""Time the plans of a day, balanced over it, for three enterprises that are busy at other hours."""

from collections.abc import Iterator
from time import perf_counter_ns

import msgspec
import numpy as np

from benchmarks.lines import Metric, Target, judged
from benchmarks.plan_solve.measure import Limit
from mutualedge.model import Microcredits
from mutualedge.plan.checking import check_period
from mutualedge.plan.comparing import Slot, at_load, known_shape
from mutualedge.plan.generation import Draw, generate
from mutualedge.plan.period import PeriodPlan, solve_period
from mutualedge.plan.scenario import Scenario

SHAPES = ("bakery", "logistics", "evening")
HOURS = 24
PEAK_LOAD = 1.2
IMBALANCE_MAX_MICROCREDITS = Microcredits(10**9)
"""Of the 10**10 that each of them would lend or borrow net in a month, were there no limit."""

LIMIT_S = 120.0
GAP_MOST = 1e-3


def run(seed: int = 1) -> list[Metric]:
    """Return time and proven gap of a day's plans."""
    return [*_days(1_000, 3, seed, 5_000.0), *_days(10_000, 1, seed, 60_000.0)]


def _days(tasks: int, seeds: int, first: int, most_ms: float) -> Iterator[Metric]:
    """Yield both for so many tasks of each enterprise."""
    times_ms, gaps = [], []
    for seed in range(first, first + seeds):
        slots = _slots(tasks, seed)
        begun_ns = perf_counter_ns()
        found = solve_period(slots, watch=Limit(LIMIT_S), gap=GAP_MOST)
        times_ms.append((perf_counter_ns() - begun_ns) / 1e6)
        gaps.append(found.gap if isinstance(found, PeriodPlan) else np.inf)
        assert isinstance(found, PeriodPlan)
        assert tasks > 1_000 or not check_period(slots, found.plans)
    name = f"3 enterprises x {HOURS} slots x {tasks:,} tasks"
    times, most = sorted(times_ms), Target(quantity="p50", at_most=most_ms)
    middle, last = times[len(times) // 2], times[-1]
    yield judged(
        Metric(
            metric=f"plans of {name}",
            n=len(times),
            unit="ms",
            p50=round(middle, 1),
            p99=round(last, 1),
            targets=(most,),
            detail={"gap_asked": GAP_MOST},
        )
    )
    gaps.sort()
    yield judged(
        Metric(
            metric=f"proven gap of {name}",
            n=len(gaps),
            unit="share",
            p50=gaps[len(gaps) // 2],
            p99=gaps[-1],
            targets=(Target(quantity="p99", at_most=GAP_MOST),),
            detail={"gap_asked": GAP_MOST},
        )
    )


def _slots(tasks: int, seed: int) -> list[Scenario]:
    drawn = generate(Draw(tasks=tasks, enterprises=len(SHAPES), seed=seed))
    tariff = msgspec.structs.replace(
        drawn.tariff, imbalance_max_microcredits=IMBALANCE_MAX_MICROCREDITS
    )
    scenario = msgspec.structs.replace(drawn, tariff=tariff)
    shapes = [known_shape(name) or () for name in SHAPES]
    names = [each.name for each in scenario.enterprises]
    return [
        at_load(
            scenario,
            Slot(
                name=str(hour),
                loads={
                    name: PEAK_LOAD * shape[hour] for name, shape in zip(names, shapes, strict=True)
                },
            ),
        )
        for hour in range(HOURS)
    ]
