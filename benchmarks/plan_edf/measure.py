"""Time simulations, tests of whole sets and the first use in a new process."""

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from random import Random
from time import process_time_ns

from benchmarks.lines import Baseline, Metric, Target, judged, quantile, timed
from benchmarks.plan_edf.sets import SMALL, random_set, small_set
from benchmarks.plan_edf.simso_process import Simso
from mutualedge.model import NS_PER_S
from mutualedge.plan.compiled import HAS_COMPILER
from mutualedge.plan.edf import TaskSet, check_nonpreemptive, check_preemptive, simulate

RUNS = 15
"""Of each simulation; the first, which may compile, does not count."""

HORIZON_US = 10_000_000
LONG_HORIZON_US = 200_000_000

LOADS = (0.3, 0.5, 0.8)

DECISIONS = 200
"""Sets of each size that are decided, so that the 99th percentile is more than the worst."""

FIRST_USES = 5

SMALL_TARGET = (Target(quantity="p50", at_least=50e6),)
SIMSO_TARGET = (Target(quantity="ratio_p50", at_least=2_500),)

FIRST_USE = (
    "from mutualedge.plan.edf import TaskSet, simulate;"
    "simulate(TaskSet.from_columns(execution_us=[1], period_us=[10]), 1000)"
)


def run(seed: int = 1) -> list[Metric]:
    """Return rates in completed jobs a second of processor time, and times of decisions."""
    return [
        *_small_heaps(),
        *_hundred_tasks(seed),
        _speed("1,000 tasks, load 0.8", random_set(Random(seed), 1_000, 0.8), LONG_HORIZON_US),
        _memory(seed),
        *_decisions(seed),
        _first_use(),
    ]


def _small_heaps() -> Iterator[Metric]:
    for name in SMALL:
        yield _speed(name, small_set(name), 10 * HORIZON_US, targets=SMALL_TARGET)
    yield _speed("3 tasks, without numba", small_set("3 tasks"), HORIZON_US // 10, compiled=False)


def _hundred_tasks(seed: int) -> Iterator[Metric]:
    """Yield rates beside SimSo's where it can be installed; not preemptive is ours alone."""
    simso = Simso.installed()
    for load in LOADS:
        tasks = random_set(Random(seed), 100, load)
        name = f"100 tasks, load {load}"
        yield _speed(name, tasks, HORIZON_US, simso=simso)
        yield _speed(f"{name}, not preemptive", tasks, HORIZON_US, preemptive=False)
    if simso is not None:
        simso.close()


def _speed(
    name: str,
    tasks: TaskSet,
    horizon_us: int,
    *,
    preemptive: bool = True,
    compiled: bool = HAS_COMPILER,
    simso: Simso | None = None,
    targets: tuple[Target, ...] = (),
) -> Metric:
    rates: list[float] = []
    for _ in range(RUNS + 1):
        begun_ns = process_time_ns()
        ran = simulate(tasks, horizon_us, preemptive=preemptive, compiled=compiled)
        rates.append(int(ran.completed.sum()) * NS_PER_S / (process_time_ns() - begun_ns))
    ordered = sorted(rates[1:], reverse=True)
    metric = Metric(
        metric=f"simulation, {name}",
        n=RUNS,
        unit="jobs/s",
        p50=round(quantile(ordered, 0.5)),
        p99=round(quantile(ordered, 0.99)),
        targets=targets,
        detail={
            "best": round(ordered[0]),
            "jobs": int(ran.completed.sum()),
            "late": int(ran.missed.sum()),
            "preemptions": int(ran.preempted.sum()),
        },
    )
    return judged(metric) if simso is None else _beside_simso(metric, simso, tasks, horizon_us)


def _beside_simso(metric: Metric, simso: Simso, tasks: TaskSet, horizon_us: int) -> Metric:
    theirs = simso.simulate(tasks, horizon_us)
    rate = theirs.completed / theirs.seconds
    return judged(
        Metric(
            metric=metric.metric,
            n=metric.n,
            unit=metric.unit,
            p50=metric.p50,
            p99=metric.p99,
            baseline=Baseline(name="SimSo EDF_mono", p50=round(rate), p99=round(rate)),
            ratio_p50=round(metric.p50 / rate),
            ratio_p99=round((metric.p99 or 0) / rate),
            targets=SIMSO_TARGET,
            detail={**metric.detail, "simso_jobs": theirs.completed, "simso_late": theirs.late},
        )
    )


def _memory(seed: int) -> Metric:
    """Return by how much a hundred times longer horizon raises the peak memory."""
    tasks = random_set(Random(seed), 100, 0.8)
    simulate(tasks, HORIZON_US)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    jobs = int(simulate(tasks, 100 * HORIZON_US).completed.sum())
    more_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    target = (Target(quantity="p50", at_most=64),)
    return judged(
        Metric(
            metric="simulation, peak memory of a 100 times longer horizon",
            n=1,
            unit="KiB",
            p50=more_kib,
            targets=target,
            detail={"jobs": jobs},
        )
    )


def _decisions(seed: int) -> Iterator[Metric]:
    checks: tuple[tuple[str, Callable[[TaskSet], object]], ...] = (
        ("preemptive", check_preemptive),
        ("not preemptive", check_nonpreemptive),
    )
    for count, decisions in ((100, DECISIONS), (1_000, DECISIONS), (100_000, 5)):
        rng = Random(seed)
        sets = [
            random_set(rng, count, rng.uniform(0.6, 0.999), deadline_share=(0.7, 1))
            for _ in range(decisions)
        ]
        for name, check in checks:
            times_ns = []
            held = 0
            for tasks in sets:
                begun_ns = process_time_ns()
                held += check(tasks) is None
                times_ns.append(process_time_ns() - begun_ns)
            metric = timed(f"test of a set, {name}, {count:,} tasks", times_ns)
            yield Metric(
                metric=metric.metric,
                n=metric.n,
                unit=metric.unit,
                p50=metric.p50,
                p99=metric.p99,
                detail={"held": held},
            )


def _first_use() -> Metric:
    """Return what the first simulation takes in a new process, numba's import included."""
    times_ns = []
    for _ in range(FIRST_USES + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", FIRST_USE], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        times_ns.append(int(seconds * NS_PER_S))
    return timed(
        "first simulation of a new process, loops compiled before", times_ns[1:], unit="ms"
    )
