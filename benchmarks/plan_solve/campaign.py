"""Ten thousand invented factories: is any plan wrong, late, or not a number?"""

import math
import random
from collections import Counter
from time import perf_counter_ns

from benchmarks.lines import Detail, Metric, Target, judged, quantile
from benchmarks.plan_solve.measure import Limit
from mutualedge.plan.checking import check
from mutualedge.plan.edf import simulate
from mutualedge.plan.generation import Draw, generate
from mutualedge.plan.plans import Plan
from mutualedge.plan.scenario import Scenario
from mutualedge.plan.solving import list_jobs, solve
from mutualedge.plan.strategies import Strategy

INSTANCES = 10_000
"""Some twenty minutes."""
LIMIT_S = 1.0
LATE_S = 0.5
"""What an answer may take longer: the last step is not interrupted."""

REPLAYED_PERIODS = 3
REPLAYED_JOBS_MAX = 200_000


def run(first: int = 0) -> list[Metric]:
    """Return how many plans of so many scenarios break a rule, and how long answers took."""
    found: Counter[str] = Counter()
    times_ms, gaps = [], []
    for seed in range(first, first + INSTANCES):
        scenario, strategy = _drawn(seed)
        begun_ns = perf_counter_ns()
        answer = solve(scenario, strategy, watch=Limit(LIMIT_S))
        times_ms.append((perf_counter_ns() - begun_ns) / 1e6)
        found["late"] += times_ms[-1] > (LIMIT_S + LATE_S) * 1e3
        if isinstance(answer, Plan):
            found["plans"] += 1
            found["wrong"] += bool(check(scenario, answer)) or _misses(scenario, answer)
            found["no number"] += not math.isfinite(
                answer.objective_usd_month + answer.bound_usd_month + answer.gap
            )
            gaps.append(answer.gap)
        else:
            found["impossible" if answer.proven else "undecided"] += 1
    return [
        _counted("plans that break a rule, by check or by replay", found["wrong"], found),
        _counted("answers that are no number", found["no number"], found),
        _counted(f"answers later than {LIMIT_S + LATE_S} s", found["late"], found),
        _times(times_ms, sorted(gaps)),
    ]


def _drawn(seed: int) -> tuple[Scenario, Strategy]:
    """Return 1 to 200 tasks in 1 to 3 enterprises, from hardly any load to far too much."""
    chance = random.Random(seed)
    draw = Draw(
        kind=chance.choice(("published", "uunifast")),
        tasks=round(10 ** chance.uniform(0, 2.301)),
        load=chance.choice((0.05, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.2, 1.5)),
        enterprises=chance.choice((1, 1, 1, 2, 3)),
        memory_share=chance.choice((0.5, 0.9, 1.1, 1.5)),
        deadline_ratio_min=chance.choice((1.0, 1.0, 0.7, 0.4, 0.1)),
        seed=seed,
    )
    return generate(draw), chance.choice(tuple(Strategy))


def _misses(scenario: Scenario, plan: Plan) -> bool:
    """Return whether a job is late when the plan is replayed, all tasks released at once."""
    for jobs in list_jobs(scenario, plan):
        horizon_us = REPLAYED_PERIODS * int(jobs.tasks.period_us.max())
        shortest = int((horizon_us // jobs.tasks.period_us).sum())
        if shortest > REPLAYED_JOBS_MAX:
            horizon_us = horizon_us * REPLAYED_JOBS_MAX // shortest
        if simulate(jobs.tasks, max(horizon_us, 1)).misses:
            return True
    return False


def _counted(name: str, count: int, found: Counter[str]) -> Metric:
    detail: Detail = {key: found[key] for key in ("plans", "impossible", "undecided")}
    return judged(
        Metric(
            metric=name,
            n=INSTANCES,
            unit="of all",
            p50=count,
            targets=(Target(quantity="p50", at_most=0),),
            detail=detail,
        )
    )


def _times(times_ms: list[float], gaps: list[float]) -> Metric:
    ordered = sorted(times_ms)
    return Metric(
        metric=f"answer within {LIMIT_S:g} s",
        n=INSTANCES,
        unit="ms",
        p50=round(quantile(ordered, 0.5), 3),
        p99=round(quantile(ordered, 0.99), 3),
        detail={
            "most": round(ordered[-1], 3),
            "gap_p50": quantile(gaps, 0.5),
            "gap_p90": quantile(gaps, 0.9),
            "gap_p99": quantile(gaps, 0.99),
            "gap_max": gaps[-1],
        },
    )
