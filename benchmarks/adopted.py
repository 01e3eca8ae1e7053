"""Result lines of benchmarks that print their own: admission and audit."""

from collections.abc import Callable, Mapping

from benchmarks import admission, audit
from benchmarks.lines import Detail, Metric, Target, judged

LineOf = Mapping[str, str | int | float]

DECISION_TARGET = (Target(quantity="p99", at_most=100.0),)
THOUSAND_TARGET = (Target(quantity="p99", at_most=1_000.0),)
AUDIT_TARGET = (Target(quantity="p50", at_least=10_000.0),)

DECISIONS = (" all", " one more job", " one more promise")
"""Ends the name of a line about every decision of one mix of tasks."""

OF_A_THOUSAND = ("1000+0", "500+500", "0+1000")
"""In the name of a mix of 1,000 tasks; others are of 100."""

_SHOWN = frozenset({"benchmark", "kind", "n", "unit", "median", "value", "p99"})


def run_admission() -> list[Metric]:
    """Return what an admission decision takes, and how often it refuses needlessly."""
    return [_metric(line, _decision_target) for line in admission.run()]


def run_audit() -> list[Metric]:
    """Return how fast a bundle is verified, and what it costs in memory."""
    return [_metric(line, _audit_target) for line in audit.run()]


def _decision_target(line: LineOf) -> tuple[Target, ...]:
    kind = str(line["kind"])
    if not kind.endswith(DECISIONS):
        return ()
    return THOUSAND_TARGET if {*kind.split()} & {*OF_A_THOUSAND} else DECISION_TARGET


def _audit_target(line: LineOf) -> tuple[Target, ...]:
    return AUDIT_TARGET if line["unit"] == "records/s" else ()


def _metric(line: LineOf, target_of: Callable[[LineOf], tuple[Target, ...]]) -> Metric:
    detail: Detail = {name: value for name, value in line.items() if name not in _SHOWN}
    p99 = line.get("p99")
    return judged(
        Metric(
            metric=str(line["kind"]),
            n=int(line["n"]),
            unit=str(line["unit"]),
            p50=float(line["median"] if "median" in line else line["value"]),
            p99=None if p99 is None else float(p99),
            targets=target_of(line),
            detail=detail,
        )
    )
