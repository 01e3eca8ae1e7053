"""The result lines: quantiles, the floor they stand beside, and which target they meet."""

import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from math import ceil
from pathlib import Path
from time import perf_counter_ns

import msgspec

from mutualedge.model import NS_PER_S

LOOP_TURNS = 2_000_000
"""A tenth of a second: long enough to meet the neighbours."""

RESULTS = Path(__file__).parent / "results"

Detail = dict[str, str | int | float]


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """What the metric is divided by: measured in the same run, in turns with it."""

    name: str
    p50: float
    p99: float


class Target(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A bound on one quantity of a line: ``p50``, ``p99``, ``ratio_p50`` or ``ratio_p99``."""

    quantity: str
    at_most: float | None = None
    at_least: float | None = None

    def is_met(self, value: float) -> bool:
        """Tell whether a value keeps the bound."""
        too_much = self.at_most is not None and value > self.at_most
        too_little = self.at_least is not None and value < self.at_least
        return not (too_much or too_little)


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One measured quantity; times are wall clock unless the unit says otherwise.

    Attributes:
        metric: What was measured, in words.
        n: How often.
        p99: Absent where there are too few values to speak of one.
        baseline: The floor measured in turns with it.
        ratio_p50: Median over the baseline's median.
        ratio_p99: 99th percentile over the baseline's.
        targets: What it was meant to be.
        met: Whether each target is; nothing without targets.
        detail: Whatever else a reader needs to judge the value.
    """

    metric: str
    n: int
    unit: str
    p50: float
    p99: float | None = None
    baseline: Baseline | None = None
    ratio_p50: float | None = None
    ratio_p99: float | None = None
    targets: tuple[Target, ...] = ()
    met: bool | None = None
    detail: Detail = {}


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a results file: a metric, and where and with what it was measured."""

    commit: str
    machine: Detail
    python: str
    capability: str
    result: Metric


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the nearest-rank quantile of values in ascending order."""
    return ordered[max(0, ceil(len(ordered) * share) - 1)]


def timed(
    metric: str,
    times_ns: Sequence[int],
    *,
    unit: str = "us",
    baseline: tuple[str, Sequence[int]] | None = None,
    targets: tuple[Target, ...] = (),
) -> Metric:
    """Return the metric of these durations.

    Args:
        metric: What was measured.
        times_ns: Every single duration.
        unit: ``us`` or ``ms``.
        baseline: Name and durations of the floor from the same run.
        targets: Bounds in this unit, or on the ratios.
    """
    per_unit = {"us": 1_000, "ms": 1_000_000}[unit]
    floor = None
    if baseline is not None:
        p50, p99 = (round(each / per_unit, 3) for each in _p50_p99(baseline[1]))
        floor = Baseline(name=baseline[0], p50=p50, p99=p99)
    p50, p99 = (round(each / per_unit, 3) for each in _p50_p99(times_ns))
    count = len(times_ns)
    return _beside(
        floor, Metric(metric=metric, n=count, unit=unit, p50=p50, p99=p99, targets=targets)
    )


def rated(
    metric: str,
    times_ns: Sequence[int],
    *,
    unit: str,
    baseline: tuple[str, Sequence[int]] | None = None,
    targets: tuple[Target, ...] = (),
) -> Metric:
    """Return how often a second something happens that takes these durations, p99 the slow end.

    Args:
        metric: What was measured.
        times_ns: Duration of one, each an average over a batch if that is how it happens.
        unit: Such as ``commands/s``.
        baseline: Name and durations of the floor from the same run.
        targets: Bounds in this unit, or on the ratios.
    """
    floor = None
    if baseline is not None:
        p50, p99 = (round(NS_PER_S / each) for each in _p50_p99(baseline[1]))
        floor = Baseline(name=baseline[0], p50=p50, p99=p99)
    p50, p99 = (round(NS_PER_S / each) for each in _p50_p99(times_ns))
    count = len(times_ns)
    return _beside(
        floor, Metric(metric=metric, n=count, unit=unit, p50=p50, p99=p99, targets=targets)
    )


def _p50_p99(times_ns: Sequence[int]) -> tuple[float, float]:
    ordered = sorted(times_ns)
    return quantile(ordered, 0.5), quantile(ordered, 0.99)


def _beside(floor: Baseline | None, metric: Metric) -> Metric:
    """Return the metric with its ratios to the floor, judged."""
    if floor is None:
        return judged(metric)
    assert metric.p99 is not None, "only quantiles are compared"
    compared = msgspec.structs.replace(
        metric,
        baseline=floor,
        ratio_p50=round(metric.p50 / floor.p50, 3),
        ratio_p99=round(metric.p99 / floor.p99, 3),
    )
    return judged(compared)


def judged(metric: Metric) -> Metric:
    """Return the metric with ``met`` filled in."""
    if not metric.targets:
        return metric
    values = {
        "p50": metric.p50,
        "p99": metric.p99,
        "ratio_p50": metric.ratio_p50,
        "ratio_p99": metric.ratio_p99,
    }
    checks = [(target, values[target.quantity]) for target in metric.targets]
    met = all(value is not None and target.is_met(value) for target, value in checks)
    return msgspec.structs.replace(metric, met=met)


def save(capability: str, metrics: Iterable[Metric]) -> None:
    """Append a run's metrics to the capability's file."""
    RESULTS.mkdir(exist_ok=True)
    lines = [
        Line(
            commit=_commit(),
            machine=_machine(),
            python=platform.python_version(),
            capability=capability,
            result=metric,
        )
        for metric in metrics
    ]
    with (RESULTS / f"{capability}.jsonl").open("ab") as file:
        file.write(msgspec.json.Encoder().encode_lines(lines))


def _commit() -> str:
    """Return what was measured: the commit, and whether the tree differs from it."""
    return (
        f"{_git('rev-parse', '--short=12', 'HEAD')}{'+' if _git('status', '--porcelain') else ''}"
    )


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(RESULTS.parent), *arguments]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    return told.stdout.strip() if told.returncode == 0 else "unknown"


def _machine() -> Detail:
    """Return what a reader must know to compare: processor, cores, load, and its speed just now."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "load_1min": round(os.getloadavg()[0], 2),
        "loop_ns": _loop_ns(),
    }


def _loop_ns() -> int:
    """Return what one turn of an empty loop takes: rented processors change their speed."""
    begun_ns = perf_counter_ns()
    for _ in range(LOOP_TURNS):
        pass
    return (perf_counter_ns() - begun_ns) // LOOP_TURNS


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
